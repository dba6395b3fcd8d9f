"""Imports run one way: models <- trainer <- serving.export; the server knows neither, the client no framework."""

import ast
import subprocess
import sys
import time

import pytest

from tests.conftest import ROOT

# file or folder -> packages that it must not import
FORBIDDEN = {
    "models": {"trainer", "serving", "tensorflow", "tensorflow_text", "torch", "jax"},
    "trainer": {"serving"},
    "serving/server.py": {"models", "trainer", "keras", "tensorflow_text"},
    "serving/flags.py": {"models", "trainer", "keras", "tensorflow"},
    "serving/config.py": {"models", "trainer", "keras"},
    "serving/profiler.py": {"models", "trainer", "keras"},
    "serving/request_log.py": {"models", "trainer", "keras", "tensorflow"},
    "serving/prediction_log.py": {"models", "trainer", "keras"},
    "serving/follow.py": {"models", "trainer", "keras", "tensorflow", "grpc"},
    "serving/workers.py": {"models", "trainer", "keras", "tensorflow", "grpc"},
    "serving/api.py": {"models", "trainer", "keras"},
    "serving/declare.py": {"models", "trainer", "keras", "tensorflow"},
    "serving/lint.py": {"models", "trainer", "keras", "tensorflow"},
    "serving/core.py": {"models", "trainer", "keras", "tensorflow"},
    "serving/pem.py": {"models", "trainer", "keras", "tensorflow"},
    "serving/messages.py": {"models", "trainer", "keras", "tensorflow"},
    "serving/tls.py": {"models", "trainer", "keras"},
    "serving/services.py": {"models", "trainer", "keras"},
    "serving/health.py": {"models", "trainer", "keras", "tensorflow"},
    "serving/gate.py": {"models", "trainer", "keras", "tensorflow"},
    "serving/limits.py": {"models", "trainer", "keras", "tensorflow"},
    "serving/reflection.py": {"models", "trainer", "keras", "tensorflow"},
    "serving/refusal.py": {"models", "trainer", "keras", "tensorflow"},
    "serving/checks.py": {"models", "trainer", "keras", "tensorflow"},
    "serving/examples.py": {"models", "trainer", "keras", "tensorflow"},
    "serving/servable.py": {"models", "trainer", "keras"},
    "serving/lite.py": {"models", "trainer", "keras", "tensorflow_text"},
    "serving/settings.py": {"models", "trainer", "keras"},
    "serving/batching.py": {"models", "trainer", "keras", "tensorflow"},
    "serving/jobs.py": {"models", "trainer", "keras", "tensorflow"},
    "serving/model.py": {"models", "trainer", "keras", "tensorflow"},
    "serving/versions.py": {"models", "trainer", "keras"},
    "serving/tensors.py": {"models", "trainer", "tensorflow"},
    "serving/client": {"models", "tensorflow", "keras", "tensorflow_serving"},
    "trainer/options": {"models", "tensorflow", "keras"},
    "trainer/tasks/table.py": {"models", "tensorflow", "keras"},
    "trainer/data": {"models", "tensorflow", "keras"},
    "trainer/reports": {"models", "tensorflow", "keras"},
    "trainer/recipes": {"models", "tensorflow", "keras"},
    "trainer/comparison/plan.py": {"models", "tensorflow", "keras"},
    "trainer/comparison/groups.py": {"models", "tensorflow", "keras"},
    "trainer/comparison/table.py": {"models", "tensorflow", "keras"},
    "trainer/comparison/picture.py": {"models", "tensorflow", "keras"},
    "trainer/writing.py": {"models", "tensorflow", "keras"},
    "trainer/pretraining/masking.py": {"tensorflow", "keras", "jax"},
    "trainer/pretraining/passages.py": {"tensorflow", "keras", "jax"},
    "trainer/pretraining/elsewhere/mixture.py": {"tensorflow", "keras", "jax"},
    "trainer/pretraining/elsewhere/prepared.py": {"tensorflow", "keras", "jax"},
    "trainer/pretraining/elsewhere/choices.py": {"tensorflow", "keras", "jax"},
    "trainer/pretraining/elsewhere/train.py": {"tensorflow", "keras", "jax"},
    "trainer/pretraining/elsewhere/steps.py": {"tensorflow"},
    "trainer/pretraining/elsewhere/held_out.py": {"tensorflow"},
    "trainer/pretraining/elsewhere/training.py": {"tensorflow"},
    "trainer/weights/hub.py": {"models", "tensorflow", "keras"},
}


def imported(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        yield from modules(node)


def modules(node):
    if isinstance(node, ast.Import):
        yield from (name.name.split(".")[0] for name in node.names)
    elif isinstance(node, ast.ImportFrom):
        yield node.module.split(".")[0]


@pytest.mark.parametrize("place", FORBIDDEN)
def test_one_way(place):
    files = [ROOT / place] if place.endswith(".py") else list((ROOT / place).rglob("*.py"))
    assert files
    for path in files:
        assert not set(imported(path)) & FORBIDDEN[place], path


def test_nothing_but_a_picture_needs_matplotlib():
    files = [path for package in ("models", "trainer", "serving") for path in (ROOT / package).rglob("*.py")]
    assert [path.name for path in files if "matplotlib" in imported(path)] == ["picture.py"]
    for path in files:  # and that only when it is drawn
        body = ast.parse(path.read_text(encoding="utf-8")).body
        assert "matplotlib" not in {name for node in body for name in modules(node)}, path


def test_client_needs_no_framework():
    code = "import sys, serving.client.command; print([m for m in ('tensorflow', 'keras', 'tensorflow_serving') if m in sys.modules])"
    began = time.monotonic()
    assert subprocess.check_output([sys.executable, "-c", code], cwd=ROOT, text=True) == "[]\n"
    assert time.monotonic() - began < 5  # TensorFlow alone takes longer than the client may
