"""The trainer as users call it: it learns, writes its folder, repeats itself, answers mistakes with one line."""

import json
import shutil

import numpy as np
import pytest
import yaml

from tests.conftest import cli, said_by, write_bert_folder, write_examples
from trainer.runs.run import Run
from trainer.tasks.kinds import KINDS


def test_run_learns_and_is_whole(run_folder):
    result = json.loads((run_folder / "metrics.json").read_text())
    assert result["final"]["accuracy"] >= 0.95
    assert result["best"]["accuracy"] >= result["final"]["accuracy"]
    assert (result["task"], result["seed"], result["steps"]) == ("sentiment", 7, 96)
    assert sorted(path.name for path in run_folder.iterdir()) == [
        "config.json", "labels.txt", "metrics.json", "metrics.jsonl", "model.safetensors", "tensorboard",
        "tokenizer_config.json", "vocab.txt",
    ]  # fmt: skip
    lines = [json.loads(line) for line in (run_folder / "metrics.jsonl").read_text().splitlines()]
    steps = [line for line in lines if "step" in line]
    assert [line["step"] for line in steps] == [10, 20, 30, 40, 50, 60, 70, 80, 90, 96] and steps[-1][
        "learning_rate"
    ] == 0
    assert steps[-1]["loss"] < steps[0]["loss"] / 2
    assert len([line for line in lines if "dev" in line]) == 3
    assert (run_folder / "labels.txt").read_text() == "negative\npositive\n"
    assert any((run_folder / "tensorboard").iterdir())


def test_evaluate_and_predict(run_folder, capsys):
    dev = run_folder.parent / "dev.txt"
    status, out, err = cli(capsys, "evaluate", run_folder, "--data", dev)
    score = json.loads(out)
    final = json.loads((run_folder / "metrics.json").read_text())["final"]
    assert status == 0 and "40 examples" in err
    assert score["accuracy"] == final["accuracy"] and score["loss"] == pytest.approx(final["loss"], abs=1e-5)

    status, out, _ = cli(capsys, "predict", run_folder, "--text", "a good film", "坏 片", "")
    rows = [json.loads(line) for line in out.splitlines()]
    assert [row["text"] for row in rows] == ["a good film", "坏 片", ""]
    assert [row["label"] for row in rows[:2]] == ["positive", "negative"]
    for row in rows:
        assert list(row) == ["text", "label", "score", "probabilities"]
        assert row["score"] == max(row["probabilities"].values()) == row["probabilities"][row["label"]]
        assert sum(row["probabilities"].values()) == pytest.approx(1, abs=1e-5)

    status, out, _ = cli(capsys, "predict", run_folder, "--text", "a good film", "--text", "坏 片", "")
    assert [json.loads(line) for line in out.splitlines()] == rows

    (run_folder.parent / "ask.jsonl").write_text('{"text": "a good film"}\n')
    status, out, _ = cli(capsys, "predict", run_folder, "--input", run_folder.parent / "ask.jsonl")
    assert [json.loads(line) for line in out.splitlines()] == rows[:1]


def options_in(folder, init):
    train, dev = write_examples(folder / "train.txt", 24), write_examples(folder / "dev.txt", 8)
    return {"train": train, "dev": dev, "init": init, "out": folder / "run", "epochs": 1, "max_length": 16}


@pytest.fixture
def options(bert_folder, tmp_path):
    return options_in(tmp_path, bert_folder)


def finetune(capsys, options, *flags):
    return cli(capsys, "finetune", "sentiment", *[f"--{name}={value}" for name, value in options.items()], *flags)


@pytest.fixture(scope="module")
def plain(bert_folder, tmp_path_factory):
    """A run with `options`, but without dev data: (its folder, standard output, standard error)."""
    options = options_in(tmp_path_factory.mktemp("plain"), bert_folder)
    del options["dev"]
    status, out, err = said_by("finetune", "sentiment", *[f"--{name}={value}" for name, value in options.items()])
    assert status == 0, err
    return options["out"], out, err


