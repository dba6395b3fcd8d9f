"""Language models from text files to a run that another one begins with."""

import json
import math
import shutil

import numpy as np
import pytest
from safetensors.numpy import load_file

from serving.client import command as client
from tests.conftest import Server, cli, stopped_at
from tests.trainer.architectures.test_lineage import check_export

WORDS = ["the", "cat", "sat", "on", "a", "mat", "and", "the", "dog", "ran", "to", "it", ".", "国王", "王后"]


def write_text(path, lines=150):
    """Writes lines in which each word but the first follows from the one before."""
    draw = np.random.default_rng(0)
    starts = draw.integers(len(WORDS), size=lines)
    text = [" ".join(WORDS[(start + i) % len(WORDS)] for i in range(12)).replace("国", "Ä国") for start in starts]
    path.write_text("\n".join(text[:80]) + "\n\n" + "\n".join(text[80:]) + "\n", encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    return write_text(tmp_path_factory.mktemp("language") / "text.txt")


@pytest.fixture(autouse=True)
def cache(text, monkeypatch):
    monkeypatch.setenv("LINEAGE_CACHE", str(text.parent / "cache"))


OPTIONS = {
    "held_out": 0.2,
    "batch_size": 8,
    "max_length": 16,
    "steps": 80,
    "evaluate_every": 40,
    "learning_rate": 0.02,
    "schedule": "constant",
    "dropout": 0.0,
}
LSTM = {"model": "lstm", "settings": ["width=24", "embedding_width=16"]}
SMALL = {
    "lstm": LSTM,
    "gpt": {"model": "gpt", "settings": ["width=24", "heads=2", "layers=1", "positions=16"], "learning_rate": 0.01},
    "elmo": {"settings": ["width=12", "cell_width=16", "layers=1"]},
}


def pretrain(capsys, text, out, *flags, name="lstm", **others):
    options = {"text": text, "out": out} | OPTIONS | SMALL[name] | others
    settings = options.pop("settings", [])
    given = [f"--{option}={value}" for option, value in options.items() if value is not None]
    given += ["--settings", *settings] if settings else []
    return cli(capsys, "pretrain", "elmo" if name == "elmo" else "lm", *given, *flags)


@pytest.mark.parametrize(
    "name, unit, cased, letters",
    [("lstm", "characters", False, 0), ("gpt", "words", True, 0), ("elmo", "tokens", False, 8)],
)
def test_a_run_learns_is_scored_and_begins_another(name, unit, cased, letters, text, capsys, tmp_path):
    settings = [*SMALL[name]["settings"], *([f"letters={letters}"] if letters else [])]
    flags = ["--cased"] if cased else []
    status, out, err = pretrain(capsys, text, tmp_path / "run", *flags, name=name, unit=unit, settings=settings)
    assert status == 0, err
    result = json.loads(out)
    final = result["final"]
    assert final["loss"] < min(1.6, 0.6 * final["unigram_loss"]) and final["accuracy"] > 0.5, final
    assert final["perplexity"] == pytest.approx(math.exp(final["loss"]), rel=1e-4)
    assert ("states are carried on" in err) == (name != "gpt")
    status, out, err = cli(capsys, "evaluate", tmp_path / "run", "--data", text)
    scores = json.loads(out)
    content = text.read_text() + "\n"  # a blank line behind the file
    nats = scores["loss"] * scores["units"]
    assert scores["bits_per_character"] == pytest.approx(nats / math.log(2) / len(content), rel=1e-4)
    lines = content.count("\n")
    assert scores["word_perplexity"] == pytest.approx(math.exp(nats / (len(content.split()) + lines)), rel=1e-4)
    if unit == "characters":
        assert scores["units"] == len(content)

    (tmp_path / "train.tsv").write_text("text\tlabel\n" + "the cat\ta\nto it .\tb\n" * 8, encoding="utf-8")
    options = ("--init", tmp_path / "run", "--train", tmp_path / "train.tsv", "--epochs=1", "--batch_size=8")
    status, _, err = cli(capsys, "finetune", "classification", *options, "--max_length=16", "--out", tmp_path / "task")
    assert status == 0 and "new: classifier; " in err, err
    status, out, err = cli(capsys, "predict", tmp_path / "task", "--text", "the Cat")
    assert status == 0 and json.loads(out)["label"] in ("a", "b"), err
    status, out, err = cli(capsys, "predict", tmp_path / "run", "--text", "dog ran", "--temperature=0")
    if name == "elmo":
        assert status == 2 and "received one of pretraining" in err
    else:
        assert json.loads(out)["continuation"].startswith(" to it"), (out, err)
    if name == "lstm":
        check_written(capsys, tmp_path / "run", tmp_path)
    status, _, err = cli(capsys, "export_hf", tmp_path / "run", "--to", tmp_path / "hf")
    assert status == 2 and ("that reads word pieces" if name == "gpt" else "of a model that transformers has") in err


def check_written(capsys, run, folder):
    """The export of a run writes what the run does, also through the client."""
    rows = [{"text": text, "temperature": 0.0, "max_new_units": 40} for text in ("the cat sat", "a\n", "dog ran")]
    rows += [{"text": "to it .", "seed": seed, "top_p": 0.9, "top_k": 5} for seed in (1, 2)] + [
        {"text": "x 国 unknown"}
    ]
    predicted = check_export(capsys, "text_generation", run, rows, folder)
    for row, answer in zip(rows, predicted, strict=True):
        assert {name: answer[name] for name in row} == row and answer["score"] < 0, answer
    options = ["--text", "to it .", "dog ran", "--seed=1", "--top_p=0.9", "--top_k=5"]
    _, out, _ = cli(capsys, "predict", run, *options)
    assert json.loads(out.splitlines()[0])["continuation"] == predicted[3]["continuation"]
    server = Server("--model_name=text_generation", f"--model_base_path={folder / 'export'}")
    client.main(["text_generation", *options, f"--server={server.address}"])
    assert capsys.readouterr().out == out
    client.main(["text_generation", f"--input={folder / 'rows.jsonl'}", f"--server={server.address}"])
    assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == predicted
    assert server.stop() == 0, server.log


def test_transformers_form(text, capsys, tmp_path):
    """Names and settings of GPT-2; `tests/models/test_gpt.py` shows that they mean the same."""
    status, _, err = pretrain(capsys, text, tmp_path / "run", name="gpt", steps=2, evaluate_every=2)
    assert status == 0, err
    status, out, err = cli(capsys, "export_hf", tmp_path / "run", "--to", tmp_path / "hf")
    assert status == 0 and json.loads(out)["architecture"] == "GPT2LMHeadModel", err
    settings = json.loads((tmp_path / "hf" / "config.json").read_text())
    assert settings["model_type"] == "gpt2" and settings["n_inner"] is None and "lineage" not in settings
    names = {*load_file(tmp_path / "hf" / "model.safetensors")}
    assert {"transformer.wte.weight", "transformer.h.0.attn.c_attn.weight", "transformer.ln_f.bias"} <= names
    assert "text-generation" in (tmp_path / "hf" / "README.md").read_text()


def test_other_files_may_be_scored(text, capsys, tmp_path):
    dev = write_text(tmp_path / "dev.txt", 90)
    options = {"steps": 2, "evaluate_every": 2, "unit": "tokens", "held_out": 0.01}
    status, out, err = pretrain(capsys, text, tmp_path / "run", f"--dev={dev}", **options)
    assert status == 0 and "dev       1,172 tokens" in err, err
    final = json.loads(out)["final"]
    assert final["units"] == 90 * 13 + 2 and final["perplexity"] == pytest.approx(final["word_perplexity"])
    dev.write_text("another\n")
    status, out, err = pretrain(capsys, text, tmp_path / "run", f"--dev={dev}", **options)
    assert status == 2 and "holds a run with --dev (1)" in err, err


def test_drawn_units_teach_as_well_and_another_run_goes_on(text, capsys, tmp_path):
    status, out, err = pretrain(capsys, text, tmp_path / "run", unit="tokens", sampled=8)
    assert status == 0 and json.loads(out)["final"]["loss"] < 1.2, err
    options = {"model": None, "settings": [], "init": tmp_path / "run", "steps": 4, "evaluate_every": 4}
    status, out, err = pretrain(capsys, text, tmp_path / "on", unit="pieces", **options)
    assert status == 0 and json.loads(out)["final"]["loss"] < 1.2 and "not used: none" in err, err
    assert json.loads((tmp_path / "on" / "tokenizer_config.json").read_text())["unit"] == "tokens"


@pytest.mark.parametrize("name", ["lstm", "gpt"])
def test_a_stopped_run_ends_as_one_that_was_not(name, text, capsys, tmp_path):
    """Also within a pass over the text: the states that were carried on are in the checkpoint."""
    digests = []
    options = {"steps": 12, "evaluate_every": 6, "unit": "tokens", "dropout": 0.2, "sampled": 6, "seed": 3}
    for run, at in (("whole", ()), ("stopped", (9,))):
        for step in at:
            with stopped_at(step):
                status, _, err = pretrain(capsys, text, tmp_path / run, name=name, **options)
            assert status == 143, err
        if at:
            shutil.rmtree(text.parent / "cache")  # the shards are made again, the same
        status, result, err = pretrain(capsys, text, tmp_path / run, name=name, **options)
        assert status == 0, err
        digests.append(json.loads(result)["digest"])
    assert digests[0] == digests[1]


@pytest.mark.parametrize(
    "name, changed, words",
    [
        ("lstm", {"unit": "letters"}, "--unit: expected pieces, words, characters or tokens, received letters"),
        (
            "lstm",
            {"model": "tiny", "settings": []},
            "pretrain lm: expected a model of the kind rnn, lstm, gru or gpt, received BERT",
        ),
        ("lstm", {"model": "elmo", "settings": []}, "received ELMo"),
        ("elmo", {"model": "lstm", "settings": []}, "pretrain elmo: expected a model of the kind elmo"),
        ("lstm", {"settings": ["bidirectional=sum"]}, "--settings: expected a network that reads from left to right"),
        ("gpt", {"max_length": 32}, "--max_length 32 is more than the 16 positions of the model"),
        ("lstm", {"max_length": 5000}, "expected more than --max_length 5000 units to train on, found"),
        ("lstm", {"sampled": -1}, "--sampled: expected 0 or more, received -1"),
        ("lstm", {"masking": "pieces"}, "--masking: expected with bert, received with lm"),
        ("lstm", {"width": 50}, "--width: expected with word2vec, received with lm"),
        ("lstm", {"dev": "none.txt"}, "--dev none.txt: no such file"),
        ("lstm", {"unit": "tokens", "vocabulary_min_count": 9999}, "expected tokens that stand in the text so often"),
        ("lstm", {"model": None, "settings": []}, "expected either --init or --model, received neither"),
        ("elmo", {"unit": "words", "settings": ["letters=8"]}, "expected --cased, or --unit tokens"),
    ],
)
def test_mistakes(name, changed, words, text, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    status, out, err = pretrain(capsys, text, tmp_path / "run", name=name, **changed)
    assert status == 2 and not out and words in err.splitlines()[-1], err
    assert not (tmp_path / "run").exists()
