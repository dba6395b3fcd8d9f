"""A number for a text: from files of scores to a served answer; the correlations are SciPy's."""

import json

import numpy as np
import pytest

from serving.export import export
from tests.conftest import answers_of_export, cli
from trainer import metrics
from trainer.data import files
from trainer.errors import Mistake
from trainer.tasks.table import TASKS

TASK = TASKS["regression"]


def write_scores(path, count=64, seed=0):
    """Writes STS-B's columns: a pair scores 1, and 1.5 more for each of its texts that says good and not bad."""
    random = np.random.default_rng(seed)
    lines = ["sentence1\tsentence2\tscore"]
    for i in range(count):
        words = [list(random.choice(["a", "film", "very", "中"], random.integers(1, 6))) for _ in range(2)]
        goods = (i % 2, i // 2 % 2)
        for k, good in enumerate(goods):
            words[k].append(["bad", "good"][good])
        lines.append("\t".join([" ".join(words[0]), " ".join(words[1]), str(1 + 1.5 * sum(goods))]))
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def run(bert_folder, tmp_path_factory):
    from trainer.__main__ import main

    folder = tmp_path_factory.mktemp("regression")
    train, dev = write_scores(folder / "train.tsv", 768), write_scores(folder / "dev.tsv", 40, seed=1)
    options = {"train": train, "dev": dev, "init": bert_folder, "out": folder / "run", "epochs": 3, "batch_size": 16}
    options |= {"learning_rate": 5e-3, "max_length": 24, "seed": 1}
    main(["finetune", "regression", *[f"--{name}={value}" for name, value in options.items()]])
    return folder / "run"


def test_from_a_file_to_an_export(run, capsys, tmp_path):
    result = json.loads((run / "metrics.json").read_text())["final"]
    assert result["pearson"] > 0.9 and result["spearman"] > 0.8 and result["loss"] < 0.3
    config = json.loads((run / "config.json").read_text())
    assert config["problem_type"] == "regression" and config["id2label"] == {"0": "score"}
    dev = run.parent / "dev.tsv"
    files_of_it = ["--output", tmp_path / "out.jsonl", "--errors", tmp_path / "off.jsonl"]
    status, out, err = cli(capsys, "evaluate", run, "--data", dev, *files_of_it)
    assert status == 0, err
    assert {name: json.loads(out)[name] for name in ("pearson", "loss")} == {n: result[n] for n in ("pearson", "loss")}
    written = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    golds, predicted = ([row[name] for row in written] for name in ("score", "predicted"))
    assert metrics.pearson(golds, predicted) == pytest.approx(result["pearson"], abs=1e-5)
    intervals = json.loads(out)["report"]["intervals"]
    for name in ("pearson", "loss"):
        assert intervals[name]["value"] == pytest.approx(result[name], abs=2e-6)
        assert intervals[name]["low"] <= intervals[name]["value"] <= intervals[name]["high"]
    off = [json.loads(line) for line in (tmp_path / "off.jsonl").read_text().splitlines()]
    assert [row["off"] for row in off] == sorted((row["off"] for row in off), reverse=True)
    assert off[0]["off"] == pytest.approx(np.abs(np.subtract(golds, predicted)).max(), abs=1e-5)
    status, out, err = cli(capsys, "predict", run, "--input", dev)
    assert status == 0, err
    rows = [json.loads(line) for line in out.splitlines()]
    assert [*rows[0]] == ["text", "text_b", "score_given", "score"]
    np.testing.assert_allclose([row["score"] for row in rows], predicted, atol=1e-5)
    export(run, tmp_path / "export")
    asked = [{"text": row["text"], "text_b": row["text_b"]} for row in rows] + [{"text": "", "text_b": "中"}]
    answers = answers_of_export(tmp_path / "export" / "1", TASK, asked, 7)
    np.testing.assert_allclose([row["score"] for row in answers[:-1]], [row["score"] for row in rows], atol=1e-5)


def test_a_new_head_begins_at_the_mean(run, bert_folder, capsys, tmp_path):
    """Of scores 1, 2.5, 2.5 and 4: what the head says before the first step is 2.5, and the loss their variance."""
    options = [
        "--train",
        run.parent / "train.tsv",
        "--init",
        bert_folder,
        "--out",
        tmp_path / "run",
        "--epochs=1",
        "--limit=192",
    ]
    status, _, err = cli(capsys, "finetune", "regression", *options, "--learning_rate=1e-9", "--max_length=24")
    assert status == 0, err
    losses = [json.loads(line)["loss"] for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert losses[0] == pytest.approx(1.125, abs=0.2)


@pytest.mark.parametrize(
    "name, content, scores",
    [
        ("sts.tsv", "sentence1\tsentence2\tscore\na\tb\t3.800\n", [3.8]),
        ("sick.txt", "pair_ID\tsentence_A\tsentence_B\trelatedness_score\n1\ta\tb\t4\n", [4.0]),
        ("a.jsonl", '{"text": "a", "score": 2}\n{"text": "b", "score": "-1e-1"}\n', [2.0, -0.1]),
        ("stars.txt", "5 a good film\n1.5 bad\n", [5.0, 1.5]),
        ("bad.tsv", "text\tscore\na\tvery\n", "bad.tsv:2: expected a number as the score, found 'very'"),
        ("nan.jsonl", '{"text": "a", "score": NaN}\n', "nan.jsonl:1: expected a number as the score, found 'nan'"),
        ("none.tsv", "text\tscore\na\t\n", "none.tsv:2: expected a number as the score, found"),
        ("yes.jsonl", '{"text": "a", "score": true}\n', "yes.jsonl:1: expected score to be a"),
    ],
)
def test_files_of_scores(tmp_path, name, content, scores):
    (tmp_path / name).write_text(content, encoding="utf-8")
    if isinstance(scores, str):
        with pytest.raises(Mistake, match=scores.replace(".", r"\.")):
            files.read(tmp_path / name, TASK, files.ANY)
    else:
        assert [row["score"] for row in files.read(tmp_path / name, TASK, files.ANY)] == scores


def test_correlations_equal_scipy():
    """scipy 1.17.1: pearsonr and spearmanr of these numbers."""
    golds, predicted = [1, 2, 2, 4, 5, 3.5], [0.9, 2.5, 1.5, 3, 4.5, 4.5]
    assert metrics.pearson(golds, predicted) == pytest.approx(0.8795539033457249, abs=1e-12)
    assert metrics.spearman(golds, predicted) == pytest.approx(0.8823529411764706, abs=1e-12)
    assert metrics.pearson([1, 1], [2, 3]) == metrics.spearman([1, 2], [3, 3]) == 0.0
