"""The client's other calls, to a real server; what it tries again, and for how long; asyncio."""

import asyncio
import json
import time
from concurrent.futures import ThreadPoolExecutor

import grpc
import numpy as np
import pytest

from serving import tensors
from serving.client import AsyncClient, Client, VersionStatus, command
from serving.messages import PREDICT, PredictResponse
from tests.conftest import Server, wait_for
from tests.serving.saved import save_half_plus_two

TWO = {"x": np.float32([2.0])}


class Failing(grpc.GenericRpcHandler):
    """A server that fails so many times with a code, then answers; each answer takes `seconds`."""

    def __init__(self):
        self.failures, self.code, self.seconds, self.calls = 0, "UNAVAILABLE", 0.0, 0

    def service(self, details):
        return grpc.unary_unary_rpc_method_handler(self.predict) if details.method == PREDICT else None

    def predict(self, data, context):
        self.calls += 1
        if self.calls <= self.failures:
            context.abort(grpc.StatusCode[self.code], "not now")
        time.sleep(self.seconds)
        response = PredictResponse()
        tensors.fill(response.outputs["y"], np.float32([self.calls]))
        return response.SerializeToString()


@pytest.fixture(scope="module")
def failing():
    handler = Failing()
    server = grpc.server(ThreadPoolExecutor(2), handlers=[handler], options=[("grpc.max_receive_message_length", -1)])
    handler.address = f"localhost:{server.add_insecure_port('localhost:0')}"
    server.start()
    yield handler
    server.stop(None)


def attempts(handler, failures, code="UNAVAILABLE", *, size=1, timeout=20.0, seconds=0.0, **arguments):
    """Returns (name of the status, attempts that reached the server, seconds)."""
    handler.failures, handler.code, handler.calls, handler.seconds = failures, code, 0, seconds
    began = time.monotonic()
    with Client(handler.address, **arguments) as client:
        try:
            client.predict("m", {"x": np.zeros([size], np.float32)}, timeout=timeout)
            status = "OK"
        except grpc.RpcError as error:
            status = error.code().name
    return status, handler.calls, time.monotonic() - began


def test_retries(failing):
    assert attempts(failing, 2)[:2] == ("OK", 3)
    assert attempts(failing, 2, retries=1)[:2] == ("UNAVAILABLE", 2)
    assert attempts(failing, 1, retries=0)[:2] == ("UNAVAILABLE", 1)
    assert attempts(failing, 2, size=2**21)[:2] == ("OK", 3)  # 8 MB
    for code in ("RESOURCE_EXHAUSTED", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "INTERNAL"):
        assert attempts(failing, 2, code)[:2] == (code, 1)


def test_the_deadline_is_that_of_all_attempts(failing):
    status, calls, seconds = attempts(failing, 99, timeout=0.2)
    assert status in ("DEADLINE_EXCEEDED", "UNAVAILABLE") and calls < 5 and seconds < 2
    status, calls, seconds = attempts(failing, 0, timeout=0.2, seconds=1.0)
    assert (status, calls) == ("DEADLINE_EXCEEDED", 1) and seconds < 0.9


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("client")
    save_half_plus_two(folder / "half" / "1")
    server = Server("--model_name=half", f"--model_base_path={folder / 'half'}", "--file_system_poll_wait_seconds=0.1")
    server.folder = folder
    yield server
    assert server.stop() == 0, server.log


@pytest.fixture
def ask(server, capsys):
    def ask(*arguments):
        try:
            command.main([*map(str, arguments), f"--server={server.address}"])
            status = 0
        except SystemExit as stop:
            status = stop.code
        return status, *capsys.readouterr()

    return ask


def config_of(server, versions):
    policy = f"model_version_policy {{ specific {{ {versions} }} }}" if versions else ""
    return f'model_config_list {{ config {{ name: "half" base_path: "{server.folder / "half"}" {policy} }} }}'


