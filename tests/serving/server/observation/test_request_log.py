"""The log of requests: its lines, what it leaves out, rotation, and a disk that is slow or full."""

import json
import os
import resource
import signal
import subprocess
import threading
import time
import urllib.request
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import grpc
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2

from serving.client import Client
from serving.server.configuration.follow import Invalid
from serving.server.configuration.model_config import read_config
from serving.server.observation.request_log import WAITING, RequestLog
from serving.server.requests.gate import Gate
from serving.server.requests.limits import Limits
from serving.server.requests.request import Request
from tests.conftest import ROOT, Server, free_port, wait_for
from tests.serving.saved import save_half_plus_two

TWO = {"x": np.float32([[2.0]])}


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    folder = tmp_path_factory.mktemp("logged") / "half"
    save_half_plus_two(folder / "1")
    return folder


@pytest.fixture(scope="module")
def server(base):
    path, rest = base.parent / "requests.jsonl", free_port()
    flags = (f"--request_log={path}", "--request_log_inputs", f"--rest_api_port={rest}")
    collector = f'log_collector_config {{ type: "tfrecord" filename_prefix: "{base.parent}/samples" }}'
    logging = f"logging_config {{ {collector} sampling_config {{ sampling_rate: 1 }} }}"
    config = base.parent / "models.config"
    config.write_text(f'model_config_list {{ config {{ name: "half" base_path: "{base}" {logging} }} }}')
    server = Server(f"--model_config_file={config}", *flags)
    server.path, server.rest = path, f"http://localhost:{rest}/v1/models/half"
    yield server
    assert server.stop() == 0, server.log


def samples(server, count):
    """Returns the records of the samples, which will be so many."""
    paths = lambda: list(server.path.parent.glob("samples-*.tfrecord"))
    read = lambda: [record.numpy() for record in tf.data.TFRecordDataset([str(path) for path in paths()])]
    wait_for(lambda: paths() and paths()[0].stat().st_size and len(read()) >= count)
    return [prediction_log_pb2.PredictionLog.FromString(record) for record in read()]


def lines(path, count):
    """Returns the rows of a log, which will have so many."""
    wait_for(lambda: path.exists() and path.read_text().count("\n") >= count)
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_samples_for_warming_up(server):
    with Client(server.address) as client:
        client.predict("half", TWO)
        with pytest.raises(grpc.RpcError):
            client.predict("half", TWO, signature="none")
        client.predict("half", TWO)
    assert lines(server.path, 3)
    first, second = samples(server, 2)
    assert first == second and first.predict_log.request.model_spec.name == "half"
    assert list(first.predict_log.request.inputs["x"].float_val) == [2.0]
    server.path.write_text("")  # for the next test


@pytest.mark.parametrize(
    "config, text",
    [
        ('log_collector_config { type: "tape" filename_prefix: "a" }', 'expected a log_collector_config of type tfrecord with a filename_prefix, found type: "tape"'),
        ('log_collector_config { type: "tfrecord" }', 'found type: "tfrecord"'),
        ('log_collector_config { type: "tfrecord" filename_prefix: "a" } sampling_config { sampling_rate: 2 }', "expected a sampling_rate from 0 to 1, found 2.0"),
    ],
)  # fmt: skip
def test_wrong_configurations(config, text):
    content = f'model_config_list {{ config {{ name: "a" base_path: "/a" logging_config {{ {config} }} }} }}'
    with pytest.raises(Invalid) as caught:
        read_config(Path("file"), content.encode())
    assert text in str(caught.value) and str(caught.value).startswith("file: model a: ")


