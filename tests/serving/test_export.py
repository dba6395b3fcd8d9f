"""The exported model answers as the trainer does, from a session, with nothing of ours loaded."""

import json
import subprocess
import sys

import numpy as np
import tensorflow as tf

from serving.export import export, main
from serving.servable import Servable
from tests.conftest import ROOT
from trainer import data, runs, train
from trainer.tasks import TASKS, answers

LOADED_ALONE = """
import json, sys
import tensorflow as tf, tensorflow_text
session = tf.compat.v1.Session(graph=tf.Graph())
with session.graph.as_default():
    signature = tf.compat.v1.saved_model.loader.load(session, ["serve"], sys.argv[1]).signature_def["serving_default"]
outputs = {name: info.name for name, info in signature.outputs.items()}
print(json.dumps(session.run(outputs["probabilities"], {signature.inputs["text"].name: json.loads(sys.argv[2])}).tolist()))
"""


def test_exported_equals_predict(run_folder, export_folder):
    run = runs.Run(run_folder)
    rows = data.read(run_folder.parent / "dev.txt", run.task) + [{"text": text} for text in ("", "好 👍", "a" * 500)]
    servable = Servable(export_folder / "1")
    expected = list(train.predict(run, rows, batch_size=8))
    found = []
    for i in range(0, len(rows), 8):
        texts = np.array([row["text"].encode() for row in rows[i : i + 8]], object)
        found += answers(TASKS["sentiment"], rows[i : i + 8], servable.predict("serving_default", {"text": texts}))
    assert found == expected


def test_signature(export_folder):
    signature = Servable(export_folder / "1").signatures["serving_default"]
    describe = lambda infos: {
        name: (tf.as_dtype(info.dtype).name, [dim.size for dim in info.tensor_shape.dim])
        for name, info in infos.items()
    }
    assert describe(signature.inputs) == {"text": ("string", [-1])}
    assert describe(signature.outputs) == {
        "label": ("string", [-1]), "score": ("float32", [-1]), "probabilities": ("float32", [-1, 2]), "labels": ("string", [-1, 2]),
    }  # fmt: skip


def test_loads_without_this_project(run_folder, export_folder, tmp_path):
    texts = ["a good film", "坏 片", ""]
    command = [sys.executable, "-c", LOADED_ALONE, str(export_folder / "1"), json.dumps(texts)]
    found = json.loads(subprocess.check_output(command, cwd=tmp_path, stderr=subprocess.DEVNULL))
    expected = train.predict(runs.Run(run_folder), [{"text": text} for text in texts], batch_size=3)
    np.testing.assert_allclose(found, [list(row["probabilities"].values()) for row in expected], atol=1e-5)


def test_versions_count_up_and_mistakes_are_one_line(run_folder, tmp_path, capsys):
    to = tmp_path / "model"
    (to / "7").mkdir(parents=True)
    assert export(run_folder, to)["version"] == 8
    main([str(run_folder), "--to", str(to)])
    assert json.loads(capsys.readouterr().out)["path"] == str(to / "9")
    assert sorted(path.name for path in to.iterdir()) == ["7", "8", "9"]
    result = subprocess.run(
        [sys.executable, "-m", "serving.export", str(to), "--to", str(to)], cwd=ROOT, capture_output=True, text=True
    )
    assert result.returncode == 2 and result.stderr.count("\n") == 1 and "expected a finished run" in result.stderr
