"""The lineage before BERT on each kind of task: it learns, exports answer as runs do, an interrupted run ends as another."""

import itertools
import json

import pytest

from serving.export import export
from tests.conftest import answers_of_export, cli, write_examples, write_questions, write_treebank
from trainer.finetuning import plan
from trainer.tasks.table import TASKS
from trainer.training import loop
from trainer.training import step as step_of

SMALL = ["width=16", "embedding_width=16"]
# Two epochs of many rows: the graphs that read the data are made anew for each.
OPTIONS = {"epochs": 2, "learning_rate": 0.02, "dropout": 0.1, "seed": 1, "max_length": 32, "dev_limit": 24}


def train(capsys, task, path, folder, *, model, **options):
    rate = {"learning_rate": 0.005, "batch_size": 8} if model == "transformer" else {}
    options = {"train": path, "dev": path, "out": folder / "run", "model": model} | OPTIONS | rate | options
    if not options["dev"]:
        del options["dev"], options["dev_limit"]
    settings = options.pop("settings", [])
    flags = [f"--{name}={value}" for name, value in options.items()]
    status, out, err = cli(capsys, "finetune", task, *flags, *(["--settings", *settings] if settings else []))
    assert status == 0, err
    return folder / "run", json.loads(out), err


def check_export(capsys, task, run, rows, folder, size=3):
    """Exports a run, whose answers must be those of the run on every row, whatever rows stand beside it."""
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    status, out, err = cli(capsys, "predict", run, "--input", folder / "rows.jsonl")
    assert status == 0, err
    predicted = [json.loads(line) for line in out.splitlines()]
    export(run, folder / "export")
    answers = answers_of_export(folder / "export" / "1", TASKS[task], rows, size)
    for expected, answer in zip(predicted, answers, strict=True):
        assert answer.keys() == expected.keys() - {option.name for option in TASKS[task].options}
        for name, found in answer.items():
            is_score = isinstance(found, float | dict) or name == "scores"
            assert found == (pytest.approx(expected[name], abs=2e-6) if is_score else expected[name])
    return predicted


PAIRS = [("a good film", "good film", "same"), ("a bad film", "good a", "other"), ("坏 中国", "very bad", "same")]
PAIRS += [("good", "very bad film", "other"), ("bad 人", "坏", "same"), ("好 a", "a a good", "same")]


