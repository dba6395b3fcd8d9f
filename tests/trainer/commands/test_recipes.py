"""Recipes: those that come with the program are whole, and `finetune --recipe` takes them as defaults."""

import datetime
import json
from dataclasses import fields

import pytest
import yaml

import trainer
from tests.conftest import cli, write_examples
from trainer import recipes
from trainer.__main__ import parsed
from trainer.errors import Mistake
from trainer.options import Finetune
from trainer.tasks.table import TASKS

DATA = {"train", "dev", "out", "overwrite", "dry_run", "limit", "dev_limit", "seed"}  # the user's


@pytest.mark.parametrize("name", recipes.packaged())
def test_a_packaged_recipe_is_whole(name):
    recipe = recipes.named(name)
    assert recipe.task in TASKS and name == f"{recipe.task}-{recipe.model}"
    assert set(recipe.options) <= {option.name for option in fields(Finetune)} - DATA - {"task", "recipe"}
    assert set(recipe.found) == set(recipes.FOUND)
    found = recipe.found
    assert found["seeds"] >= 1 and found["seconds"] > 0 and isinstance(found["score"], float)
    assert (found["spread"] is None) == (found["seeds"] == 1)
    assert datetime.date.fromisoformat(found["date"]) and ":" in found["published"]
    assert all(str(found[part]).strip() for part in recipes.FOUND)
    _, options = parsed(["finetune", f"--recipe={name}", "--train=train.txt", "--dev=dev.txt", "--out=run"])
    checked = options.checked()
    assert {key: getattr(checked, key) for key in recipe.options} == recipe.options


def test_recipes_are_listed_and_printed(capsys):
    status, out, err = cli(capsys, "recipes")
    rows = [json.loads(line) for line in out.splitlines()]
    assert (status, err) == (0, "") and [row["name"] for row in rows] == recipes.packaged()
    assert rows == recipes.known() and list(rows[0])[:3] == ["name", "task", "model"]
    status, out, _ = cli(capsys, "recipes", "sentiment-minilm")
    shown = json.loads(out)
    assert status == 0 and shown["options"]["init"] == "minilm" and shown["found"]["score"] == 0.881
    status, out, err = cli(capsys, "recipes", "sentiment-none")
    assert (status, out) == (2, "") and f"expected one of {', '.join(recipes.packaged())}" in err


@pytest.fixture
def recipe(tmp_path):
    content = {"epochs": 7, "labels": ["bad", "good"], "init": "tiny", "found": {"score": 0.5}}
    (tmp_path / "sentiment-mine.yaml").write_text(yaml.safe_dump(content) + "learning_rate: 1e-4\n")
    return str(tmp_path / "sentiment-mine.yaml")


def test_flags_win_and_the_task_may_come_from_the_name(recipe, tmp_path):
    flags = ["--train=train.txt", "--out=run"]
    _, options = parsed(["finetune", "--recipe", recipe, *flags])
    assert (options.task, options.epochs, options.learning_rate, options.init) == ("sentiment", 7, 1e-4, "tiny")
    _, options = parsed(["finetune", "sentiment", "--epochs=2", *flags, "--labels", "no", "yes", f"--recipe={recipe}"])
    assert (options.epochs, options.labels, options.learning_rate) == (2, ["no", "yes"], 1e-4)
    _, options = parsed(["finetune", *flags, f"--recipe={recipe}", "--epochs=2", "sentiment"])
    assert (options.task, options.epochs) == ("sentiment", 2)
    (tmp_path / "config.yaml").write_text(f"recipe: {recipe}\nepochs: 3\nlabels: ['no', 'yes']\n")
    _, options = parsed(["finetune", "--config", str(tmp_path / "config.yaml"), *flags])
    assert (options.task, options.epochs, options.labels, options.init) == ("sentiment", 3, ["no", "yes"], "tiny")


def test_mistakes_in_recipes(recipe, tmp_path, capsys):
    flags = ["--train=train.txt", "--out=run"]
    (tmp_path / "unknown.yaml").write_text("epoch: 3\n")
    (tmp_path / "other.yaml").write_text("task: qa\nepochs: 3\n")
    (tmp_path / "many.yaml").write_text("epochs: many\n")
    (tmp_path / "found.yaml").write_text("found: 0.5\n")
    for given, words in (
        (["nli", "--recipe", recipe], "--recipe sentiment-mine: a recipe for sentiment, received for nli"),
        (["sentiment", f"--recipe={tmp_path}/other.yaml"], "--recipe other: a recipe for qa, received for sentiment"),
        ([f"--recipe={tmp_path}/unknown.yaml"], "unknown.yaml: expected options of finetune, task and found, received epoch"),
        (["sentiment", f"--recipe={tmp_path}/many.yaml"], "--epochs: expected a whole number, received many"),
        (["sentiment", f"--recipe={tmp_path}/found.yaml"], "found.yaml: found: expected `name: value` lines, found float"),
        (["--recipe=sentiment-none"], "--recipe: expected one of "),
    ):  # fmt: skip
        status, out, err = cli(capsys, "finetune", *given, *flags)
        assert (status, out, err.count("\n")) == (2, "", 1) and words in err, err


def test_a_run_of_a_recipe_is_that_of_its_flags(bert_folder, capsys, tmp_path):
    train = write_examples(tmp_path / "train.txt", 16)
    content = {"init": str(bert_folder), "epochs": 1, "max_length": 16, "batch_size": 8}
    (tmp_path / "sentiment-tiny.yaml").write_text(yaml.safe_dump(content | {"found": {"score": 0.5}}))
    recipe = str(tmp_path / "sentiment-tiny.yaml")
    result = trainer.finetune("sentiment", recipe=recipe, train=str(train), out=str(tmp_path / "run"))
    assert result["steps"] == 2
    assert "recipe    sentiment-tiny, which does not say how it did\n" in capsys.readouterr().err
    flags = [f"--{name}={value}" for name, value in content.items()]
    status, out, err = cli(capsys, "finetune", "sentiment", "--train", train, "--out", tmp_path / "run", *flags)
    assert status == 0 and "finished" in err and json.loads(out) == result
    with pytest.raises(Mistake, match="a recipe for sentiment, received for nli"):
        trainer.finetune("nli", recipe=recipe, train=str(train), out=str(tmp_path / "other"))
