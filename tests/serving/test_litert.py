"""LiteRT between the text and the decoding of TensorFlow gives TensorFlow's answers; who answers, and what is refused."""

import json
from pathlib import Path

import numpy as np
import pytest

from serving.client import Client
from serving.export import export, main
from serving.server.configuration.settings import Settings
from serving.server.models.servable import Servable, load
from tests.conftest import Server, encoded
from trainer.data import files
from trainer.runs.run import Run
from trainer.tasks.table import requests

LITERT, EITHER, TENSORFLOW = (Settings(runtime=name) for name in ("litert", "auto", "tensorflow"))
LONG = {"text": "ab 人 . " * 50, "context": "a film and 中国 . " * 20, "question": "good " * 40}


@pytest.fixture(scope="module")
def exports(run_folder, tagging_run, qa_run, tmp_path_factory):
    """Exports of every kind of task, {name: (run, dev file, path)}."""
    folder = tmp_path_factory.mktemp("litert")
    runs = {"sentiment": (run_folder, "txt"), "tagging": (tagging_run, "conllu"), "qa": (qa_run, "json")}
    return {
        name: (run, run.parent / f"dev.{ending}", export(run, folder / name, precision="fp32")["path"])
        for name, (run, ending) in runs.items()
    }


@pytest.mark.parametrize("name", ["sentiment", "tagging", "qa"])
def test_answers_are_those_of_tensorflow(exports, name):
    folder, data, path = exports[name]
    task = Run(folder).task
    rows = files.read(data, task, files.ANY if name == "tagging" else None, lines=files.LABELLED)[:20]
    rows = [row if field in row else row for row in rows for field in ("text",)]
    inputs = {"sentiment": ["text"], "tagging": ["text"], "qa": ["question", "context"]}[name]
    rows += [{field: text for field in inputs} for text in ("", "👍 ab\t。\u200b")]
    rows.append({field: LONG[field] for field in inputs})
    batches = [batch for key in (None, *task.more) for batch in requests(task, rows, 8, key)]
    if name == "tagging":
        batches += requests(task, [{"words": ["a", "\u200b", "b.c", "人"] * 20}, {"words": ["好"]}], 8)
    ours, theirs = load(path, LITERT), Servable(path)
    assert ours.signatures.keys() == theirs.signatures.keys()
    for signature, given, _ in [*batches, (batches[0][0], {key: x[:0] for key, x in batches[0][1].items()}, [])]:
        answered, expected = (model.predict(signature, encoded(given)) for model in (ours, theirs))
        for output, value in expected.items():
            if value.dtype == object:
                np.testing.assert_array_equal(answered[output], value)
            else:
                np.testing.assert_allclose(answered[output], value, atol=1e-5, rtol=1e-5)