def test_lines_and_rotation(server):
    with Client(server.address) as client:
        client.predict("half", TWO)
        client.predict("half", {"x": np.zeros([30_000, 1], np.float32)})
        with pytest.raises(grpc.RpcError):
            client.predict("other", TWO, signature="some")
        client.status("half")
    body = json.dumps({"instances": [2.0]}).encode()
    assert urllib.request.urlopen(f"{server.rest}:predict", body).read()
    first, large, failed, status, rest = lines(server.path, 5)
    assert abs(time.mktime(time.strptime(first["time"][:19], "%Y-%m-%dT%H:%M:%S")) - time.timezone - time.time()) < 60
    assert first["peer"].startswith("ipv") and 0 < first["ms"] < 30_000
    assert {name: first[name] for name in ("transport", "method", "model", "version", "signature", "status", "inputs")} == {
        "transport": "GRPC", "method": "Predict", "model": "half", "version": "1", "signature": "serving_default", "status": "OK",
        "inputs": {"x": [[2.0]]},
    }  # fmt: skip
    assert first["request_bytes"] > 10 and first["response_bytes"] > 10
    assert large["inputs"] is None and large["request_bytes"] > 100_000
    assert (failed["status"], failed["model"], failed["response_bytes"]) == ("NOT_FOUND", "other", 0)
    assert (status["method"], status["inputs"]) == ("GetModelStatus", None)
    assert (rest["transport"], rest["method"], rest["inputs"]) == ("REST", "predict", {"instances": [2.0]})

    server.path.rename(server.path.with_suffix(".old"))
    server.process.send_signal(signal.SIGHUP)
    wait_for(server.path.exists)
    with Client(server.address) as client:
        client.predict("half", TWO)
    assert len(lines(server.path, 1)) == 1 and len(lines(server.path.with_suffix(".old"), 5)) == 5


def test_calls_without_a_message_are_noted_once(server):
    before = len(lines(server.path, 0))
    with grpc.insecure_channel(server.address) as channel:
        name = "/tensorflow.serving.PredictionService/Predict"
        waits = threading.Event()
        calls = [channel.stream_unary(name).future(iter(waits.wait, True)) for _ in range(8)]
        time.sleep(0.5)
        for call in calls:
            call.cancel()
        waits.set()
        for messages, code in (([], "INVALID_ARGUMENT"), ([bytes(65 * 2**20)], "RESOURCE_EXHAUSTED")):
            with pytest.raises(grpc.RpcError) as error:
                channel.stream_unary(name)(iter(messages))
            assert error.value.code().name == code
    lines(server.path, before + 10)
    time.sleep(0.3)
    statuses = [row["status"] for row in lines(server.path, 0)[before:]]
    assert Counter(statuses) == {"CANCELLED": 9, "INVALID_ARGUMENT": 1}


@pytest.fixture
def request_of():
    """Returns a function that makes a request that has ended."""
    gate = Gate(1, Limits())

    def make(data=b"", api="Predict", entrypoint="GRPC"):
        request = Request(gate, float("inf"), api, entrypoint)
        request.kept = data
        return request

    return make


def test_sampling_and_redaction(request_of, tmp_path):
    log = RequestLog(tmp_path / "log", sampling=0.2)
    for _ in range(2000):
        log(request_of(b"secret"), "OK", 0.1)
    for api in ("Check", "Watch"):
        log(request_of(api=api), "OK", 0.1)
    log.end(10)
    text = (tmp_path / "log").read_text()
    assert 250 < text.count("\n") < 550 and "secret" not in text and "Check" not in text


