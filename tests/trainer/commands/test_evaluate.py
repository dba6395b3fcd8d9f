"""What `evaluate` says of where a run fails, for every kind of task, and how two runs compare."""

import functools
import json
import shutil
import sys

import pytest
import yaml

import trainer
from tests.conftest import cli, said_by, write_examples, write_treebank
from trainer.runs.run import Run

KINDS = ["run_folder", "tagging_run", "qa_run"]
UNITS = {"run_folder": "examples", "tagging_run": "sentences", "qa_run": "questions"}


def dev_of(run):
    return next(path for path in run.parent.iterdir() if path.name.startswith("dev"))


def evaluated(capsys, run, data, *flags):
    status, out, err = cli(capsys, "evaluate", run, "--data", data, *flags)
    assert status == 0, err
    return json.loads(out), err


@pytest.fixture(params=KINDS)
def kind(request):
    return request.param, request.getfixturevalue(request.param)


@pytest.fixture(scope="module")
def of_dev(request, tmp_path_factory):
    """Returns a function from the name of a run to (what `evaluate` gives of its dev data, its standard error, the errors)."""

    @functools.cache
    def of_dev(name):
        run, errors = request.getfixturevalue(name), tmp_path_factory.mktemp(name) / "errors.jsonl"
        status, out, err = said_by("evaluate", run, "--data", dev_of(run), "--errors", errors)
        assert status == 0, err
        return json.loads(out), err, errors.read_text()

    return of_dev


def test_the_report_is_that_of_the_training(kind, of_dev):
    """metrics.json has it, of the weights that are kept."""
    name, run = kind
    score, err, _ = of_dev(name)
    kept = json.loads((run / "metrics.json").read_text())["report"]
    assert score["report"] == kept and kept["unit"] == UNITS[name]
    assert err.count("\n") == 1 and err.startswith("data ")  # in a pipe nothing else
    for metric, interval in kept["intervals"].items():
        assert interval["low"] <= interval["value"] <= interval["high"]
        assert interval["value"] == score.get(metric, interval["value"])
    inside = {name for name, value in score.items() if isinstance(value, float)} - {"seconds", "null_threshold"}
    assert {name for name in inside if not name.startswith("best_")} <= set(kept["intervals"])


def test_python_gives_the_same(qa_run, of_dev):
    again = trainer.load(qa_run).evaluate(dev_of(qa_run))
    assert again | {"seconds": 0} == of_dev("qa_run")[0] | {"seconds": 0}


def test_it_is_printed_where_it_is_asked_for(kind, capsys):
    """Against itself a run has no difference."""
    name, run = kind
    asked, page = evaluated(capsys, run, dev_of(run), "--limit", "9", "--report", "--against", run)
    measured = "words " if name == "tagging_run" else "characters"
    for said in (f"(95% interval: percentiles of 2,000 draws of {UNITS[name]})", "score", measured):
        assert said in page
    assert ("class " in page) == (name != "qa_run") and ("first word of the question" in page) == (name == "qa_run")
    assert sum(bucket["examples"] for bucket in next(iter(asked["report"]["lengths"].values()))) == 9
    for value in asked["against"]["difference"].values():
        assert value == {"value": 0, "low": 0, "high": 0, "other_sign": 1}


def test_a_recipe_or_a_terminal_asks_for_it_too(run_folder, capsys, monkeypatch, tmp_path):
    recipe = {"report": True, "data": str(dev_of(run_folder)), "limit": 9}
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    status, _, page = cli(capsys, "evaluate", "--config", tmp_path / "recipe.yaml", run_folder)
    assert status == 0 and "percentiles of 2,000 draws" in page
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    assert evaluated(capsys, run_folder, dev_of(run_folder), "--limit", "9")[1] == page


