"""What is prepared for another machine, and trained there: the same numbers as here."""

import subprocess
import sys

import numpy as np
import pytest
from safetensors.numpy import load, load_file

from tests.conftest import ROOT, VOCABULARY
from tests.trainer.commands.test_pretrain import of_few_words
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
from trainer.errors import Mistake
from trainer.pretraining import masked
from trainer.pretraining import run as of_run
from trainer.pretraining.elsewhere import prepare, train
from trainer.pretraining.elsewhere.documents import Documents
from trainer.pretraining.masking import NOTHING
from trainer.pretraining.source import SIGNATURE, TARGETS, Source
from trainer.runs.blueprint import Blueprint
from trainer.training import batches, optim
from trainer.training.step import training_step


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("prepared")
    for name, documents in (("a", 40), ("b", 30)):
        (folder / f"{name}.txt").write_text(of_few_words(documents), encoding="utf-8")
    (folder / "vocab.txt").write_text("\n".join(VOCABULARY) + "\n", encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LINEAGE_CACHE", str(folder / "cache"))
        made = prepare.prepare(options(folder))
    return folder, made


def options(folder, *more):
    corpora = ["--corpus", f"en={folder}/a.txt", "--corpus", f"zh*2={folder}/b.txt"]
    given = ["--vocabulary", f"{folder}/vocab.txt", "--model", "tiny", "--max_length", "32", "--held_out", "0.1"]
    return prepare.parsed([*corpora, *given, "--to", f"{folder}/prepared", *more])


def test_what_is_prepared_is_what_would_be_read_here(folder):
    folder, made = folder
    prepared = Documents.of(folder / "prepared")
    train_set, dev = prepared.mixtures()
    assert (made["sequences"], made["held_out_sequences"]) == (train_set.number, dev.number)
    assert [(part.name, part.times) for part in train_set.parts] == [("en", 1), ("zh", 2)]
    for source, part, scored in zip(prepared.sources, train_set.parts, dev.parts, strict=True):
        documents = [*part.passages.documents, *scored.passages.documents]
        assert sorted(documents) == [*range(source.corpus.documents)] and len(scored.passages.documents) >= 3
        here = source_of(prepared, part.passages)
        inputs, targets = next(iter(batches.dataset(here, [np.arange(5)], 3)))
        for i in range(5):
            example = part.passages.example(i, 3)
            length = len(example.ids)
            np.testing.assert_array_equal(inputs["token_ids"][i][:length], example.ids)
            np.testing.assert_array_equal(targets["words"][i][:length], example.targets)


def test_mistakes_are_said(folder, tmp_path, capsys):
    folder, _ = folder
    with pytest.raises(Mistake, match=r"--to .*: cannot be made"):
        prepare.prepare(options(folder))
    with pytest.raises(Mistake, match="expected NAME=FILE"):
        prepare.prepare(options(folder, "--corpus", "no-name", "--to", f"{tmp_path}/x"))
    with pytest.raises(Mistake, match=r"expected what `trainer[.]pretraining[.]elsewhere[.]prepare` writes"):
        Documents.of(folder)
    for wrong in ([], ["--steps", "1", "--seconds", "1"], ["--steps", "1", "--precision", "float8"]):
        with pytest.raises(SystemExit):
            train.parsed([str(folder), "--out", "x", *wrong])
        assert "expected" in capsys.readouterr().err


def test_it_needs_no_tensorflow():
    code = "import sys, trainer.pretraining.elsewhere.train; print([m for m in ('tensorflow', 'keras', 'jax') if m in sys.modules])"
    assert subprocess.check_output([sys.executable, "-c", code], cwd=ROOT, text=True) == "[]\n"


def source_of(prepared, passages):
    how = {"max_length": 32, "pairs": True, "whole_words": True, "short": 0.1, "seed": 0}
    return Source(passages.corpus, prepared.vocabulary, passages.masking, documents=passages.documents, **how)


def whole(batch):
    """Returns a batch as TensorFlow's steps take it."""
    place = np.arange(batch.ids.shape[1])[None]
    mask = place < batch.lengths[:, None]
    words = np.full(batch.ids.shape, NOTHING, np.int32)
    for row, (places, gold) in enumerate(zip(batch.places, batch.words, strict=True)):
        words[row, places[gold != NOTHING]] = gold[gold != NOTHING]
    segments = ((place >= batch.seconds[:, None]) & mask).astype(np.int32)
    inputs = {"token_ids": batch.ids, "segment_ids": segments, "mask": mask, "masked": words != NOTHING}
    return inputs, {"words": words, "next": batch.next}


@needs_jax
def test_its_steps_are_those_of_here(folder, tmp_path):
    folder, _ = folder
    result, _ = trained(folder / "prepared", tmp_path / "run", "--float16")
    exact, _ = trained(folder / "prepared", tmp_path / "exact")
    prepared = Documents.of(folder / "prepared")
    train_set, dev = prepared.mixtures()
    write_start(folder / "prepared", tmp_path / "start")
    blueprint = Blueprint.of_weights(tmp_path / "exact").with_dropout(0.0)
    model = of_run.model_of(blueprint, {"seed": 0, "objectives": "mlm,nsp"})
    blueprint.load(model, tmp_path / "start")
    schedule = optim.Schedule(RATE, round(WARMUP * STEPS), STEPS)
    optimizer = optim.optimizer(model.trainable_variables, schedule, weight_decay=0.01)
    step = training_step(model, masked.loss, optimizer, [SIGNATURE, TARGETS])
    for number in range(STEPS):
        step([whole(train_set.batch(number, BATCH))])
    ours, theirs = load(blueprint.architecture.to_bytes(model)), load_file(tmp_path / "exact" / "model.safetensors")
    assert max(float(np.abs(ours[name] - theirs[name]).max()) for name in theirs) < 1e-5
    # What it says of held-out text, the product finds
    for run, said in (("run", result), ("exact", exact)):
        blueprint.load(model, tmp_path / run)
        for part in dev.parts:
            found = masked.Scorer(model, source_of(prepared, part.passages), BATCH, part.passages.number)()
            for name in ("masked_loss", "masked_accuracy", "next_loss", "next_accuracy"):
                assert found[name] == pytest.approx(said["final"][f"{part.name}_{name}"], abs=1e-5)
    assert load_file(tmp_path / "run" / "model.safetensors")["cls.predictions.bias"].dtype == np.float16


@needs_jax
def test_it_goes_on_where_it_was(folder, tmp_path):
    folder, _ = folder
    check_it_goes_on(folder / "prepared", tmp_path)
