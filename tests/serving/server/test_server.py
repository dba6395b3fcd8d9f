"""The server over its port: answers, TensorFlow Serving's codes and messages, changing versions, several models."""

import shutil
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import grpc
import numpy as np
import pytest
import tensorflow as tf
from grpc_health.v1 import health_pb2, health_pb2_grpc
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_management_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from serving.client import Client
from tests.conftest import ROOT, Server, wait_for


@pytest.fixture(scope="module")
def channel(server):
    with grpc.insecure_channel(server.address) as channel:
        yield channel


def predict(channel, inputs, spec=None, output_filter=()):
    """Calls Predict with TensorFlow Serving's stubs and TensorFlow's tensors."""
    request = predict_pb2.PredictRequest(output_filter=output_filter)
    for name, value in ({"name": "sentiment"} if spec is None else spec).items():
        if name == "version":
            request.model_spec.version.value = value
        else:
            setattr(request.model_spec, name, value)
    for name, value in inputs.items():
        request.inputs[name].CopyFrom(tf.make_tensor_proto(value))
    return prediction_service_pb2_grpc.PredictionServiceStub(channel).Predict(request, timeout=30)


def status(channel, name="sentiment", version=None, version_label=""):
    request = get_model_status_pb2.GetModelStatusRequest()
    request.model_spec.name, request.model_spec.version_label = name, version_label
    if version is not None:
        request.model_spec.version.value = version
    response = model_service_pb2_grpc.ModelServiceStub(channel).GetModelStatus(request, timeout=30)
    return {entry.version: (entry.state, entry.status.error_code) for entry in response.model_version_status}


def health(channel, service=""):
    return health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(service=service), timeout=30).status


def test_predict(channel):
    response = predict(channel, {"text": ["a good film", "坏 片"]})
    assert list(response.outputs["label"].string_val) == [b"positive", b"negative"]
    assert len(response.outputs["probabilities"].float_val) == 4
    spec = response.model_spec
    assert (spec.name, spec.signature_name, spec.version.value) == ("sentiment", "serving_default", 1)
    response = predict(channel, {"text": ["a good film"]}, {"name": "sentiment", "version": 1}, ["score"])
    assert list(response.outputs) == ["score"]
    assert predict(channel, {"text": np.zeros([0], object)}).outputs["label"].tensor_shape.dim[0].size == 0


TEXT = {"text": ["a"]}
REFUSALS = [
    ({}, TEXT, (), "INVALID_ARGUMENT", "Missing ModelSpec"),
    ({"name": ""}, TEXT, (), "INVALID_ARGUMENT", "ModelSpec has no name specified."),
    ({"name": "other"}, TEXT, (), "NOT_FOUND", "Servable not found for request: Latest(other)"),
    ({"name": "sentiment", "version": 9}, TEXT, (), "NOT_FOUND", "Servable not found for request: Specific(sentiment, 9)"),
    ({"name": "sentiment", "version": 0}, TEXT, (), "NOT_FOUND", "Servable not found for request: Specific(sentiment, 0)"),
    ({"name": "sentiment", "version_label": "new"}, TEXT, (), "INVALID_ARGUMENT", "Unrecognized servable version label: new"),
    ({"name": "sentiment", "signature_name": "s"}, TEXT, (), "FAILED_PRECONDITION", 'Serving signature key "s" not found.'),
    (None, {}, (), "INVALID_ARGUMENT",
     "input size does not match signature: 0!=1 len({}) != len({text}). Sent extra: {}. Missing but required: {text}."),
    (None, TEXT | {"a": 1}, (), "INVALID_ARGUMENT",
     "input size does not match signature: 2!=1 len({a,text}) != len({text}). Sent extra: {a}. Missing but required: {}."),
    (None, {"texts": ["a"]}, (), "INVALID_ARGUMENT",
     "Signature input alias: text(feed name: serving_default_text:0) not found in request and no default value provided. "
     "Inputs expected to be in the request {texts}, or default input alias set: "),
    (None, {"text": [1]}, (), "INVALID_ARGUMENT", "Expects arg[0] to be string but int32 is provided"),
    (None, TEXT, ("q",), "INVALID_ARGUMENT",
     "output tensor alias not found in signature: q Outputs expected to be in the set {label,labels,probabilities,score}."),
    (None, TEXT, ("score", "score"), "INVALID_ARGUMENT", "duplicate output tensor alias: score"),
]  # fmt: skip


