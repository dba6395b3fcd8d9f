"""Imports run one way: models <- trainer <- serving.export; the server knows neither, the client no framework."""

import ast
import resource
import subprocess
import sys

import pytest

from tests.conftest import ROOT

# file or folder -> packages that it must not import
FORBIDDEN = {
    "models": {"trainer", "serving", "tensorflow", "tensorflow_text", "torch", "jax"},
    "trainer": {"serving"},
    "serving/server": {"models", "trainer", "keras", "tensorflow_text"},
    "serving/server/batching": {"tensorflow"},
    "serving/server/requests": {"tensorflow"},
    "serving/server/workers": {"tensorflow", "grpc"},
    "serving/server/configuration/flags.py": {"tensorflow"},
    "serving/server/configuration/follow.py": {"tensorflow", "grpc"},
    "serving/server/models/model.py": {"tensorflow"},
    "serving/server/observation/background.py": {"tensorflow"},
    "serving/server/observation/metrics.py": {"tensorflow"},
    "serving/server/observation/prometheus.py": {"tensorflow"},
    "serving/server/observation/request_log.py": {"tensorflow"},
    "serving/server/refusal.py": {"tensorflow"},
    "serving/server/transport/call.py": {"tensorflow"},
    "serving/server/transport/core.py": {"tensorflow"},
    "serving/server/transport/health.py": {"tensorflow"},
    "serving/server/transport/reflection.py": {"tensorflow"},
    "serving/server/transport/rest.py": {"tensorflow"},
    "serving/server/transport/rest_paths.py": {"tensorflow"},
    "serving/server/transport/rest_request.py": {"tensorflow"},
    "serving/declare.py": {"models", "trainer", "keras", "tensorflow"},
    "serving/lint.py": {"models", "trainer", "keras", "tensorflow"},
    "serving/pem.py": {"models", "trainer", "keras", "tensorflow"},
    "serving/messages.py": {"models", "trainer", "keras", "tensorflow"},
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
    "trainer/pretraining/windows.py": {"tensorflow", "keras", "jax"},
    "trainer/pretraining/elsewhere/documents.py": {"tensorflow", "keras", "jax"},
    "trainer/pretraining/elsewhere/makers.py": {"tensorflow", "keras", "jax"},
    "trainer/pretraining/elsewhere/mixture.py": {"tensorflow", "keras", "jax"},
    "trainer/pretraining/elsewhere/streams.py": {"tensorflow", "keras", "jax"},
    "trainer/pretraining/elsewhere/prepared.py": {"tensorflow", "keras", "jax"},
    "trainer/pretraining/elsewhere/choices.py": {"tensorflow", "keras", "jax"},
    "trainer/pretraining/elsewhere/train.py": {"tensorflow", "keras", "jax"},
    "trainer/weights/hub.py": {"models", "tensorflow", "keras"},
}
PACKAGES = {"models", "trainer", "serving"}


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


def loaded(name):
    """Yields the modules that are loaded with a module of ours, their own ones and so on; not what a function imports."""
    seen, waiting = set(), [name]
    while waiting:
        name = waiting.pop()
        parts = name.split(".")
        # A package is loaded before what is in it; the last part may be no module
        for module in (".".join(parts[: i + 1]) for i in range(len(parts))):
            path = ROOT.joinpath(*module.split("."))
            file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
            if module in seen or (parts[0] in PACKAGES and not file.is_file()):
                continue
            seen.add(module)
            yield module
            if parts[0] in PACKAGES:
                for node in ast.parse(file.read_text(encoding="utf-8")).body:
                    if isinstance(node, ast.Import):
                        waiting += [found.name for found in node.names]
                    elif isinstance(node, ast.ImportFrom):
                        waiting += [f"{node.module}.{found.name}" for found in node.names]


@pytest.mark.parametrize("module", ["train", "training", "masked", "next_units"])
def test_where_jax_is_nothing_else_is_needed(module):
    found = {*loaded(f"trainer.pretraining.elsewhere.{module}")}
    others = {name.split(".")[0] for name in found} - {*sys.stdlib_module_names} - PACKAGES
    assert others <= {"numpy", "safetensors", *([] if module == "train" else ["keras", "jax"])}, others
    assert "trainer.weights.tensors" in found


def test_nothing_but_a_picture_needs_matplotlib():
    files = [path for package in ("models", "trainer", "serving") for path in (ROOT / package).rglob("*.py")]
    assert {path.name for path in files if "matplotlib" in imported(path)} == {"picture.py", "pictures.py"}
    for path in files:  # and that only when it is drawn
        body = ast.parse(path.read_text(encoding="utf-8")).body
        assert "matplotlib" not in {name for node in body for name in modules(node)}, path


@pytest.mark.parametrize(
    "begin",
    ["import serving.client.command", "import trainer.__main__; trainer.__main__.parser_of_all().format_help()"],
)
def test_begins_without_a_framework(begin):
    code = f"import sys; {begin}; print([m for m in ('tensorflow', 'keras', 'tensorflow_serving') if m in sys.modules])"
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    assert subprocess.check_output([sys.executable, "-c", code], cwd=ROOT, text=True) == "[]\n"
    seconds = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before
    assert seconds < 1.5  # of CPU, however busy the machine is; TensorFlow alone takes longer than the client may
