"""Folders for transformers, as far as can be seen without it; `tests.bench.logits` asks transformers itself."""

import json

import pytest
import yaml

from models import pretrained
from tests.conftest import cli, train_tiny, write_examples
from trainer.runs import Run, read_init


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
    done = json.loads(out.splitlines()[-1])  # before it, what training the fixture printed
    assert done["architecture"] == architecture and done["files"] == sorted(path.name for path in to.iterdir())
    assert (to / "model.safetensors").read_bytes() == (run / "model.safetensors").read_bytes()
    config, tokenizer = read_init(to)
    theirs = Run(run).config
    assert config == {key: value for key, value in theirs.items() if key != "lineage"}
    assert tokenizer.vocabulary == Run(run).reading.tokenizer.vocabulary and pretrained.read_lower_case(to)
    card = (to / "README.md").read_text(encoding="utf-8")
    front = yaml.safe_load(card.split("---\n")[1])
    assert front["pipeline_tag"] == task and front["library_name"] == "transformers"
    final = json.loads((run / "metrics.json").read_text())["final"]
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
