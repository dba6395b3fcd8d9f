"""The images' entry point, and the embedded image's files and packages, without a container engine."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from importlib.metadata import distribution, version
from subprocess import PIPE

import pytest
from packaging.requirements import Requirement

from serving.client import Client
from tests.conftest import ROOT, Server

ENTRYPOINT = ROOT / "docker" / "entrypoint.sh"


def requirements(path):
    """Returns {name: Requirement} of those for this machine, tensorflow-cpu under the name tensorflow."""
    lines = [line.partition("#")[0].strip() for line in path.read_text().splitlines()]
    parsed = [Requirement(line) for line in lines if line]
    return {
        requirement.name.removesuffix("-cpu"): requirement
        for requirement in parsed
        if not requirement.marker or requirement.marker.evaluate()
    }


IMAGE = requirements(ROOT / "docker" / "requirements.txt")


def entry(models, *command, **popen):
    """Starts the entry point with the folder `models`."""
    environment = os.environ | {"MODEL_BASE_PATH": str(models), "TMPDIR": str(models)}
    popen |= {"preexec_fn": lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)}  # ignored in background jobs
    return subprocess.Popen([ENTRYPOINT, *command], env=environment, stdout=PIPE, stderr=PIPE, text=True, **popen)


def test_versions_are_those_that_are_tested():
    tested = requirements(ROOT / "requirements.txt")
    assert {"tensorflow", "tensorflow-text", "tensorflow-serving-api", "grpcio"} <= IMAGE.keys() & tested.keys()
    for name in IMAGE.keys() & tested.keys():
        assert IMAGE[name].specifier == tested[name].specifier and IMAGE[name].specifier.contains(version(name)), name


@pytest.fixture
def image(tmp_path):
    """Arguments of `Server` for the embedded image: only its files of serving/ and its packages, without Keras."""
    app, packages = tmp_path / "app", tmp_path / "packages"
    assert "COPY --chmod=755 serving /app/serving\n" in (ROOT / "docker" / "embedded.Dockerfile").read_text()
    assert {"!serving/*.py", "!serving/server", "**/__pycache__"} <= {
        *(ROOT / ".dockerignore").read_text().splitlines()
    }
    shutil.copytree(
        ROOT / "serving" / "server", app / "serving" / "server", ignore=shutil.ignore_patterns("__pycache__")
    )
    for path in (ROOT / "serving").glob("*.py"):
        shutil.copy(path, app / "serving")
    packages.mkdir()
    for name in IMAGE:
        for top in {file.parts[0] for file in distribution(name).files} - {"..", "__pycache__"}:
            if not (packages / top).exists():
                (packages / top).symlink_to(distribution(name).locate_file(top))
    assert not (packages / "keras").exists()
    return {
        "command": [ENTRYPOINT, sys.executable, "-S", "-m", "serving.server"],  # -S: no site-packages
        "cwd": app,
        "env": {"PATH": os.environ["PATH"], "PYTHONPATH": str(packages), "TMPDIR": str(tmp_path)},
    }


def test_serves_models_by_the_names_of_their_folders(image, export_folder, tmp_path):
    for name in ("one", 'the "other"'):
        shutil.copytree(export_folder / "1", tmp_path / "models" / name / "1")
    (tmp_path / "models" / "no model").mkdir()
    image["env"]["MODEL_BASE_PATH"] = str(tmp_path / "models")
    with socket.socket() as free:
        free.bind(("", 0))
        rest = f"localhost:{free.getsockname()[1]}"
    server = Server(f"--rest_api_port={rest.partition(':')[2]}", **image)
    with urllib.request.urlopen(f"http://{rest}/v1/models/one") as response:
        assert b"AVAILABLE" in response.read()
    for name in ("one", 'the "other"'):
        answers = Client(server.address).answer("sentiment", [{"text": "a good film"}], model=name)
        assert answers[0]["label"] == "positive"
    assert server.stop() == 0 and server.log[-1] == "ending after the requests under way"
    assert not list(tmp_path.glob("tmp.*"))


def test_uses_an_existing_models_config(export_folder, tmp_path):
    (tmp_path / "not in the file").mkdir()
    (tmp_path / "models.config").write_text(
        f'model_config_list {{ config {{ name: "given" base_path: "{export_folder}" }} }}'
    )
    environment = os.environ | {"MODEL_BASE_PATH": str(tmp_path)}
    server = Server(command=[ENTRYPOINT, *Server.COMMAND], env=environment)
    assert server.log[-1] == f"serving given at 0.0.0.0:{server.port}"
    assert server.stop() == 0


@pytest.mark.parametrize("flags", [["--model_base_path=/a"], ["--port=1", "--model_config_file", "/a"]])
def test_flags_that_name_models_win(flags, tmp_path):
    assert entry(tmp_path, "echo", *flags).communicate() == (" ".join(flags) + "\n", "")


@pytest.mark.parametrize("found", ["nothing there", "1", "models"])
def test_no_model_is_one_line(found, tmp_path):
    folder = tmp_path / "models"
    if found == "1":  # the folder of one model instead of the folder of all
        (folder / "1").mkdir(parents=True)
        found = folder / "1"
    elif found == "models":
        folder.touch()
        found = "nothing there"
    process = entry(folder, "echo")
    assert process.communicate() == (
        "",
        f"entrypoint.sh: expected {folder}/NAME/1/saved_model.pb for each model, or {folder}/models.config; found {found}\n",
    )
    assert process.returncode == 2


def test_the_servers_exit_status_is_passed_on(tmp_path):
    assert entry(tmp_path, "sh", "-c", "exit 7", "--model_base_path=").wait() == 7


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_no_signal_is_lost_however_early(number, tmp_path):
    """Standard output closes only when the server has ended, too."""
    (tmp_path / "models.config").touch()
    for i in range(30):
        process = entry(tmp_path, "sh", "-c", "exec sleep 60")
        time.sleep(i / 2000)
        process.send_signal(number)
        process.communicate(timeout=10)
        assert process.returncode in (143, -number)  # -number: before bash has read the script


def test_a_server_that_is_starting_ends(export_folder):
    process = entry(export_folder.parent, *Server.COMMAND, cwd=ROOT)
    time.sleep(1)
    process.terminate()
    assert process.communicate(timeout=10) == ("", "") and process.returncode == 143