def test_a_slow_disk_loses_lines_and_delays_nobody(request_of, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    log = RequestLog(tmp_path / "pipe")
    began = time.monotonic()
    for _ in range(WAITING + 5000):
        log(request_of(), "OK", 0.1)
    assert time.monotonic() - began < 5
    os.set_blocking(reader, True)
    with open(reader, "rb") as file:
        ender = threading.Thread(target=log.end, args=[30])
        ender.start()
        rows = []
        while not (rows and "dropped" in rows[-1]) and (line := file.readline()):
            rows.append(json.loads(line))
        ender.join()
    dropped = sum(row.get("dropped", 0) for row in rows)
    assert dropped > 0 and len(rows) - 1 + dropped == WAITING + 5000


def test_a_full_disk(request_of, tmp_path, capsys):
    """Said once; the lines that fit are whole when there is room again."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    log = RequestLog(tmp_path / "log")
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        for _ in range(3):
            for _ in range(10):
                log(request_of(), "OK", 0.1)
            time.sleep(0.1)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    log(request_of(), "OK", 0.1)
    log.end(10)
    assert (
        capsys.readouterr().err == f"--request_log {tmp_path}/log: cannot be written (File too large); lines are lost\n"
    )
    written = (tmp_path / "log").read_text().splitlines()
    assert json.loads(written[-1])["dropped"] and json.loads(written[-2])["status"] == "OK"
    assert os.path.getsize(tmp_path / "log") > 1000


def test_inputs_of_any_kind(request_of, tmp_path):
    from serving import tensors
    from serving.messages import PredictRequest
    from tests.serving.harm import request, tensor, texts

    log = RequestLog(tmp_path / "log", inputs=True)
    message = PredictRequest()
    tensors.fill(message.inputs["x"], np.array([1.0, np.nan], np.float32))
    tensors.fill(message.inputs["z"], np.array([1 + 2j]))
    for data in (
        message.SerializeToString(),
        request("m", {"text": texts("坏".encode(), b"\xff")}),
        request("m", {"x": tensor(1, [2**27], float_val=[1.0])}),  # half a gigabyte
        request("m", {"x": tensor(99, [2])}),
        b"\xff" * 9,
    ):
        log(request_of(data), "OK", 0.0)
    log.end(10)
    found = [json.loads(line)["inputs"] for line in (tmp_path / "log").read_text().splitlines()]
    assert found == [{"x": [1.0, None], "z": ["(1+2j)"]}, {"text": ["坏", "\\xff"]}, {"x": None}, None, None]


def test_json_that_is_no_text_or_no_number(request_of, tmp_path):
    log = RequestLog(tmp_path / "log", inputs=True)
    bodies = (rb'{"a": "\ud800"}', b'{"a": [1e999, -1e999, 0.5]}', b'{"a": "\xff"}', b'{"a": 1}')
    for body in bodies:
        log(request_of(body, "predict", "REST"), "OK", 0.0)
    log.end(10)
    refuse = lambda name: pytest.fail(f"{name} is no JSON")
    found = [json.loads(line, parse_constant=refuse)["inputs"] for line in (tmp_path / "log").read_text().splitlines()]
    assert found == [{"a": "\ud800"}, {"a": [None, None, 0.5]}, None, {"a": 1}]


def test_names_of_any_length(request_of, tmp_path):
    log = RequestLog(tmp_path / "log")
    request = request_of()
    request.model = request.signature = "m" * 2**20
    log(request, "NOT_FOUND", 0.0)
    log.end(10)
    assert len((tmp_path / "log").read_text()) < 4000


def test_a_file_that_cannot_be_opened(tmp_path, capsys):
    from serving.server.assembly import request_log

    with pytest.raises(SystemExit) as stop:
        request_log(SimpleNamespace(request_log=tmp_path, request_log_sampling=1.0, request_log_inputs=False))
    assert stop.value.code == 2 and capsys.readouterr().err.endswith(
        f"--request_log {tmp_path}: cannot be opened (Is a directory)\n"
    )


@pytest.mark.parametrize("workers", [1, 2])
def test_rotation_while_models_are_loaded(base, tmp_path, workers):
    path = tmp_path / "log"
    flags = [f"--port={free_port()}", "--model_name=half", f"--model_base_path={base}", f"--workers={workers}"]
    command = [*Server.COMMAND, *flags, f"--request_log={path}"]
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)
    try:
        wait_for(path.exists)  # the log is open, the models are to come
        path.rename(tmp_path / "old")
        process.send_signal(signal.SIGHUP)
        assert any(line.startswith("serving ") for line in process.stderr)
        wait_for(path.exists)
        process.terminate()
        assert process.wait(20) == 0
    finally:
        process.kill()
