"""Pretraining from text files to a run that another one begins with."""

import json
import shutil

import numpy as np
import pytest
import tensorflow as tf
from safetensors.numpy import load_file

from serving.client import command as client
from tests.conftest import VOCABULARY, Server, cli, stopped_at
from tests.trainer.architectures.test_lineage import check_export
from tests.trainer.corpora.test_making import WORDS
from trainer.options import Pretrain
from trainer.pretraining import masked
from trainer.pretraining.run import Pretrained


def of_few_words(documents=40):
    """Returns documents of three words each: what is hidden in one is among what is not."""
    draw, found = np.random.default_rng(0), []
    for _ in range(documents):
        words = draw.choice(WORDS[:8], 3, replace=False)
        sentence = lambda words=words: " ".join(draw.choice(words, draw.integers(3, 12))) + "."
        found.append("\n".join(f"{sentence()} {sentence()} {sentence()}" for _ in range(3)))
    return "\n\n".join(found)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pretrain")
    (folder / "text.txt").write_text(of_few_words(), encoding="utf-8")
    (folder / "vocab.txt").write_text("\n".join(VOCABULARY) + "\n", encoding="utf-8")
    return folder


@pytest.fixture(autouse=True)
def cache(folder, monkeypatch):
    monkeypatch.setenv("LINEAGE_CACHE", str(folder / "cache"))


def options(folder, **others):
    return {
        "model": "tiny",
        "vocabulary": folder / "vocab.txt",
        "text": folder / "text.txt",
        "max_length": 32,
        "batch_size": 16,
        "steps": 40,
        "evaluate_every": 20,
        "learning_rate": 1e-3,
        "warmup": 0.1,
        "schedule": "constant",
        "dropout": 0.0,
        "held_out": 0.1,
    } | others


def pretrain(capsys, options, *flags):
    return cli(capsys, "pretrain", "bert", *[f"--{name}={value}" for name, value in options.items()], *flags)


@pytest.fixture(scope="module")
def run(folder):
    from trainer.commands.pretrain import pretrain

    given = options(folder, out=folder / "run", steps=180, evaluate_every=90) | {"text": [str(folder / "text.txt")]}
    given |= {name: str(given[name]) for name in ("vocabulary", "out")}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LINEAGE_CACHE", str(folder / "cache"))
        return pretrain(Pretrain(method="bert", **given).checked())


def test_a_run_learns_and_is_scored_again(run, folder, capsys):
    final = run["final"]
    assert final["masked_loss"] < 1.9 and final["masked_accuracy"] > 0.25  # of eight words, without a look: 2.1
    assert final["loss"] == pytest.approx(final["masked_loss"] + final["next_loss"], abs=2e-6)
    lines = [json.loads(line) for line in (folder / "run" / "metrics.jsonl").read_text().splitlines()]
    assert {"loss", "masked_accuracy", "next_accuracy", "learning_rate"} <= {*lines[0]}
    assert [line["dev"]["round"] for line in lines if "dev" in line] == [1, 2]
    status, out, err = cli(capsys, "evaluate", folder / "run", "--data", folder / "text.txt")
    assert status == 0, err
    scores = json.loads(out)
    assert scores["task"] == "pretraining" and scores["sequences"] > final["sequences"]
    status, _, err = cli(capsys, "evaluate", folder / "run", "--data", folder / "text.txt", "--report")
    assert status == 2 and err.count("\n") == 1 and "expected --data and --limit beside a run of pretraining" in err


def test_a_run_fills_masks_and_its_export_the_same(run, folder, capsys, tmp_path):
    """What is hidden in these texts is among what is not."""
    words = " ".join(WORDS[:3])
    rows = [{"text": f"{words} [MASK] {words}."}, {"text": f"{words} [MASK][MASK]"}]
    rows += [{"text": f"{words} [MASK] {words}.", "top_k": 7}, {"text": f"[MASK]国，{words}", "top_k": 1}]
    predicted = check_export(capsys, "fill_mask", folder / "run", rows, tmp_path)
    assert [len(answer["tokens"]) for answer in predicted] == [5, 5, 7, 1]
    assert set(predicted[0]["tokens"][:3]) <= {*WORDS[:8]}, predicted[0]
    assert predicted[0]["tokens"] == predicted[2]["tokens"][:5] and predicted[3]["texts"][0].endswith(f"国，{words}")
    server = Server("--model_name=fill_mask", f"--model_base_path={tmp_path / 'export'}")
    client.main(["fill_mask", f"--input={tmp_path / 'rows.jsonl'}", f"--server={server.address}"])
    assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == predicted
    client.main(["fill_mask", "--text", rows[0]["text"], "--top_k=7", f"--server={server.address}"])
    assert json.loads(capsys.readouterr().out) == {
        name: value for name, value in predicted[2].items() if name != "top_k"
    }
    assert server.stop() == 0, server.log