def test_wrong_labels_the_surest_first(run_folder, capsys, tmp_path):
    """Labels of the file are turned round, all but ten, so what is wrong is what was right."""
    lines = (run_folder.parent / "dev.txt").read_text().splitlines()
    (tmp_path / "turned.txt").write_text(
        "".join(f"{abs((i > 9) - int(line[0]))}{line[1:]}\n" for i, line in enumerate(lines))
    )
    score, _ = evaluated(capsys, run_folder, tmp_path / "turned.txt", "--errors", tmp_path / "errors.jsonl")
    rows = [json.loads(line) for line in (tmp_path / "errors.jsonl").read_text().splitlines()]
    assert len(rows) == round(40 * (1 - score["accuracy"])) >= 25
    assert all(list(row) == ["text", "gold", "predicted", "confidence"] for row in rows)
    answers = trainer.load(run_folder).predict([row["text"] for row in rows])
    assert [row["predicted"] for row in rows] == [answer["label"] for answer in answers]
    assert [row["confidence"] for row in rows] == pytest.approx([answer["score"] for answer in answers], abs=2e-6)
    assert [row["confidence"] for row in rows] == sorted((row["confidence"] for row in rows), reverse=True)
    pairs = {(gold, predicted): count for gold, predicted, count in score["report"]["confusion"]}
    again, _ = evaluated(capsys, run_folder, tmp_path / "turned.txt", "--seed", "1")
    losses = [content["report"]["intervals"]["loss"] for content in (score, again)]
    assert losses[0]["value"] == losses[1]["value"] and losses[0]["low"] != losses[1]["low"]
    assert sum(pairs.values()) == len(rows) and pairs["negative", "positive"] == sum(
        row["gold"] == "negative" for row in rows
    )


def test_wrong_words(tagging_run, capsys, tmp_path):
    text = dev_of(tagging_run).read_text().replace("\tADV\t", "\tADJ\t")
    (tmp_path / "dev.conllu").write_text(text)
    score, _ = evaluated(capsys, tagging_run, tmp_path / "dev.conllu", "--errors", tmp_path / "errors.jsonl")
    rows = [json.loads(line) for line in (tmp_path / "errors.jsonl").read_text().splitlines()]
    assert len(rows) == round(score["words"] * (1 - score["accuracy"])) >= text.count("\tvery\t")
    assert all(list(row) == ["text", "word", "index", "gold", "predicted", "confidence"] for row in rows)
    very = [row for row in rows if row["word"] == "very"]
    assert {(row["gold"], row["predicted"]) for row in very} == {("ADJ", "ADV")}
    assert [row["confidence"] for row in rows] == sorted((row["confidence"] for row in rows), reverse=True)
    assert score["report"]["classes"]["ADV"]["support"] == 0 == score["report"]["classes"]["ADV"]["f1"]
    assert score["report"]["confusion"][0] == ["ADJ", "ADV", len(very)]


def test_wrong_answers_are_rows_of_questions(qa_run, capsys, tmp_path):
    """They can be scored again: none of them is right."""
    flags = ["--null_threshold", "1", "--errors", tmp_path / "errors.jsonl"]  # every question is answered
    score, _ = evaluated(capsys, qa_run, dev_of(qa_run), *flags)
    rows = [json.loads(line) for line in (tmp_path / "errors.jsonl").read_text().splitlines()]
    assert len(rows) == round(40 * (1 - score["exact"] / 100)) > 0
    keys = ["id", "question", "context", "answers", "predicted", "f1", "confidence"]
    assert all(list(row) == keys for row in rows)
    again, _ = evaluated(capsys, qa_run, tmp_path / "errors.jsonl", "--null_threshold", "1")
    assert again["exact"] == 0 and again["examples"] == len(rows)
    groups = {group["group"]: group for group in score["report"]["groups"]["answer"]}
    assert groups["has an answer"]["exact"] == score["HasAns_exact"] and groups["has none"]["f1"] == score["NoAns_f1"]
    assert {group["group"] for group in score["report"]["groups"]["first word of the question"]} == {"a", "b"}


