"""Language models that are prepared for another machine, and trained there: the same numbers as `pretrain` finds here."""

import json

import numpy as np
import pytest
from safetensors.numpy import load_file

from tests.conftest import cli
from tests.trainer.commands.test_language import write_text
from tests.trainer.pretraining.elsewhere.processes import (
    BATCH,
    RATE,
    STEPS,
    WARMUP,
    check_it_goes_on,
    needs_jax,
    trained,
    write_start,
)
from trainer.data.plain_text import PlainText
from trainer.errors import Mistake
from trainer.options import Pretrain
from trainer.pretraining import language
from trainer.pretraining.elsewhere import prepare
from trainer.pretraining.elsewhere.streams import Streams

MODELS = {
    "elmo": ["--settings", "width=12", "cell_width=16", "letters=4", "--cased"],
    "gru": ["--model", "gru", "--settings", "width=16", "embedding_width=12"],
    "gpt": ["--model", "gpt", "--settings", "width=16", "heads=2", "layers=1", "positions=16"],
}
READING = ["--unit", "words", "--max_length", "16", "--held_out", "0.2"]


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    return write_text(tmp_path_factory.mktemp("language") / "text.txt", 35)  # a pass of four batches, of all of it five


@pytest.fixture(autouse=True)
def cache(text, monkeypatch):
    monkeypatch.setenv("LINEAGE_CACHE", str(text.parent / "cache"))


def prepared(text, to, name, *more):
    method = "elmo" if name == "elmo" else "lm"
    given = ["--method", method, *READING, *MODELS[name], "--text", str(text), "--to", str(to), *more]
    made = prepare.prepare(prepare.parsed(given))
    return to, made


@pytest.mark.parametrize("name", ["elmo", "gpt"])
def test_what_is_prepared_is_what_would_be_read_here(name, text, tmp_path):
    folder, made = prepared(text, tmp_path / "prepared", name)
    settings = MODELS[name][MODELS[name].index("--settings") + 1 :]
    given = {"settings": [setting for setting in settings if "=" in setting], "cased": "--cased" in settings}
    given |= {"unit": "words", "max_length": 16, "held_out": 0.2, "batch_size": BATCH, "text": [str(text)]}
    method = {"elmo": "elmo", "gpt": "lm"}[name]
    options = Pretrain(method=method, model=name, out="x", **given).checked()
    plan = language.Plan(options, PlainText(options.text), {})
    source = Streams.of(folder).batches(BATCH)
    assert source.of_pass == plan.source.steps == 4
    for number, ([here], rows) in enumerate(plan.rounds.batches(0, 9)):
        batch = source.batch(number)
        assert batch.rows == BATCH and bool(batch.begins) == bool(here.inputs["begins"])
        np.testing.assert_array_equal(batch.targets[:, :rows], here.targets)
        assert np.all(batch.targets[:, rows:] < 0)
        for ids, direction in zip(batch.ids, ("token_ids", "backward_token_ids"), strict=False):
            np.testing.assert_array_equal(ids[:rows], here.inputs[direction])
    assert (made["train"], made["held_out"]) == (len(plan.source.stream), len(plan.held_out))
    letters = Streams.of(folder).letters()
    assert letters is None if name == "gpt" else np.array_equal(letters, plan.letters)


def test_mistakes_are_said(text, tmp_path):
    for name, more, said in (
        ("elmo", ["--corpus", f"en={text}"], "elmo: expected --text, received --corpus"),
        ("elmo", ["--method", "bert"], "bert: expected --corpus, received --text"),
        ("elmo", ["--held_out", "0"], "--held_out: expected a share above 0"),
        ("elmo", ["--masked_share", "0.3"], "--masked_share: expected with bert, received with elmo"),
        ("elmo", ["--max_length", "4000"], "expected more than --max_length 4000 units to train on"),
        ("gru", ["--model", "bigru"], "expected a network that reads from left to right"),
    ):
        with pytest.raises(Mistake, match=said):
            prepared(text, tmp_path / "none", name, *more)
        assert not (tmp_path / "none").exists()


@needs_jax
@pytest.mark.parametrize("name", MODELS)
def test_its_steps_are_those_of_pretrain(name, text, tmp_path, capsys):
    """From the same weights `pretrain` ends with the same weights and scores; and the run is one that other commands read."""
    dev = write_text(tmp_path / "dev.txt", 20)
    folder, _ = prepared(text, tmp_path / "prepared", name, "--dev", str(dev))
    result, _ = trained(folder, tmp_path / "run")
    write_start(folder, tmp_path / "start")
    method = "elmo" if name == "elmo" else "lm"
    same = ["--init", tmp_path / "start", "--max_length=16", "--held_out=0.2", f"--batch_size={BATCH}", "--dropout=0"]
    same += [f"--steps={STEPS}", "--evaluate_every=3", f"--learning_rate={RATE}", f"--warmup={WARMUP}"]
    status, out, err = cli(capsys, "pretrain", method, "--text", text, "--dev", dev, "--out", tmp_path / "here", *same)
    assert status == 0, err
    here = json.loads(out)["final"]
    ours, theirs = (load_file(tmp_path / run / "model.safetensors") for run in ("here", "run"))
    start = load_file(tmp_path / "start" / "model.safetensors")
    assert {*ours} == {*theirs}
    assert max(float(np.abs(ours[tensor] - theirs[tensor]).max()) for tensor in ours) < 1e-5
    assert max(float(np.abs(ours[tensor] - start[tensor]).max()) for tensor in ours) > 1e-3
    for measure, value in result["final"].items():
        assert here[measure] == pytest.approx(value, rel=1e-5), measure
    status, out, err = cli(capsys, "evaluate", tmp_path / "run", "--data", dev, f"--batch_size={BATCH}")
    assert status == 0 and json.loads(out)["loss"] == pytest.approx(result["final"]["loss"], rel=1e-5), err
    (tmp_path / "train.tsv").write_text("text\tlabel\n" + "the cat\ta\nto it .\tb\n" * 8, encoding="utf-8")
    options = ("--init", tmp_path / "run", "--train", tmp_path / "train.tsv", "--epochs=1", "--batch_size=8")
    status, _, err = cli(capsys, "finetune", "classification", *options, "--max_length=16", "--out", tmp_path / "task")
    assert status == 0 and "new: classifier; " in err, err


@needs_jax
def test_it_goes_on_where_it_was(text, tmp_path):
    folder, _ = prepared(text, tmp_path / "prepared", "elmo")
    check_it_goes_on(folder, tmp_path)
