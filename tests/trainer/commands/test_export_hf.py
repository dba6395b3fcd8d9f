"""Folders for transformers, checked without it; `tests.bench.logits` opens them with it."""

import json
import shutil

import pytest
import yaml

from tests.conftest import cli, train_tiny, write_examples
from trainer.commands.export_hf import export_hf
from trainer.runs.blueprint import Blueprint
from trainer.runs.run import Run
from trainer.weights import pretrained


@pytest.mark.parametrize(
    "name, architecture, task",
    [
        ("run_folder", "BertForSequenceClassification", "text-classification"),
        ("tagging_run", "BertForTokenClassification", "token-classification"),
        ("qa_run", "BertForQuestionAnswering", "question-answering"),
    ],
)
def test_what_is_written(name, architecture, task, request, tmp_path, capsys):
    run = request.getfixturevalue(name)
    status, out, err = cli(capsys, "export_hf", run, "--to", tmp_path / "given-away")
    assert status == 0, err
    to = tmp_path / "given-away"
    result = json.loads(out.splitlines()[-1])  # the lines before it are of the fixture's training
    assert result["architecture"] == architecture and result["files"] == sorted(path.name for path in to.iterdir())
    assert (to / "model.safetensors").read_bytes() == (run / "model.safetensors").read_bytes()
    blueprint, trained = Blueprint.of_weights(to), Run(run)
    config, settings = pretrained.read_config(to)[0], trained.settings
    assert config == {key: value for key, value in settings.items() if key != "lineage"}
    assert blueprint.tokenizer.vocabulary == trained.blueprint.tokenizer.vocabulary and pretrained.read_tokenizer(to)[1]
    card = (to / "README.md").read_text(encoding="utf-8")
    front_matter = yaml.safe_load(card.split("---\n")[1])
    assert front_matter["pipeline_tag"] == task and front_matter["library_name"] == "transformers"
    final = Run(run).scores
    for metric, value in final.items():
        assert not isinstance(value, float) or f"- {metric}: {value:g}\n" in card
    code = card.split("```python\n")[1].split("```")[0]
    compile(code, "card", "exec")
    assert 'from_pretrained("given-away")' in code and f"AutoModelFor{architecture.removeprefix('BertFor')}" in code


def test_no_path_of_this_machine_is_given_away(run_folder, tmp_path, capsys):
    cli(capsys, "export_hf", run_folder, "--to", tmp_path / "given-away")
    for path in (tmp_path / "given-away").iterdir():
        if path.name != "model.safetensors":
            assert str(run_folder.parents[1]) not in path.read_text(encoding="utf-8")
    assert "on train.txt" in (tmp_path / "given-away" / "README.md").read_text(encoding="utf-8")


def test_what_the_card_says(run_folder, tmp_path):
    shutil.copytree(run_folder, tmp_path / "run")
    path = tmp_path / "run" / "config.json"
    config = json.loads(path.read_text()) | {"_name_or_path": "/home/anna/secret"}
    lineage = config["lineage"]
    lineage["options"] |= {
        "train": "ocnli",
        "init": "bert-tiny",
        "dropout": 0.0,
        "seed": 0,
        "warmup": 0.0,
        "dev": "secret/client.tsv",
    }
    lineage["names"] = {
        "train": "ocnli:train (10,000 of the pairs)",
        "dev": "client.tsv",
        "init": "google/bert_uncased",
    }
    path.write_text(json.dumps(config))
    export_hf(tmp_path / "run", tmp_path / "given-away")
    card = (tmp_path / "given-away" / "README.md").read_text(encoding="utf-8")
    front_matter = yaml.safe_load(card.split("---\n")[1])
    assert front_matter["base_model"] == "google/bert_uncased"
    assert "from google/bert_uncased on ocnli:train (10,000 of the pairs)." in card and "On client.tsv:" in card
    assert "dropout 0.0" in card and "seed 0" in card and "warmup 0.0" in card
    for path in (tmp_path / "given-away").glob("*.*"):
        assert path.suffix == ".safetensors" or "secret" not in path.read_text(encoding="utf-8")
    lineage["names"]["init"] = None  # a folder
    path = tmp_path / "run" / "config.json"
    path.write_text(json.dumps(config))
    export_hf(tmp_path / "run", tmp_path / "again")
    card = (tmp_path / "again" / "README.md").read_text(encoding="utf-8")
    assert "base_model" not in card and "from weights of a folder on" in card


def test_a_run_keeps_the_names_that_mean_something_elsewhere(run_folder):
    assert Run(run_folder).lineage["names"] == {"train": "train.txt", "dev": "dev.txt", "init": None}


def test_into_the_empty_folder_that_one_is_in(run_folder, tmp_path, monkeypatch):
    (tmp_path / "mine").mkdir()
    (tmp_path / "link").symlink_to("mine")
    monkeypatch.chdir(tmp_path / "mine")
    export_hf(run_folder, ".")
    assert "# mine\n" in (tmp_path / "mine" / "README.md").read_text(encoding="utf-8")
    shutil.rmtree(tmp_path / "mine")
    (tmp_path / "mine").mkdir()
    export_hf(run_folder, tmp_path / "link")
    assert (tmp_path / "mine" / "config.json").is_file() and (tmp_path / "link").is_symlink()


def test_training_goes_on_from_it(run_folder, tmp_path, capsys):
    cli(capsys, "export_hf", run_folder, "--to", tmp_path / "given-away")
    run = train_tiny("sentiment", write_examples, tmp_path, ".txt", tmp_path / "given-away", epochs=1)
    assert json.loads((run / "metrics.json").read_text())["steps"] == 4


def test_mistakes(run_folder, bert_folder, tmp_path, capsys):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    for run, to, message in (
        (bert_folder, tmp_path / "new", "expected a finished run"),
        (tmp_path / "nothing", tmp_path / "new", "expected a finished run"),
        (run_folder, tmp_path / "full", "expected a folder that is not there yet or empty"),
        (run_folder, tmp_path / "full" / "mine.txt" / "new", "cannot be made"),
    ):
        status, out, err = cli(capsys, "export_hf", run, "--to", to)
        assert status == 2 and out == "" and message in err and len(err.splitlines()) == 1, err
    assert not (tmp_path / "new").exists() and (tmp_path / "full" / "mine.txt").read_text() == "mine"
