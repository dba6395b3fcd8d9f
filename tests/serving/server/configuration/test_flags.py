"""Invalid flags and configurations: one line, exit 2; and the flags of addresses and gRPC."""

import math
import signal
import socket

import grpc
import pytest

from serving.server import command as server
from serving.server.configuration.flags import channel_arguments, installed, parse
from serving.server.requests.limits import Limits
from tests.conftest import Server, wait_for
from tests.serving.harm import method, request, texts


@pytest.fixture
def folder(export_folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "export").symlink_to(export_folder)
    (tmp_path / "file").write_text("not a socket")
    entry = lambda fields, name="a": f'config {{ name: "{name}" base_path: "export" {fields} }}'
    for name, models in {
        "specific": entry("model_version_policy { specific {} }"),
        "label": entry('version_labels { key: "x" value: 1 } version_labels { key: "x" value: 2 }'),
        "nameless": entry('version_labels { key: "" value: 1 }'),
        "model": entry("", name=""),
        "nul": 'config { name: "a" base_path: "b\\000c" }',
        "line": entry("", name="a\\nb") + entry("", name="a\\nb"),
        "custom": "",
    }.items():
        (tmp_path / name).write_text(f"model_config_list {{ {models} }}")
    return tmp_path


SERVE = ["--model_base_path=export"]
WRONG = [
    (["--tensorflow_intra_op_parallelism=-3"], "--tensorflow_intra_op_parallelism: expected 0 to 1024, received -3"),
    (["--tensorflow_intra_op_parallelism=99999999999"], "--tensorflow_intra_op_parallelism: expected 0 to 1024"),
    (["--file_system_poll_wait_seconds=nan"], "--file_system_poll_wait_seconds: expected a number of seconds, received nan"),
    (["--file_system_poll_wait_seconds=inf"], "expected a number of seconds, received inf"),
    (["--file_system_poll_wait_seconds=1e300"], "expected a number of seconds, received 1e+300"),
    (["--file_system_poll_wait_seconds=often"], "often"),
    (["--grpc_max_threads=0"], "--grpc_max_threads: expected 1 to 1024, received 0"),
    (["--grpc_max_threads=1000000"], "--grpc_max_threads: expected 1 to 1024, received 1000000"),
    (["--port=0"], "--port: expected 1 to 65535, received 0"),
    (["--port=-1", "--grpc_socket_path=x"], "--port: expected 0 to 65535, received -1"),
    (["--max_request_bytes=0"], "--max_request_bytes: expected 1 to 2147483647, received 0"),
    (["--max_rows=-5"], "--max_rows: expected 1 to 2147483647, received -5"),
    (["--max_tensor_bytes=1e6"], "--max_tensor_bytes"),
    (["--max_bytes_under_way=0"], "--max_bytes_under_way: expected 1 to"),
    (["--model_name="], "--model_name: expected a name, received an empty one"),
    (["--grpc_channel_arguments=grpc.max_connection_age_ms"], "expected key=value,..., received grpc.max_connection_age_ms"),
    (["--grpc_channel_arguments=a=1,=2"], "--grpc_channel_arguments: expected key=value,..., received =2"),
    (["--grpc_channel_arguments=a=99999999999"], "--grpc_channel_arguments: expected a to fit 32 bits"),
    (["--grpc_socket_path=file"], "--grpc_socket_path file: cannot be listened on"),
    (["--grpc_socket_path=no/where"], "--grpc_socket_path no/where: cannot be listened on (No such file"),
    ([f"--grpc_socket_path={'x' * 200}"], "cannot be listened on (AF_UNIX path too long)"),
    (["--use_alts_credentials", "--ssl_config_file=x"], "--use_alts_credentials: expected --ssl_config_file instead, for ALTS is not"),
    (["--model_config_file=specific"], "specific: model a: expected versions in the version policy specific, found none"),
    (["--model_config_file=label"], "label: model a: expected every label once, found x 2 times"),
    (["--model_config_file=nameless"], "nameless: model a: expected a name for every label, found an empty one"),
    (["--model_config_file=model"], "model: expected a name and a base_path for every model"),
    (["--model_config_file=nul"], "nul: model a: expected a base_path, found one with a NUL in it"),
    (["--model_config_file=line"], "Illegal to list model a b multiple times"),
    (["--model_config_file=export"], "export: cannot be read (Is a directory)"),
]  # fmt: skip


@pytest.mark.parametrize("flags, text", WRONG, ids=[flags[0][:60] for flags, _ in WRONG])
def test_one_line(flags, text, folder, capsys):
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    with socket.socket(socket.AF_UNIX) as used, socket.socket() as free:
        used.bind("used")
        used.listen()
        free.bind(("", 0))
        port = [] if flags[0].startswith("--port") else [f"--port={free.getsockname()[1]}"]
        free.close()
        with pytest.raises(SystemExit) as stop:
            server.main([*SERVE, *port, *flags])
    for number, handler in handlers.items():
        signal.signal(number, handler)
    out, err = capsys.readouterr()
    assert (stop.value.code, out, err.count("\n")) == (2, "", 1) and text in err, err
    assert (folder / "file").read_text() == "not a socket"


def test_defaults_and_a_negative_poll():
    options = parse([*SERVE, "--file_system_poll_wait_seconds=-1"], "")
    assert options.file_system_poll_wait_seconds == -1 and math.isfinite(options.file_system_poll_wait_seconds)
    assert all(getattr(options, name) == getattr(Limits(), name) for name in Limits.__dataclass_fields__)
    assert channel_arguments("a=1,b=-2,c=x=y,d=,e=٣") == {"a": 1, "b": -2, "c": "x=y", "d": "", "e": "٣"}


def test_versions(capsys):
    with pytest.raises(SystemExit) as stop:
        parse(["--version"], "")
    lines = capsys.readouterr().out.splitlines()
    assert stop.value.code == 0 and lines[0].startswith("TensorFlow ModelServer: ")
    assert lines[1] == f"TensorFlow Library: {installed('tensorflow')}" != "TensorFlow Library: none"


def test_a_socket_alone_and_grpc_arguments(export_folder, tmp_path):
    path = tmp_path / "socket"
    with socket.socket(socket.AF_UNIX) as left_behind:
        left_behind.bind(str(path))
    flags = (f"--grpc_socket_path={path}", "--grpc_channel_arguments=grpc.max_receive_message_length=1000")
    server = Server("--port=0", "--model_name=sentiment", f"--model_base_path={export_folder}", *flags)
    assert server.log[-1] == f"serving sentiment at unix:{path}"
    with grpc.insecure_channel(f"unix:{path}") as channel:
        assert method(channel)(request("sentiment", {"text": texts(b"a good film")}), timeout=10)
        with pytest.raises(grpc.RpcError) as caught:
            method(channel)(request("sentiment", {"text": texts(b"a" * 1000)}), timeout=10)
        assert caught.value.code().name == "RESOURCE_EXHAUSTED"
    flags = ("--port=0", "--model_name=taken", f"--model_base_path={export_folder}", f"--grpc_socket_path={path}")
    other = Server(*flags)
    assert f"--grpc_socket_path {path}: a server listens there; taken over when the models are loaded" in other.log
    assert server.stop() == 0  # and leaves the socket of the other one alone
    with grpc.insecure_channel(f"unix:{path}") as channel:
        assert method(channel)(request("taken", {"text": texts(b"a good film")}), timeout=10)
    assert other.stop() == 0
    wait_for(lambda: not path.exists())