@pytest.mark.parametrize("spec, inputs, output_filter, code, text", REFUSALS, ids=[case[4][:60] for case in REFUSALS])
def test_refusals(channel, spec, inputs, output_filter, code, text):
    with pytest.raises(grpc.RpcError) as caught:
        predict(channel, inputs, spec, output_filter)
    assert (caught.value.code().name, caught.value.details()) == (code, text)


def test_more_refusals(channel):
    with pytest.raises(grpc.RpcError) as caught:  # an error from the graph
        predict(channel, {"text": [["a", "b"]]})
    assert caught.value.code().name == "INVALID_ARGUMENT" and "Shape of tensor" in caught.value.details()
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "sentiment"
    request.inputs["text"].dtype = 7
    request.inputs["text"].tensor_content = b"abc"
    stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
    with pytest.raises(grpc.RpcError) as caught:
        stub.Predict(request)
    assert (caught.value.code().name, caught.value.details()) == ("INVALID_ARGUMENT", "tensor parsing error: text")
    for name in ("tensorflow.serving.PredictionService/Nothing", "tensorflow.serving.SessionService/SessionRun"):
        with pytest.raises(grpc.RpcError) as caught:
            channel.unary_unary(f"/{name}")(b"")
        assert caught.value.code().name == "UNIMPLEMENTED"
    with pytest.raises(grpc.RpcError) as caught:
        status(channel, "other")
    assert (caught.value.code().name, caught.value.details()) == (
        "NOT_FOUND",
        "Could not find any versions of model other",
    )
    with pytest.raises(grpc.RpcError) as caught:
        status(channel, version=5)
    assert caught.value.details() == "Could not find version 5 of model sentiment"


def test_large_messages(channel):
    response = predict(channel, {"text": ["good " * 2_000_000]})  # 10 MB; gRPC's own limit is 4 MB
    assert len(response.outputs["label"].string_val) == 1


def test_metadata(channel):
    stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
    request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
    request.model_spec.name = "sentiment"
    response = stub.GetModelMetadata(request)
    signatures = get_model_metadata_pb2.SignatureDefMap()
    assert response.metadata["signature_def"].Unpack(signatures)
    assert set(signatures.signature_def["serving_default"].outputs) == {"label", "score", "probabilities", "labels"}
    assert response.model_spec.version.value == 1
    for fields, text in (
        ([], "GetModelMetadataRequest must specify at least one metadata_field"),
        (["x"], "Metadata field x is not supported"),
    ):
        del request.metadata_field[:]
        request.metadata_field.extend(fields)
        with pytest.raises(grpc.RpcError) as caught:
            stub.GetModelMetadata(request)
        assert (caught.value.code().name, caught.value.details()) == ("INVALID_ARGUMENT", text)


def test_status_and_health(channel):
    assert status(channel) == status(channel, version_label="ignored") == {1: (30, 0)}
    assert health(channel) == health(channel, "sentiment") == health_pb2.HealthCheckResponse.SERVING
    with pytest.raises(grpc.RpcError) as caught:
        health(channel, "other")
    assert caught.value.code().name == "NOT_FOUND"