def test_reload_status_and_metadata(server, ask):
    (server.folder / "half" / "2").mkdir()  # is no model
    with Client(server.address) as client:
        wait_for(lambda: client.status("half")[0].state == "END")
        failed, good = client.status("half")
        assert failed.version == 2 and failed.code != "OK" and good == VersionStatus(1, "AVAILABLE")
        assert failed.error.startswith("SavedModel file does not exist at: ")
    status, out, _ = ask("status", "half")
    assert status == 0 and out.splitlines()[1:] == [
        f"2        END        {failed.code}: {failed.error}",
        "1        AVAILABLE",
    ]
    (server.folder / "half" / "2").rmdir()
    with Client(server.address) as client:
        assert client.reload(config_of(server, "versions: 1")) == ["half"]
        assert client.status("half", 1) == [VersionStatus(1, "AVAILABLE")]
        signature = client.metadata("half", 1)["signatures"]["serving_default"]
        assert signature["inputs"] == {"x": ["float", [-1, 1]]} and signature["method"].endswith("predict")
        assert client.predict("half", TWO, version=1)["y"].tolist() == [3.0]
        with pytest.raises(grpc.RpcError, match="Servable not found for request: Specific"):
            client.predict("half", TWO, version=9)
        with pytest.raises(grpc.RpcError, match="Unrecognized servable version label: stable"):
            client.predict("half", TWO, label="stable")
    status, out, err = ask("status", "half", "--version=1")
    assert (status, out, err) == (0, "version  state      error\n1        AVAILABLE\n", "")
    assert json.loads(ask("status", "half", "--json")[1])["versions"][-1] == {
        "version": 1, "state": "AVAILABLE", "code": "OK", "error": "",
    }  # fmt: skip
    status, out, _ = ask("metadata", "half")
    assert (status, out.splitlines()[:2]) == (
        0,
        ["half version 1", f"{'signature':21}  {'':6}  tensor   type    shape"],
    )
    assert f"{'serving_default':21}  {'input':6}  x        float   [-1, 1]" in out.splitlines()
    assert json.loads(ask("metadata", "half", "--json")[1])["signatures"]["serving_default"]["outputs"] == {"y": ["float", [-1, 1]]}  # fmt: skip


def test_errors_are_one_line(server, ask):
    bad, none = server.folder / "bad", server.folder / "none"
    bad.write_text("model_config_list { nome: 1 }")
    relative = server.folder / "relative"
    relative.write_text('model_config_list { config { name: "a" base_path: "a" } }')
    for arguments, status, text in (
        (("status", "other"), 1, "NOT_FOUND: Could not find any versions of model other"),
        (("status", "half", "--version=7"), 1, "NOT_FOUND: Could not find version 7 of model half"),
        (("metadata", "other"), 1, "NOT_FOUND: Servable not found for request: Latest(other)"),
        (("metadata", "half", "--version=1", "--label=a"), 2, "expected a version or a label, received version 1 and label a"),
        (("reload", none), 2, f"{none}: cannot be read"),
        (("reload", bad), 2, f"{bad}: Error parsing text-format tensorflow.serving.ModelServerConfig: 1:"),
        (("reload", relative), 1, "INVALID_ARGUMENT: Expected model a to have an absolute path or URI"),
        (("status",), 2, "MODEL"),
        (("status", "half", "--retries=5"), 2, "--retries: expected 0 to 4, received 5"),
    ):  # fmt: skip
        code, out, err = ask(*arguments)
        assert (code, out, err.count("\n")) == (status, "", 1) and text in err, (arguments, err)


def test_reload_by_the_command(server, ask):
    file = server.folder / "models.config"
    file.write_text(config_of(server, "versions: 1"))
    assert ask("reload", file) == (0, "serving half\n", "")
    assert ask("reload", file, "--json") == (0, '{"models": ["half"]}\n', "")


def test_asyncio(server, failing):
    async def ask():
        async with AsyncClient(server.address, timeout=20) as client:
            answers = await asyncio.gather(*(client.predict("half", TWO) for _ in range(20)))
            assert {answer["y"].tolist()[0] for answer in answers} == {3.0}
            assert await client.status("half", 1) == [VersionStatus(1, "AVAILABLE")]
            assert (await client.metadata("half"))["version"] == 1
            assert await client.reload(config_of(server, "versions: 1")) == ["half"]
        failing.failures, failing.code, failing.calls, failing.seconds = 2, "UNAVAILABLE", 0, 0.0
        async with AsyncClient(failing.address) as client:
            assert (await client.predict("m", TWO))["y"].tolist() == [3.0]  # of the third attempt
        failing.failures, failing.seconds = 0, 1.0
        async with AsyncClient(failing.address, timeout=0.2) as client:
            with pytest.raises(grpc.RpcError) as caught:
                await client.predict("m", TWO)
            assert caught.value.code().name == "DEADLINE_EXCEEDED"

    asyncio.run(ask())
    with Client(server.address) as client:
        expected = client.predict("half", TWO)
    assert expected["y"].tolist() == [3.0]


def test_answers_by_asyncio(failing):
    async def ask():
        async with AsyncClient(failing.address) as client:
            return await client.answer("sentiment", [{"text": "a"}], model="m")

    failing.failures, failing.seconds = 0, 0.0
    with pytest.raises(KeyError):  # a model that is none for the task
        asyncio.run(ask())