def test_nothing_wrong_is_an_empty_file(of_dev):
    score, _, errors = of_dev("qa_run")
    assert score["exact"] == 100 and errors == ""


def relabelled(run, folder):
    """Returns a copy of a run whose two labels stand the other way round: its answers are all the opposite."""
    shutil.copytree(run, folder)
    config = json.loads((folder / "config.json").read_text())
    labels = [*config["id2label"].values()][::-1]
    config |= {"id2label": dict(zip("01", labels, strict=True)), "label2id": {labels[0]: 0, labels[1]: 1}}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "labels.txt").write_text("\n".join(labels) + "\n")
    return folder


def test_against_another_run(run_folder, of_dev, capsys, tmp_path):
    """Labels go by name: a run whose labels stand the other way round is right where the first is wrong."""
    turned = relabelled(run_folder, tmp_path / "turned")
    alone = of_dev("run_folder")[0]
    both, page = evaluated(capsys, run_folder, run_folder.parent / "dev.txt", "--against", turned, "--report")
    against = both.pop("against")
    assert both | {"seconds": 0} == alone | {"seconds": 0}
    assert against["run"] == str(turned) and against["accuracy"] == pytest.approx(1 - alone["accuracy"], abs=1e-6)
    difference = against["difference"]["accuracy"]
    assert difference["value"] == pytest.approx(2 * alone["accuracy"] - 1, abs=1e-6)
    assert difference["low"] <= difference["value"] <= difference["high"] and difference["other_sign"] == 0
    assert set(against["difference"]) == set(against["intervals"]) == {"accuracy", "loss", "macro_f1"}
    assert f"second    {turned}" in page and "other sign" in page


def test_runs_that_cannot_be_compared(run_folder, tagging_run, capsys, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(run_folder, other)
    (other / "labels.txt").write_text("negative\nneutral\n")
    (other / "config.json").write_text((other / "config.json").read_text().replace('"positive"', '"neutral"'))
    for run, said in (
        (tagging_run, "expected a run of the task of"),
        (other, "expected a run of the labels of"),
        (tmp_path, "expected a finished run"),
    ):
        status, out, err = cli(capsys, "evaluate", run_folder, "--data", dev_of(run_folder), "--against", run)
        assert (status, out) == (2, "") and said in err and err.count("\n") == 1


def test_errors_are_never_an_input(run_folder, capsys, tmp_path):
    data = write_examples(tmp_path / "dev.txt", 8)
    before = data.read_bytes()
    turned = relabelled(run_folder, tmp_path / "turned")
    for flags, said in (
        ([f"--errors={data}"], "which this command reads"),
        ([f"--errors={turned}/labels.txt", f"--against={turned}"], "than --against"),
        ([f"--errors={tmp_path}/x", f"--output={tmp_path}/./x"], "expected another file than --output"),
        ([f"--errors={tmp_path}/none/x"], "expected a file in a folder that is there"),
        (["--seed=-1"], "--seed: expected 0 to"),
    ):
        status, out, err = cli(capsys, "evaluate", run_folder, "--data", data, *flags)
        assert (status, out) == (2, "") and said in err and err.count("\n") == 1, err
    assert data.read_bytes() == before and len((turned / "labels.txt").read_text().splitlines()) == 2


def test_tags_that_a_run_does_not_know(tagging_run, capsys, tmp_path):
    """They are classes that were never predicted."""
    path = write_treebank(tmp_path / "dev.conllu", 12)
    path.write_text(path.read_text().replace("\tADV\t", "\tNEW\t"))
    score, _ = evaluated(capsys, tagging_run, path)
    new = score["report"]["classes"]["NEW"]
    assert (new["recall"], new["predicted"], new["support"]) == (0, 0, path.read_text().count("\tNEW\t"))
    assert "ADV" in Run(tagging_run).setup.labels and score["report"]["classes"]["ADV"]["precision"] == 0