def test_same_settings_give_the_same_bytes_and_another_seed_others(plain, options, capsys, tmp_path):
    del options["dev"]
    weights = [(plain[0] / "model.safetensors").read_bytes()]
    for name, seed in (("two", 0), ("three", 4)):
        status, _, err = finetune(capsys, options | {"out": tmp_path / name, "seed": seed})
        assert status == 0, err
        weights.append((tmp_path / name / "model.safetensors").read_bytes())
    assert weights[0] == weights[1] != weights[2]


def test_finished_run_answers_and_other_settings_are_refused(options, capsys):
    status, first, err = finetune(capsys, options)
    assert status == 0
    for phrase in ("24 examples", "parameters", "seed 0", "0 cut at 16", "new: classifier", "final", "best"):
        assert phrase in err
    status, repeated, err = finetune(capsys, options)
    assert (status, repeated) == (0, first) and "finished" in err
    status, out, err = finetune(capsys, options | {"epochs": 2})
    assert (status, out) == (2, "") and "--epochs 1, not 2" in err
    status, out, err = finetune(capsys, options | {"epochs": 2}, "--overwrite")
    assert status == 0 and json.loads(out)["steps"] == 2


def test_a_mistake_leaves_what_was_there_and_the_mended_command_runs(plain, options, capsys, tmp_path):
    del options["dev"]
    first = plain[1]
    shutil.copytree(plain[0], options["out"])
    bad = write_bert_folder(tmp_path / "bad", layers=1)
    (bad / "model.safetensors").unlink()
    status, _, err = finetune(capsys, options | {"init": bad}, "--overwrite")
    assert status == 2 and "not found" in err
    assert finetune(capsys, options)[:2] == (0, first)  # the old run is whole

    fresh = options | {"out": tmp_path / "fresh", "batch_size": 4}
    assert finetune(capsys, fresh | {"init": bad})[0] == 2 and not fresh["out"].exists()
    status, _, err = finetune(capsys, fresh | {"learning_rate": "1e30"})
    assert status == 2 and "the loss became" in err
    status, _, err = finetune(capsys, fresh)
    assert status == 2 and "holds a run with --learning_rate 1e+30, not 5e-05" in err
    assert finetune(capsys, fresh, "--overwrite")[0] == 0


def test_recipe_in_a_file_and_flags_win(options, capsys, tmp_path):
    recipe = {name: str(value) if name not in ("epochs", "max_length") else value for name, value in options.items()}
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    status, out, err = cli(capsys, "finetune", "--config", tmp_path / "recipe.yaml", "sentiment", "--epochs", "2")
    assert status == 0, err
    assert json.loads(out)["final"]["epoch"] == 2


def test_labels_by_name(options, capsys):
    del options["dev"]
    status, _, err = finetune(capsys, options, "--labels", "bad", "good")
    assert status == 0, err
    config = json.loads((options["out"] / "config.json").read_text())
    assert config["id2label"] == {"0": "bad", "1": "good"}


