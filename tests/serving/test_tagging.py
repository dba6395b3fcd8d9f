"""Tagging served: both signatures answer as `trainer predict` does, from the export and over the port."""

import json

import numpy as np
import pytest

from serving.client import Client, command
from serving.export import export
from tests.conftest import Server, answers_of_export
from trainer.commands.predict import predict
from trainer.data import files
from trainer.runs.run import Run
from trainer.tasks.table import TASKS

TASK = TASKS["tagging"]


@pytest.fixture(scope="module")
def tagging_export(tagging_run, tmp_path_factory):
    to = tmp_path_factory.mktemp("exports") / "tagging"
    return to, export(tagging_run, to)


@pytest.fixture(scope="module")
def rows(tagging_run):
    """Texts and words, in sequence and mixed; some longer than the model's maximum length."""
    tagged = files.read(tagging_run.parent / "dev.conllu", TASK, files.ANY)
    texts = [{"text": row["text"]} for row in tagged] + [
        {"text": text} for text in ("", "👍 ab\t。\u200b", "ab 人 . " * 50)
    ]
    words = [{"words": row["words"]} for row in tagged] + [{"words": ["a", "\u200b", "b.c", "人"] * 20}]
    return texts + words + [row for pair in zip(texts[:6], words[:6], strict=True) for row in pair]


@pytest.fixture(scope="module")
def expected(tagging_run, rows):
    return list(predict(Run(tagging_run), rows, batch_size=8))


def test_signatures(tagging_export):
    signatures = tagging_export[1]["signatures"]
    strings = ["string", [-1, -1]]
    assert signatures["serving_default"]["inputs"] == {"text": ["string", [-1]]}
    assert signatures["serving_default"]["outputs"] == {
        "words": strings, "tags": strings, "scores": ["float32", [-1, -1]], "starts": ["int32", [-1, -1]], "ends": ["int32", [-1, -1]],
    }  # fmt: skip
    assert signatures["words"] == {
        "inputs": {"words": strings},
        "outputs": {"tags": strings, "scores": ["float32", [-1, -1]]},
    }


def test_exported_equals_predict(tagging_export, rows, expected):
    answered = answers_of_export(tagging_export[0] / "1", TASK, rows, 8)
    assert answered == expected
    assert sum(len(row["tags"]) for row in answered) > 500


def test_client(tagging_export, rows, expected, capsys):
    server = Server("--model_name=tagging-en", f"--model_base_path={tagging_export[0]}")
    answered = Client(server.address).answer("tagging", rows, model="tagging-en")
    without_scores = lambda rows: [{name: value for name, value in row.items() if name != "scores"} for row in rows]
    assert without_scores(answered) == without_scores(expected)
    for row, expected_row in zip(answered, expected, strict=True):
        np.testing.assert_allclose(row["scores"], expected_row["scores"], atol=1e-5)

    def ask(*arguments):
        command.main(["tagging", "--server", server.address, "--model", "tagging-en", *arguments])
        return json.loads(capsys.readouterr().out)

    assert ask("--text", "a good ab.")["words"] == ["a", "good", "a", "b", "."]
    assert ask("--words", "a", "film")["tags"] == ["DET", "NOUN"]
    with pytest.raises(SystemExit) as stop:
        ask("--words", "a", "--text", "b")
    assert stop.value.code == 2 and capsys.readouterr().err.endswith("expected --text, or --words, or --input FILE\n")
    assert server.stop() == 0, server.log