def test_two_texts(capsys, tmp_path):
    rows = [{"premise": a, "hypothesis": b, "label": label} for a, b, label in PAIRS * 80]
    (tmp_path / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    settings = ["width=16", "heads=2", "letters=4", "pair_width=16"]
    options = {"unit": "words", "vocabulary_size": 12, "settings": settings}
    run, result, err = train(capsys, "nli", tmp_path / "train.jsonl", tmp_path, model="transformer", **options)
    assert result["final"]["accuracy"] > 0.9 and "vocabulary made of the training texts" in err
    rows = [{"premise": a, "hypothesis": b} for a, b, _ in PAIRS] + [{"premise": "", "hypothesis": "a " * 50}]
    check_export(capsys, "nli", run, rows, tmp_path)


def test_questions(capsys, tmp_path):
    path = write_questions(tmp_path / "train.json", 640)
    options = {"unit": "words", "settings": [*SMALL, "pair_width=16"], "doc_stride": 8, "max_length": 16}
    run, result, _ = train(capsys, "qa", path, tmp_path, model="gru", **options)
    assert result["final"]["best_f1"] > 40
    rows = [
        {"question": "a", "context": "film very good 1 2"},
        {"question": "b", "context": " ".join(["film very 1 2 人"] * 8 + ["坏"])},  # four windows and more
        {"question": "a", "context": ""},
    ]
    predicted = check_export(capsys, "qa", run, rows, tmp_path)
    for row, answer in zip(rows, predicted, strict=True):
        assert row["context"][answer["start"] : answer["end"]] == answer["answer"]
    status, out, err = cli(capsys, "predict", run, "--signature", "nbest", "--question", "b", "--context", "bad film")
    assert status == 0 and json.loads(out)["answers"], err


def test_tags(capsys, tmp_path):
    path = write_treebank(tmp_path / "train.conllu", 480)
    settings = ["width=16", "heads=2", "position_codes=learned", "positions=32"]
    run, result, _ = train(capsys, "tagging", path, tmp_path, model="transformer", unit="characters", settings=settings)
    assert result["final"]["accuracy"] > 0.8
    check_export(capsys, "tagging", run, [{"text": "good ab 中国"}, {"text": ""}, {"text": "film " * 60}], tmp_path)


def test_another_run_begins_with_its_weights(capsys, tmp_path):
    path = write_examples(tmp_path / "train.txt", 32)
    settings = [*SMALL, "bidirectional=sum", "normalisation=batch", "layers=2", "residual=true"]
    run, *_ = train(
        capsys, "sentiment", path, tmp_path, model="gru", unit="characters", settings=settings, epochs=1, dev=None
    )
    rows = [{"text": a, "text_b": b, "label": label} for a, b, label in PAIRS]
    (tmp_path / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    options = ["--train", tmp_path / "pairs.jsonl", "--init", run, "--out", tmp_path / "pairs", "--freeze", "1"]
    status, _, err = cli(capsys, "finetune", "classification", *options, "--epochs", "1", "--layer_decay", "0.5")
    assert status == 0 and "new: pair_dense, classifier; in the file but not used: classifier/bias" in err
    assert "frozen: embeddings and the first 1 layers" in err


def test_wrong_settings(capsys, tmp_path):
    train_file = write_examples(tmp_path / "train.txt", 8)
    for model, setting, message in (
        (
            "lstm",
            "depth=2",
            "--settings: recurrent network has the settings dropout, letters, pair_width, pair_attention, cell",
        ),
        ("lstm", "layers=two", "--settings: layers: expected a whole number, received two"),
        ("lstm", "cell=tree", "--settings: cell: expected one of rnn, lstm, gru, received tree"),
        ("transformer", "heads=3", "--settings: heads must divide width, got width=256, heads=3"),
        ("bag", "width", "--settings: expected NAME=VALUE, received width"),
    ):
        options = ["--train", train_file, "--out", tmp_path / "run", "--model", model, "--settings", setting]
        status, out, err = cli(capsys, "finetune", "sentiment", *options)
        assert (status, out) == (2, "") and message in err.splitlines()[-1], err
    assert not (tmp_path / "run").exists()


def test_a_run_that_broke_off_ends_as_one_that_did_not(capsys, monkeypatch, tmp_path):
    """The states of all dropouts, and what batch normalisation has seen, are in the checkpoint."""
    path = write_examples(tmp_path / "train.txt", 96)
    options = {"model": "bilstm", "unit": "words", "dev": None, "checkpoint_every": 0}
    options["settings"] = [*SMALL, "normalisation=batch", "recurrent_dropout=0.2"]
    (tmp_path / "undisturbed").mkdir()
    undisturbed, expected, _ = train(capsys, "sentiment", path, tmp_path / "undisturbed", **options)
    with monkeypatch.context() as patch:
        patch.setattr(loop, "SHARE", float("inf"))  # a checkpoint after every step, however long it takes
        patch.setattr(plan, "training_step", breaking_off_after(4))
        with pytest.raises(AssertionError, match="broke off"):
            train(capsys, "sentiment", path, tmp_path, **options)
    run, result, err = train(capsys, "sentiment", path, tmp_path, **options)
    assert "resume    from step 4 of 6" in err
    assert result | {"seconds": 0} == expected | {"seconds": 0}
    assert (run / "model.safetensors").read_bytes() == (undisturbed / "model.safetensors").read_bytes()


def breaking_off_after(steps):
    """Returns a `training_step` whose steps end with an error after so many."""

    def training_step(*arguments, **options):
        step, made = step_of.training_step(*arguments, **options), itertools.count(1)

        def step_or_error(batches):
            if next(made) > steps:
                raise OSError(5, "broke off")
            return step(batches)

        return step_or_error

    return training_step