def test_another_run_begins_with_it(run, folder, capsys, tmp_path):
    (tmp_path / "train.tsv").write_text(
        "text\tlabel\n" + "a good film\tpositive\na bad film\tnegative\n" * 8, encoding="utf-8"
    )
    status, out, err = cli(
        *(capsys, "finetune", "sentiment", "--init", folder / "run", "--train", tmp_path / "train.tsv"),
        *("--epochs=1", "--batch_size=8", "--max_length=16", "--out", tmp_path / "run"),
    )
    assert status == 0, err
    assert "in the file but not used: cls.predictions.bias" in err and "new: classifier" in err
    status, out, err = pretrain(
        capsys,
        {name: value for name, value in options(folder, init=folder / "run", out=tmp_path / "on", steps=20).items()
         if name not in ("model", "vocabulary")},
    )  # fmt: skip
    assert status == 0, err
    assert json.loads(out)["best"]["masked_loss"] < 1.9 and "in the file but not used: none" in err


def test_a_model_of_masked_words_alone_begins_others(folder, capsys, tmp_path):
    """It has no pooler: what needs one begins with a new one."""
    given = options(folder, out=tmp_path / "mlm", objectives="mlm", steps=4, evaluate_every=4)
    status, _, err = pretrain(capsys, given)
    assert status == 0, err
    (tmp_path / "train.tsv").write_text(
        "text\tlabel\n" + "a good film\tpositive\na bad film\tnegative\n" * 4, encoding="utf-8"
    )
    status, _, err = cli(
        *(capsys, "finetune", "sentiment", "--init", tmp_path / "mlm", "--train", tmp_path / "train.tsv"),
        *("--epochs=1", "--batch_size=8", "--max_length=16", "--dry_run", "--out", tmp_path / "run"),
    )
    assert status == 0 and "new: pooler, classifier" in err, err
    given = {name: value for name, value in given.items() if name not in ("model", "vocabulary")}
    status, _, err = pretrain(
        capsys, given | {"init": tmp_path / "mlm", "out": tmp_path / "nsp", "objectives": "mlm,nsp"}
    )
    assert status == 0, err
    settings = json.loads((tmp_path / "nsp" / "config.json").read_text())
    assert settings["hidden_dropout_prob"] == 0.1  # what it was trained without is not what it is fine-tuned without


def test_other_files_are_another_run(folder, capsys, tmp_path):
    for name in ("a.txt", "b.txt"):
        (tmp_path / name).write_text(of_few_words(8), encoding="utf-8")
    given = options(folder, text=tmp_path / "?.txt", steps=2, evaluate_every=2, out=tmp_path / "run")
    assert pretrain(capsys, given)[0] == 0
    status, _, err = pretrain(capsys, given | {"text": f"{tmp_path}/../{tmp_path.name}/*.txt"})
    assert status == 0 and "holds this run, finished" in err  # the same files, said otherwise
    (tmp_path / "b.txt").unlink()
    status, _, err = pretrain(capsys, given)
    assert status == 2 and "holds a run with --text ['a.txt', 'b.txt'], not ['a.txt']" in err


def test_transformers_form(run, folder, capsys, tmp_path):
    status, out, err = cli(capsys, "export_hf", folder / "run", "--to", tmp_path / "hf")
    assert status == 0, err
    assert json.loads(out)["architecture"] == "BertForPreTraining"
    names = {*load_file(tmp_path / "hf" / "model.safetensors")}
    assert {
        *("cls.predictions.transform.dense.weight", "cls.predictions.transform.LayerNorm.bias", "cls.predictions.bias"),
        *("cls.seq_relationship.weight", "bert.embeddings.word_embeddings.weight"),
    } <= names and not any("decoder" in name for name in names)
    assert "lineage" not in json.loads((tmp_path / "hf" / "config.json").read_text())
    assert "fill-mask" in (tmp_path / "hf" / "README.md").read_text()


