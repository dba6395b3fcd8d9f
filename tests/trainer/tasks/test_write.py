"""Translation: it learns, says where words are from, is scored as sacreBLEU scores, exports answer as runs do."""

import itertools
import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from models.seq2seq import joined, seq2seq
from tests.conftest import cli, stopped_at
from tests.trainer.architectures.test_lineage import check_export
from trainer.errors import Mistake
from trainer.runs.run import Run
from trainer.tasks.write import alignment
from trainer.tasks.write.answer import Writer
from trainer.tasks.write.score import Measures
from trainer.tasks.write.step import plain_loss, smoothed_loss

NOUNS = {"Hund": "dog", "Katze": "cat", "Fisch": "fish", "Vogel": "bird"}
VERBS = {"läuft": "runs", "schläft": "sleeps", "isst": "eats"}
ENDS = {".": ".", "!": "!"}
OPTIONS = {"batch_size": 16, "epochs": 1, "learning_rate": 0.03, "dropout": 0.0, "seed": 1, "max_length": 24}
MODELS = {
    "seq2seq-attention": ["width=64", "embedding_width=64"],
    "transformer-seq2seq": ["width=32", "heads=2", "layers=1"],
}


def pairs(count):
    """Returns (German, English) of so many small sentences, whose verb comes first in English."""
    parts = itertools.product(NOUNS, VERBS, ENDS)
    rows = [(f"Der {noun} {verb}{end}", f"{VERBS[verb]} the {NOUNS[noun]}{ENDS[end]}") for noun, verb, end in parts]
    return (rows * (count // len(rows) + 1))[:count]


def write_pairs(folder, count):
    for name, lines in zip(("train.de", "train.en"), zip(*pairs(count), strict=True), strict=True):
        (folder / name).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return folder / "train.{de,en}"


def train(capsys, path, folder, model, **options):
    if model == "transformer-seq2seq":
        options |= {"learning_rate": 0.01, "best_by": "loss"}
    options = {"train": path, "out": folder / "run", "model": model} | OPTIONS | options
    flags = [f"--{name}={value}" for name, value in options.items()]
    return cli(capsys, "finetune", "translation", *flags, "--settings", *MODELS[model])


@pytest.mark.parametrize("model", MODELS)
def test_it_translates_and_exports_answer_alike(model, capsys, tmp_path):
    path = write_pairs(tmp_path, 1440)
    options = {"beams": 4, "length_penalty": 0.5, "label_smoothing": 0.05} if model == "seq2seq-attention" else {}
    status, out, err = train(capsys, path, tmp_path, model, dev=path, dev_limit=24, **options)
    assert status == 0, err
    assert "1,440 pairs" in err and "cased; " in err
    assert f"best      dev {'bleu' if model == 'seq2seq-attention' else 'loss'} " in err
    final = json.loads(out)["final"]
    assert final["bleu"] == pytest.approx(100) and final["perplexity"] < 1.5
    rows = [{"source": source} for source, _ in pairs(24)[::5]] + [{"source": ""}, {"source": " \u3000 "}]
    answers = check_export(capsys, "translation", tmp_path / "run", rows, tmp_path)
    *answers, empty, blank = answers
    assert empty.pop("source") == "" and blank.pop("source") == " \u3000 "
    nowhere = {name: [] for name in ("starts", "ends", "source_starts", "source_ends")}
    assert empty == blank == {"target": "", "score": 0.0} | nowhere
    assert [answer["target"] for answer in answers] == [target for _, target in pairs(24)[::5]]
    for answer in answers:
        words = [answer["target"][a:b] for a, b in zip(answer["starts"], answer["ends"], strict=True)]
        assert "".join(words) == answer["target"].replace(" ", "")
        seen = [answer["source"][a:b] for a, b in zip(answer["source_starts"], answer["source_ends"], strict=True)]
        assert {*seen} <= {*answer["source"][:-1].split(), answer["source"][-1]}
    if model == "transformer-seq2seq":
        return
    check_alignments(Run(tmp_path / "run"), [source for source, _ in pairs(2)])
    sources = ["--source", "Der Hund läuft.", "Der Vogel isst!", ""]
    more = ["--plot", tmp_path / "looked.png", "--signature", "nbest"]
    status, out, err = cli(capsys, "predict", tmp_path / "run", *sources, *more)
    assert status == 0, err
    assert (tmp_path / "looked.png").read_bytes().startswith(b"\x89PNG")
    *lines, nothing = map(json.loads, out.splitlines())
    assert nothing == {"source": "", "targets": [""], "scores": [0.0]}
    for answer, best in zip(lines, ("runs the dog.", "eats the bird!"), strict=True):
        assert answer["targets"][0] == best and len(answer["targets"]) == len(answer["scores"]) == 4
        assert answer["scores"] == sorted(answer["scores"], reverse=True)
    hypotheses, wrong = tmp_path / "hypotheses.txt", tmp_path / "wrong.jsonl"
    files = ["--output", hypotheses, "--errors", wrong]
    data = [*pairs(24), (" ", "Nothing.")]
    lines = [json.dumps({"source": source, "target": target}) + "\n" for source, target in data]
    (tmp_path / "dev.jsonl").write_text("".join(lines), encoding="utf-8")
    status, out, err = cli(
        capsys, "evaluate", tmp_path / "run", "--data", tmp_path / "dev.jsonl", "--beams", "2", *files
    )
    assert status == 0 and "; 2 hypotheses at a time, length penalty 0.5; " in err, err
    assert hypotheses.read_text(encoding="utf-8").splitlines() == [*[target for _, target in pairs(24)], ""]
    assert json.loads(wrong.read_text(encoding="utf-8"))["source"] == " "
    bleu = json.loads(out)["report"]["intervals"]["bleu"]
    assert 90 < bleu["low"] < bleu["value"] == json.loads(out)["bleu"] < bleu["high"] == pytest.approx(100)
    for command, option in (("evaluate", "--data"), ("predict", "--input")):
        status, _, err = cli(capsys, command, tmp_path / "run", option, path, "--output", tmp_path / "train.en")
        assert status == 2 and f"expected another file than {option} {tmp_path}/train.en" in err


def check_alignments(run, sources):
    """What is drawn is what decoding saw, step by step."""
    writer = Writer(run.model, run.setup)
    places = writer(writer.reader.tokenizer(tf.constant(sources)).ids, writer.beams).places.numpy()[:, 0]
    for one, row in zip(alignment.alignments(writer, sources), places, strict=True):
        assert one.source[0] == "[CLS]" and one.target[-1] == "[SEP]"
        assert one.weights.shape == (len(one.target), len(one.source))
        np.testing.assert_allclose(one.weights.sum(axis=1), 1, rtol=1e-5)
        assert (1 + one.weights[:-1, 1:].argmax(axis=1)).tolist() == row[: len(one.target) - 1].tolist()
    fixed = joined(*seq2seq(len(writer.reader.tokenizer.vocabulary), attention=None, width=8, embedding_width=8))
    with pytest.raises(Mistake, match="--plot: expected a run whose model looks back"):
        alignment.draw(fixed, run.setup, [{"source": "a"}])
    with pytest.raises(Mistake, match="--plot: expected 1 to 8 texts, received 9"):
        alignment.draw(run.model, run.setup, [{"source": "a"}] * 9)


def test_units_that_no_font_has_are_numbered(capsys):
    unassigned = "\U000e0fff"
    found = alignment.Alignment(["[CLS]", "Hund", unassigned], ["dog", "[SEP]"], np.full([2, 3], 1 / 3))
    assert alignment.picture([found]).startswith(b"\x89PNG")
    err = capsys.readouterr().err
    assert f"no font here has {unassigned}, so units with such are numbered" in err
    assert f"source 1  2={unassigned}\n" in err


def test_a_stopped_run_ends_as_one_that_was_not(capsys, tmp_path):
    path = write_pairs(tmp_path, 96)
    digests = []
    for name in ("whole", "stopped"):
        (tmp_path / name).mkdir()
        options = {"dropout": 0.2, "epochs": 2, "average": 2}
        if name == "stopped":
            with stopped_at(8):
                status, _, err = train(capsys, path, tmp_path / name, "seq2seq-attention", **options)
                assert status != 0 and "stopped at step 8 of 12" in err
        status, out, err = train(capsys, path, tmp_path / name, "seq2seq-attention", **options)
        assert status == 0 and ("resume    from step 8" in err) == (name == "stopped"), err
        digests.append(json.loads(out)["digest"])
    assert digests[0] == digests[1]


def test_the_loss_is_smoothed():
    random = np.random.default_rng(0)
    logits, targets = random.normal(size=[2, 3, 7]).astype(np.float32), np.array([[1, 6, 2], [3, -1, -1]], np.int32)
    asked = targets >= 0
    for smoothing in (0.0, 0.3):
        total, count = smoothed_loss(smoothing)(tf.constant(targets), tf.constant(logits))
        of_keras = keras.losses.CategoricalCrossentropy(True, label_smoothing=smoothing, reduction="sum")
        assert float(total) == pytest.approx(float(of_keras(np.eye(7)[targets[asked]], logits[asked])), rel=1e-5)
        assert int(count) == 4
    assert float(plain_loss(tf.constant(targets), tf.constant(logits))[0]) == pytest.approx(
        float(smoothed_loss(0.0)(tf.constant(targets), tf.constant(logits))[0]), rel=1e-6
    )


def test_scores_are_those_of_sacrebleu():
    from sacrebleu.metrics import BLEU, CHRF

    golds = ["The dog runs, doesn't it?", "A cat sleeps on the mat.", "Two fish swim .", "It is a bird of the sea."]
    texts = ["The dog runs, does it?", "A cat sleeps on a mat.", "", "It is the bird of the sea."]
    chinese = ["猫睡觉。", "两条鱼在海里游。", "狗在院子里跑来跑去。", "这是一只鸟。"]
    for gold, written, tokenizer in ((golds, texts, "13a"), (chinese, [*chinese[1:], "这是一只小鸟。"], "zh")):
        measures = Measures(gold)
        statistics = measures.statistics(written)
        found = measures.scores(np.stack([statistics.sum(axis=0), statistics[1:].sum(axis=0)]))
        for i, part in enumerate((slice(None), slice(1, None))):
            bleu = BLEU(tokenize=tokenizer, force=True)
            assert found["bleu"][i] == pytest.approx(bleu.corpus_score(written[part], [gold[part]]).score)
            assert found["chrf"][i] == pytest.approx(CHRF().corpus_score(written[part], [gold[part]]).score)
        assert measures.signature == str(bleu.get_signature()) and f"tok:{tokenizer}" in measures.signature


def test_mistakes(bert_folder, capsys, tmp_path):
    path = write_pairs(tmp_path, 8)
    status, _, err = cli(
        capsys, "finetune", "translation", "--train", path, "--init", bert_folder, "--out", tmp_path / "run"
    )
    assert status == 2 and "translation: expected a model that writes a text; BERT does not" in err
    status, _, err = train(capsys, path, tmp_path, "seq2seq-attention", unit="words")
    assert status == 2 and "--unit: expected joined_pieces, of which texts are made again, received words" in err
    for option, value, expected in (
        ("beams", 0, "1 to 100, received 0"),
        ("length_penalty", 11, "0 to 10, received 11"),
        ("label_smoothing", 1, "a probability from 0, below 1, received 1"),
    ):
        status, _, err = train(capsys, path, tmp_path, "seq2seq-attention", **{option: value})
        assert status == 2 and f"--{option}: expected {expected}" in err
    flags = ["--train", path, "--out", tmp_path / "run", "--model", "seq2seq"]
    status, _, err = cli(capsys, "finetune", "sentiment", *flags)
    assert status == 2 and "expected one file of text, label, received two, as translation reads them" in err