def test_many_at_once(server):
    client = Client(server.address)
    expected = client.answer("sentiment", [{"text": "a good film"}])
    answered = []
    threads = [
        threading.Thread(target=lambda: answered.extend(client.answer("sentiment", [{"text": "a good film"}])))
        for _ in range(24)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answered == expected * 24


def test_requests_under_way_outlive_their_version_and_the_server(export_folder, tmp_path):
    """A slow request is answered though its version is replaced, and another though the server is told to end."""
    shutil.copytree(export_folder / "1", tmp_path / "one" / "1")
    server = Server(
        "--model_name=sentiment", f"--model_base_path={tmp_path}/one", "--file_system_poll_wait_seconds=0.1"
    )
    slow = {"text": ["good film " * 8] * 40_000}
    with grpc.insecure_channel(server.address) as channel, ThreadPoolExecutor(2) as threads:
        first = threads.submit(predict, channel, slow)
        time.sleep(0.5)
        shutil.copytree(export_folder / "1", tmp_path / "copy")
        (tmp_path / "copy").rename(tmp_path / "one" / "2")
        wait_for(lambda: status(channel).get(2) == (30, 0))
        second = threads.submit(predict, channel, slow)
        time.sleep(0.5)
        server.process.terminate()
        versions = [future.result(timeout=60).model_spec.version.value for future in (first, second)]
    assert versions == [1, 2]
    assert server.stop() == 0


def test_deadline(channel):
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "sentiment"
    request.inputs["text"].CopyFrom(tf.make_tensor_proto(["good film " * 8] * 40_000))
    with pytest.raises(grpc.RpcError) as caught:
        prediction_service_pb2_grpc.PredictionServiceStub(channel).Predict(request, timeout=0.2)
    assert caught.value.code().name == "DEADLINE_EXCEEDED"


class Asking:
    """Asks again and again, in a thread of its own, until it is asked for what failed."""

    def __init__(self, ask):
        self.ask, self.failed, self.stop = ask, [], threading.Event()
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        while not self.stop.is_set():
            try:
                self.ask()
            except grpc.RpcError as error:
                self.failed.append(error)

    def errors(self):
        self.stop.set()
        self.thread.join()
        return self.failed


def test_two_models_labels_and_new_versions(export_folder, tmp_path):
    """One server: a model whose versions change, and one with two versions, one of them labelled."""
    for name, versions in (("one", ["1"]), ("two", ["3", "5"])):
        for version in versions:
            shutil.copytree(export_folder / "1", tmp_path / name / version)
    (tmp_path / "models.config").write_text(
        f"""model_config_list {{
          config {{ name: "one" base_path: "{tmp_path}/one" model_platform: "tensorflow" }}
          config {{ name: "two" base_path: "{tmp_path}/two" model_platform: "tensorflow"
                    model_version_policy {{ all {{}} }} version_labels {{ key: "stable" value: 3 }} }}
        }}"""
    )
    flags = ("--model_base_path=unused", "--flush_filesystem_caches=true", "--file_system_poll_wait_seconds=0.2")
    server = Server(f"--model_config_file={tmp_path}/models.config", *flags)
    assert "--flush_filesystem_caches=true: a flag of TensorFlow Serving that has no effect here" in server.log
    with grpc.insecure_channel(server.address) as channel:
        version = lambda **spec: predict(channel, TEXT, spec).model_spec.version.value
        assert version(name="one") == 1
        assert (version(name="two"), version(name="two", version_label="stable")) == (5, 3)
        assert status(channel, "two") == {5: (30, 0), 3: (30, 0)}

        # A new version takes over, and no request fails while it does.
        asking = Asking(lambda: version(name="one"))
        shutil.copytree(export_folder / "1", tmp_path / "copy")
        (tmp_path / "copy").rename(tmp_path / "one" / "2")
        wait_for(lambda: status(channel, "one") == {2: (30, 0), 1: (50, 0)})
        assert version(name="one") == 2
        assert not asking.errors()

        # Folders that cannot be read are reported, and affect no other version.
        (tmp_path / "two" / "9").symlink_to(tmp_path / "nowhere")
        (tmp_path / "two" / "8").mkdir()
        (tmp_path / "two" / "8" / "saved_model.pb").symlink_to(tmp_path / "nowhere")
        wait_for(lambda: 8 in status(channel, "two"))

        # A broken version is reported while the old one answers; repaired, it takes over.
        (tmp_path / "one" / "3").mkdir()
        (tmp_path / "one" / "3" / "saved_model.pb").write_bytes(b"broken")
        wait_for(lambda: status(channel, "one").get(3, (0, 0))[0] == 50)
        assert status(channel, "one")[3][1] != 0
        assert version(name="one") == 2 and health(channel, "one") == health_pb2.HealthCheckResponse.SERVING
        shutil.copytree(export_folder / "1", tmp_path / "one" / "3", dirs_exist_ok=True)
        wait_for(lambda: status(channel, "one").get(3) == (30, 0))
        wait_for(lambda: status(channel, "one")[2] == (50, 0))

        # Without any version, the model is not healthy.
        for folder in (tmp_path / "one").iterdir():
            folder.rename(tmp_path / f"away-{folder.name}")
        wait_for(lambda: health(channel, "one") == health_pb2.HealthCheckResponse.NOT_SERVING)
        assert health(channel, "two") == health_pb2.HealthCheckResponse.SERVING
    assert server.stop() == 0 and "ending after the requests under way" in server.log


def test_new_configurations(export_folder, tmp_path):
    """By HandleReloadConfigRequest and by the file; no request fails, and one that cannot be served changes nothing."""
    for name, versions in (("one", "1"), ("two", "35")):
        for version in versions:
            shutil.copytree(export_folder / "1", tmp_path / name / version)
    entry = lambda name, more="": f'config {{ name: "{name}" base_path: "{tmp_path}/{name}" {more} }}'
    file = tmp_path / "models.config"

    def write(*entries):
        (tmp_path / "new").write_text(f"model_config_list {{ {' '.join(entries)} }}")
        (tmp_path / "new").rename(file)

    write(entry("one"))
    server = Server(f"--model_config_file={file}", "--model_config_file_poll_wait_seconds=0.1")
    with grpc.insecure_channel(server.address) as channel:
        reload = model_service_pb2_grpc.ModelServiceStub(channel).HandleReloadConfigRequest
        version = lambda **spec: predict(channel, TEXT, spec).model_spec.version.value
        asking = Asking(lambda: version(name="one"))
        request = model_management_pb2.ReloadConfigRequest()
        request.config.model_config_list.config.add(name="one", base_path=str(tmp_path / "one"))
        two = request.config.model_config_list.config.add(name="two", base_path=str(tmp_path / "two"))
        two.model_version_policy.all.SetInParent()
        two.version_labels["stable"] = 3
        assert reload(request, timeout=60).status.error_code == 0
        assert (version(name="two"), version(name="two", version_label="stable"), version(name="one")) == (5, 3, 1)
        assert health(channel, "two") == health_pb2.HealthCheckResponse.SERVING

        two.version_labels["stable"] = 4
        with pytest.raises(grpc.RpcError) as caught:
            reload(request, timeout=60)
        assert (caught.value.code().name, caught.value.details()) == (
            "FAILED_PRECONDITION",
            "Request to assign label to version 4 of model two, which is not currently available for inference",
        )
        two.base_path = "two"
        with pytest.raises(grpc.RpcError) as caught:
            reload(request, timeout=60)
        expected = "Expected model two to have an absolute path or URI; got base_path()=two"
        assert (caught.value.code().name, caught.value.details()) == ("INVALID_ARGUMENT", expected)
        for config, text in (
            ({}, "ServerModelConfig type not supported by HandleReloadConfigRequest. Only ModelConfigList is currently supported"),
            ({"model_config_list": {"config": [{"name": "a", "base_path": "/a"}] * 2}}, "Illegal to list model a multiple times in config list"),
        ):  # fmt: skip
            with pytest.raises(grpc.RpcError) as caught:
                reload(model_management_pb2.ReloadConfigRequest(config=config), timeout=60)
            assert (caught.value.code().name, caught.value.details()) == ("INVALID_ARGUMENT", text)
        assert version(name="two", version_label="stable") == 3

        write(entry("one"), "config { nome: 1 }")  # broken; and then, one that is not
        time.sleep(0.5)
        assert version(name="two") == 5
        write(entry("one"), entry("two", "model_version_policy { specific { versions: 3 } }"))
        wait_for(lambda: status(channel, "two") == {5: (50, 0), 3: (30, 0)})
        write(entry("one"))
        wait_for(lambda: status(channel, "two") == {5: (50, 0), 3: (50, 0)})
        with pytest.raises(grpc.RpcError) as caught:
            version(name="two")
        assert caught.value.details() == "Servable not found for request: Latest(two)"
        assert not asking.errors()
    assert server.stop() == 0
    lines = [line for line in server.log if "the configuration before is kept" in line]
    expected = f"{file}: Error parsing text-format tensorflow.serving.ModelServerConfig: 1:"
    assert len(lines) == 1 and lines[0].startswith(expected), server.log


def test_a_server_whose_model_cannot_be_loaded_ends(tmp_path):
    (tmp_path / "1").mkdir()
    command = [sys.executable, "-m", "serving.server", f"--model_base_path={tmp_path}", "--port=8599"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 1 and "Traceback" not in result.stderr
    assert f"default: no version could be loaded from {tmp_path}" in result.stderr.splitlines()[-1]