def test_classes_of_the_data_from_random_weights(bert_folder, capsys, tmp_path):
    """Three classes that no option names, and random weights; the run folder is all that prediction needs."""
    texts = {"sports": "a good film", "art": "very bad", "law": "中 国 人"}
    for name, count in (("train.txt", 240), ("dev.txt", 9)):
        (tmp_path / name).write_text("".join(f"{label} {text}\n" for label, text in texts.items()) * (count // 3))
    options = {"train": tmp_path / "train.txt", "dev": tmp_path / "dev.txt", "out": tmp_path / "run", "max_length": 16}
    options |= {"model": "tiny", "vocabulary": bert_folder / "vocab.txt", "epochs": 2, "learning_rate": 1e-3}
    options |= {"lines": "labelled"}
    command = ["finetune", "classification", *[f"--{name}={value}" for name, value in options.items()]]
    status, out, err = cli(capsys, *command, "--batch_size=6")
    assert status == 0 and json.loads(out)["final"]["accuracy"] == 1.0, err
    assert "0 art, 1 law, 2 sports" in err and "random: BERT of size tiny" in err
    assert (tmp_path / "run" / "labels.txt").read_text() == "art\nlaw\nsports\n"
    status, out, _ = cli(capsys, "predict", tmp_path / "run", "--text", *texts.values())
    assert [json.loads(line)["label"] for line in out.splitlines()] == list(texts)


def test_pairs_from_file_to_export(bert_folder, capsys, tmp_path):
    """Two texts a row, told apart by their place: `a` after `b` is another class than `b` after `a`."""
    rows = [("a film", "very bad", "one"), ("very bad", "a film", "two"), ("a film", "a film", "three")]
    lines = ["sentence1\tsentence2\tlabel", *["\t".join(row) for row in rows] * 80]
    (tmp_path / "train.tsv").write_text("\n".join(lines) + "\n")
    options = {"train": tmp_path / "train.tsv", "dev": tmp_path / "train.tsv", "out": tmp_path / "run", "dev_limit": 9}
    options |= {"model": "tiny", "vocabulary": bert_folder / "vocab.txt", "epochs": 2, "learning_rate": 1e-3}
    options |= {"max_length": 16, "seed": 1}
    command = ["finetune", "classification", *[f"--{name}={value}" for name, value in options.items()]]
    status, out, err = cli(capsys, *command, "--batch_size=6")
    assert status == 0 and json.loads(out)["final"]["accuracy"] == 1.0, err
    status, out, _ = cli(
        capsys, "predict", tmp_path / "run", "--text", "a film", "very bad", "--text_b", "very bad", "a film"
    )
    answers = [json.loads(line) for line in out.splitlines()]
    assert [(row["text"], row["text_b"], row["label"]) for row in answers] == rows[:2]
    status, out, err = cli(capsys, "predict", tmp_path / "run", "--text", "a film")
    assert status == 2 and "this run answers --text and --text_b; received --text" in err
    assert cli(capsys, "predict", tmp_path / "run", "--text", "a", "b", "--text_b", "c")[0] == 2

    from serving.export import export
    from serving.server.models.servable import Servable

    servable = Servable(export(tmp_path / "run", tmp_path / "export")["path"])
    inputs = {"text": np.array([b"a film"], object), "text_b": np.array([b"a film"], object)}
    assert servable.predict("serving_default", inputs)["label"] == [b"three"]


def test_dropout_and_epsilon_are_options(plain, options, capsys):
    import tensorflow as tf

    del options["dev"]
    digests = set()
    for name, flags in (("a", []), ("b", ["--dropout=0"]), ("c", ["--dropout=0", "--epsilon=1e-3"])):
        options["out"] = options["out"].with_name(name) if flags else plain[0]
        status, out, err = finetune(capsys, options, *flags) if flags else (0, *plain[1:])
        assert (
            status == 0
            and ("; dropout 0" in err) == ("--dropout=0" in flags)
            and ("epsilon 0.001" in err) == (name == "c")
        )
        digests.add(json.loads(out)["digest"])
        run = Run(options["out"])
        inputs = run.setup.reader.frame(tf.ragged.constant([[13, 14, 20]], dtype=tf.int32))
        same = np.array_equal(run.model(inputs, training=True), run.model(inputs, training=False))
        assert same == ("--dropout=0" in flags)
    assert len(digests) == 3


def test_optimiser_schedule_and_clipping_are_options(options, capsys):
    """Each changes the result; a run that is older than an option counts as one with its default."""
    del options["dev"]
    options |= {"batch_size": 8}  # three steps
    status, out, err = cli(capsys, "finetune", "sentiment", *[f"--{k}={v}" for k, v in options.items()])
    path = options["out"] / "config.json"
    config = json.loads(path.read_text())
    for name in ("optimizer", "schedule", "clip_norm"):
        del config["lineage"]["options"][name]
    path.write_text(json.dumps(config))
    assert cli(capsys, "finetune", "sentiment", *[f"--{k}={v}" for k, v in options.items()])[1] == out
    digests = {json.loads(out)["digest"]}
    for flag, phrase in (
        ("--schedule=cosine", "then along a cosine to 0"),
        ("--optimizer=sgd", "clipped at norm 1; sgd;"),
        ("--clip_norm=0.01", "clipped at norm 0.01;"),
    ):
        command = [f"--{k}={v}" for k, v in options.items()]
        status, _, err = cli(capsys, "finetune", "sentiment", *command, flag)
        assert status == 2 and "holds a run with --" in err
        status, out, err = cli(capsys, "finetune", "sentiment", *command, flag, "--overwrite")
        assert status == 0 and phrase in err
        digests.add(json.loads(out)["digest"])
    assert len(digests) == 4


def test_a_run_goes_on_with_the_head_of_another(run_folder, options, capsys, tmp_path):
    """Of the same task and labels: it begins where the first one ended. Of others, the head is new."""
    options |= {"init": run_folder, "train": run_folder.parent / "train.txt", "dev": run_folder.parent / "dev.txt"}
    options |= {"learning_rate": 1e-9, "epochs": 1}
    status, out, err = finetune(capsys, options)
    assert status == 0 and f"weights   {run_folder}; its head goes on; in the file but not used: none" in err
    before = json.loads((run_folder / "metrics.json").read_text())["final"]
    after = json.loads(out)["final"]
    assert after["accuracy"] == before["accuracy"] and after["loss"] == pytest.approx(before["loss"], abs=1e-4)
    for other in (["--labels", "good", "bad"], []):
        task = "sentiment" if other else "classification"
        flags = [f"--{name}={value}" for name, value in (options | {"out": tmp_path / f"{task}-2"}).items()]
        status, _, err = cli(capsys, "finetune", task, *flags, *other, "--dry_run")
        assert status == 0 and f"{run_folder}; new: classifier; in the file but not used: classifier.bias" in err


def test_classes_may_weigh_differently(options, capsys, tmp_path):
    """Of 40 rows ten are positive: with balanced weights each of them counts three times as much as another."""
    del options["dev"]
    lines = write_examples(options["train"], 80).read_text().splitlines()
    rows = [line for line in lines if line[0] == "0"][:30] + [line for line in lines if line[0] == "1"][:10]
    options["train"].write_text("\n".join(rows) + "\n")
    (tmp_path / "weights.json").write_text(json.dumps({"positive": 2, "negative": 2 / 3}))
    results = []
    for weights in ("balanced", tmp_path / "weights.json"):
        status, _, err = finetune(capsys, options | {"class_weights": weights, "out": tmp_path / f"{len(results)}"})
        assert status == 0 and "; in the loss: negative x 0.6667, positive x 2" in err
        results.append((tmp_path / f"{len(results)}" / "model.safetensors").read_bytes())
    assert results[0] == results[1]
    assert finetune(capsys, options)[0] == 0
    assert (options["out"] / "model.safetensors").read_bytes() != results[0]
    for content, message in (
        ("{", "expected balanced, or a file of JSON {label: weight}, found"),
        ('{"positive": 1}', "with negative, positive, found 'positive'"),
        ('{"positive": 1, "negative": 0}', "numbers above 0, found '0' for negative"),
    ):
        (tmp_path / "weights.json").write_text(content)
        wrong = options | {"class_weights": tmp_path / "weights.json", "out": tmp_path / "wrong"}
        status, _, err = finetune(capsys, wrong)
        assert status == 2 and message in err.splitlines()[-1] and not (tmp_path / "wrong").exists()
    status, _, err = finetune(capsys, options | {"class_weights": "heavy", "out": tmp_path / "wrong"})
    assert status == 2 and "cannot be read (No such file or directory)" in err


def test_weighted_loss_is_pytorchs():
    """sum(w[y] * loss) / sum(w[y]), as torch.nn.CrossEntropyLoss(weight=w) has it."""
    logits, targets, weights = np.float32([[1, 2, 0], [0, 0, 3], [1, -1, 0]]), np.array([0, 2, 2]), [0.5, 1.0, 4.0]
    total, count = KINDS["classify"].weighted_loss(weights)(targets, logits)
    chances = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    losses = -np.log(chances[np.arange(3), targets])
    assert float(total / count) == pytest.approx(np.average(losses, weights=[0.5, 4, 4]), rel=1e-6)
