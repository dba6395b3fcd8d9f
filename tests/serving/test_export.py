"""The exported model answers as the trainer does, in a session without this project's code."""

import json
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from serving.export import main
from serving.server.models.servable import Servable
from tests.bench.compatibility import SCRIPT
from tests.conftest import ROOT, answers_of_export
from trainer.commands.predict import predict
from trainer.data import files
from trainer.runs.run import Run


def test_exported_equals_predict(run_folder, export_folder):
    run = Run(run_folder)
    rows = files.read(run_folder.parent / "dev.txt", run.task, lines=files.LABELLED) + [
        {"text": text} for text in ("", "好 👍", "a" * 500)
    ]
    expected = list(predict(run, rows, batch_size=8))
    assert answers_of_export(export_folder / "1", run.task, rows, 8) == expected


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
    (tmp_path / "requests.json").write_text(json.dumps([["serving_default", {"text": texts}]]))
    command = [sys.executable, "-c", SCRIPT, str(export_folder / "1"), str(tmp_path / "requests.json")]
    printed = subprocess.check_output(command, cwd=tmp_path, stderr=subprocess.DEVNULL, text=True)
    outputs = json.loads(printed.splitlines()[0])
    expected = list(predict(Run(run_folder), [{"text": text} for text in texts], batch_size=3))
    assert outputs["label"] == [row["label"] for row in expected]
    np.testing.assert_allclose(
        outputs["probabilities"], [list(row["probabilities"].values()) for row in expected], atol=1e-5
    )


def test_versions_count_up_and_mistakes_are_one_line(run_folder, tmp_path, capsys):
    to = tmp_path / "model"
    (to / "7").mkdir(parents=True)
    (to / "10").mkdir()
    main([str(run_folder), "--to", str(to)])
    printed = capsys.readouterr()
    result = json.loads(printed.out)
    assert printed.err == f"{to}/11: tensorflow/serving:2.20.0 has all that it needs\n"
    assert (result["version"], result["path"]) == (11, str(to / "11"))
    outputs = {
        "label": ["string", [-1]], "labels": ["string", [-1, 2]], "probabilities": ["float32", [-1, 2]], "score": ["float32", [-1]],
    }  # fmt: skip
    assert result["signatures"] == {"serving_default": {"inputs": {"text": ["string", [-1]]}, "outputs": outputs}}
    assert {path.name for path in to.iterdir()} == {"7", "10", "11"}
    with pytest.raises(SystemExit) as end:
        main([str(run_folder), "--to", str(to), "--target", "2.7.0"])
    assert end.value.code == 2 and "--target: expected one of 2.8.0, " in capsys.readouterr().err
    main([str(run_folder), "--to", str(to), "--target", "2.9.3"])
    assert f"{to}/12: tensorflow/serving:2.9.3 lacks op FastWordpiece" in capsys.readouterr().err
    result = subprocess.run(
        [sys.executable, "-m", "serving.export", str(to), "--to", str(to)], cwd=ROOT, capture_output=True, text=True
    )
    assert result.returncode == 2 and result.stderr.count("\n") == 1 and "expected a finished run" in result.stderr
