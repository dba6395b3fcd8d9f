"""Several labels for a text: from files to a served answer; the scores are scikit-learn's."""

import json

import numpy as np
import pytest

from serving.export import export
from tests.conftest import answers_of_export, cli, write_bert_folder
from trainer import metrics
from trainer.data import files
from trainer.errors import Mistake
from trainer.tasks.table import TASKS

TASK = TASKS["multi_label"]


def write_topics(path, count=64, seed=0):
    """Writes rows whose labels are the words of three that stand in the text: none, some, all."""
    random = np.random.default_rng(seed)
    lines = []
    for _ in range(count):
        labels = [label for label in ("film", "good", "中") if random.random() < 0.4]
        words = [*labels, *random.choice(["a", "very", "人", "b"], random.integers(1, 5))]
        random.shuffle(words)
        lines.append(json.dumps({"text": " ".join(words), "labels": labels}, ensure_ascii=False) + "\n")
    path.write_text("".join(lines), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def bert_folder(tmp_path_factory):
    """Of two layers: one does not learn all three labels."""
    return write_bert_folder(tmp_path_factory.mktemp("weights") / "tiny")


@pytest.fixture(scope="module")
def run(bert_folder, tmp_path_factory):
    from trainer.__main__ import main

    folder = tmp_path_factory.mktemp("topics")
    train, dev = write_topics(folder / "train.jsonl", 512), write_topics(folder / "dev.jsonl", 40, seed=1)
    options = {"train": train, "dev": dev, "init": bert_folder, "out": folder / "run", "epochs": 6, "batch_size": 16}
    options |= {"learning_rate": 3e-3, "max_length": 16, "seed": 2}
    main(["finetune", "classification", "--multi_label", *[f"--{name}={value}" for name, value in options.items()]])
    return folder / "run"


def test_from_a_file_to_an_export(run, capsys, tmp_path):
    result = json.loads((run / "metrics.json").read_text())
    final = result["final"]
    assert result["task"] == "multi_label" and final["micro_f1"] > 0.85 and final["accuracy"] > 0.6
    assert 0 < final["threshold"] < 1
    config = json.loads((run / "config.json").read_text())
    assert config["problem_type"] == "multi_label_classification"
    assert (run / "labels.txt").read_text(encoding="utf-8") == "film\ngood\n中\n"
    dev = run.parent / "dev.jsonl"
    files_of_it = ["--output", tmp_path / "out.jsonl", "--errors", tmp_path / "wrong.jsonl"]
    status, out, err = cli(capsys, "evaluate", run, "--data", dev, *files_of_it)
    assert status == 0, err
    for name in ("micro_f1", "macro_f1", "accuracy", "threshold"):
        assert json.loads(out)[name] == final[name]
    written = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    right = np.mean([{*row["labels"]} == {*row["predicted"]} for row in written])
    assert round(right, 6) == final["accuracy"]
    report = json.loads(out)["report"]
    assert {*report["classes"]} == {"film", "good", "中"} and "confusion" not in report
    for name in ("micro_f1", "macro_f1", "accuracy"):
        assert report["intervals"][name]["value"] == pytest.approx(final[name], abs=2e-6)
    wrong = [json.loads(line) for line in (tmp_path / "wrong.jsonl").read_text().splitlines()]
    assert len(wrong) == sum({*row["labels"]} != {*row["predicted"]} for row in written)
    assert [row["confidence"] for row in wrong] == sorted((row["confidence"] for row in wrong), reverse=True)

    rows = [{"text": text} for text in ("a good film", "中 人", "very", "", "film good 中")]
    status, out, err = cli(capsys, "predict", run, "--text", *[row["text"] for row in rows])
    assert status == 0, err
    predicted = [json.loads(line) for line in out.splitlines()]
    assert [*predicted[0]] == ["text", "labels", "probabilities"]
    for row in predicted:  # the labels are those above the threshold, the most probable first
        above = {label: p for label, p in row["probabilities"].items() if p > final["threshold"]}
        assert row["labels"] == sorted(above, key=above.get, reverse=True)
    export(run, tmp_path / "export")
    assert answers_of_export(tmp_path / "export" / "1", TASK, rows, 2) == predicted
    none = next(row for row in written if not row["predicted"])
    assert answers_of_export(tmp_path / "export" / "1", TASK, [{"text": none["text"]}], 2)[0]["labels"] == []


def test_the_flag_and_the_task_are_one_run(run, bert_folder, capsys):
    data = run.parent
    options = {"train": data / "train.jsonl", "dev": data / "dev.jsonl", "init": bert_folder, "out": run, "epochs": 6}
    flags = [
        f"--{k}={v}"
        for k, v in (options | {"learning_rate": 3e-3, "max_length": 16, "batch_size": 16, "seed": 2}).items()
    ]
    status, out, err = cli(capsys, "finetune", "multi_label", *flags)
    kept = json.loads((run / "metrics.json").read_text())
    assert status == 0 and json.loads(out) == {name: value for name, value in kept.items() if name != "report"}
    status, _, err = cli(capsys, "finetune", "sentiment", "--multi_label", *flags)
    assert status == 2 and "--multi_label: expected for classification, received for sentiment" in err


@pytest.mark.parametrize(
    "name, content, expected",
    [
        ("a.tsv", "text\tlabels\na\tx|y\nb\t\nc\ty | x|x\n", [["x", "y"], [], ["y", "x"]]),
        ("a.jsonl", '{"text": "a", "label": "x|y"}\n{"text": "b", "label": ["y"]}\n', [["x", "y"], ["y"]]),
        ("a.txt", "0|2 a b\n1 c\n", [["0", "2"], ["1"]]),
        ("b.txt", "x|y a b\nx c\n", "b.txt:1: expected a label before the text"),
        ("b.jsonl", '{"text": "a", "labels": [["x"]]}\n', "b.jsonl:1: expected labels to be"),
        ("c.jsonl", '{"text": "a", "labels": {"x": 1}}\n', "c.jsonl:1: expected labels to be"),
    ],
)
def test_files_of_label_sets(tmp_path, name, content, expected):
    (tmp_path / name).write_text(content, encoding="utf-8")
    if isinstance(expected, str):
        with pytest.raises(Mistake, match=expected.replace(".", r"\.")):
            files.read(tmp_path / name, TASK, files.ANY)
    else:
        assert [row["labels"] for row in files.read(tmp_path / name, TASK, files.ANY)] == expected


def test_known_labels_and_their_numbers(tmp_path):
    (tmp_path / "a.tsv").write_text("text\tlabels\na\t1|X\n")
    assert files.read(tmp_path / "a.tsv", TASK, ["x", "y"])[0]["labels"] == ["y", "x"]
    with pytest.raises(Mistake, match=r"a.tsv:2: expected a label of y \(or 0\), z \(or 1\), found 'X'"):
        files.read(tmp_path / "a.tsv", TASK, ["y", "z"])


def test_scores_equal_scikit_learn():
    """scikit-learn 1.9.1: f1_score with average micro and macro (zero_division 0), accuracy_score."""
    golds = np.array([[1, 0, 1, 0], [0, 0, 0, 0], [1, 1, 0, 0], [0, 1, 0, 0]], bool)
    predicted = np.array([[1, 0, 0, 0], [0, 0, 0, 0], [1, 1, 1, 0], [0, 0, 0, 0]], bool)
    scores = metrics.of_label_sets(golds, predicted)
    assert scores == pytest.approx({"micro_f1": 2 / 3, "macro_f1": 5 / 12, "accuracy": 0.25}, abs=1e-12)


def test_the_best_threshold_is_the_best_of_all():
    random = np.random.default_rng(0)
    for _ in range(20):
        golds = random.random([9, 4]) < 0.4
        probabilities = (random.integers(1, 10, [9, 4]) / 10).astype(np.float32)  # with equal ones
        threshold = metrics.best_label_threshold(golds, probabilities)
        limits = [threshold, *np.linspace(0.05, 0.95, 10)]
        f1, *others = [metrics.of_label_sets(golds, probabilities > np.float32(limit))["micro_f1"] for limit in limits]
        assert f1 == pytest.approx(max(others), abs=1e-12)
        assert np.abs(probabilities - threshold).min() > 0.01