def test_a_stopped_run_ends_as_one_that_was_not(folder, capsys, tmp_path):
    digests = []
    given = options(folder, steps=12, evaluate_every=6, objectives="mlm", masking="pieces")
    for name, at in (("whole", ()), ("stopped", (4, 9))):
        out = tmp_path / name
        for step in at:
            with stopped_at(step):
                status, _, err = pretrain(capsys, given | {"out": out})
            assert status == 143, err
        if at:
            shutil.rmtree(folder / "cache")  # the shards are made again, the same
        status, result, err = pretrain(capsys, given | {"out": out})
        assert status == 0, err
        digests.append(json.loads(result)["digest"])
    assert digests[0] == digests[1]


def test_batches_of_a_step_are_divided_by_what_is_predicted_in_all(run, folder):
    """The gradient of two batches is that of one that holds both, however unequal they are."""
    from trainer.data.plain_text import PlainText
    from trainer.training import optim
    from trainer.training.step import training_step

    trained = Pretrained(folder / "run")
    passages = trained.scorer(PlainText([str(folder / "text.txt")]), 16).passages
    small, large = (passages.batch(tf.constant(rows), tf.constant(0, tf.int64)) for rows in ([3], [0, 5, 6, 9, 11]))
    both = passages.batch(tf.constant([3, 0, 5, 6, 9, 11]), tf.constant(0, tf.int64))
    variables, found = trained.model.trainable_variables, []
    before = [variable.numpy() for variable in variables]
    losses = []
    for given in ([both], [small, large]):
        optimizer = optim.optimizer(variables, 0.1, weight_decay=0.0, name="sgd", clip_norm=0.0)
        step = training_step(
            without_dropout(trained.model), masked.loss, optimizer, SIGNATURES, accumulate=len(given) > 1,
            counts=masked.counts(pairs=True), measures=masked.measures,
        )  # fmt: skip
        losses.append(step(given)["loss"])
        found.append([variable.numpy() for variable in variables])
        for variable, value in zip(variables, before, strict=True):
            variable.assign(value)
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    for one, other in zip(*found, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)
    assert any(np.abs(one - start).max() > 1e-3 for one, start in zip(found[0], before, strict=True))


SIGNATURES = [masked.SIGNATURE, masked.TARGETS]


class without_dropout:
    """A model that is trained as it is scored."""

    def __init__(self, model):
        self.model, self.trainable_variables = model, model.trainable_variables

    def __call__(self, inputs, training):
        return self.model(inputs, training=False)


@pytest.mark.parametrize(
    "changed, words",
    [
        ({"text": "none.txt"}, "none.txt: no such file"),
        ({"vocabulary": "none.txt"}, "none.txt: no such file"),
        ({"model": "huge"}, "--model: expected one of"),
        ({"model": "lstm"}, "expected a BERT, received"),
        ({"objectives": "nsp"}, "--objectives: expected mlm,nsp or mlm, received nsp"),
        ({"max_length": 4}, "--max_length: expected 8 or more, received 4"),
        ({"max_length": 1000}, "--max_length 1000 is more than the 512 positions"),
        ({"steps": 30}, "--steps: expected a multiple of --evaluate_every 20, received 30"),
        ({"clip_norm": -1}, "--clip_norm: expected 0 or more"),
        ({"text": "one.txt"}, "--objectives mlm,nsp: expected two documents or more to train on"),
        ({"vocabulary": "maskless.txt"}, "maskless.txt: expected a vocabulary with [MASK], found none"),
        ({"steps": 0}, "--steps: expected more than 0, received 0"),
        ({"masked_share": 0}, "--masked_share"),
    ],
)
def test_mistakes(changed, words, folder, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "one.txt").write_text("a good film.\nnot bad.\n")
    (tmp_path / "maskless.txt").write_text("\n".join(word for word in VOCABULARY if word != "[MASK]"))
    status, out, err = pretrain(capsys, options(folder, out=tmp_path / "run") | changed)
    assert status == 2 and not out and words in err, err
    assert not (tmp_path / "run").exists()
