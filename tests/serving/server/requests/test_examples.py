"""Classify, Regress, MultiInference and Predict of a TensorFlow 1 model, with TensorFlow Serving's values and texts."""

import shutil
from collections.abc import Generator

import grpc
import pytest
import tensorflow as tf
from tensorflow_serving.apis import (
    classification_pb2,
    inference_pb2,
    input_pb2,
    model_management_pb2,
    predict_pb2,
    prediction_log_pb2,
    prediction_service_pb2_grpc,
    regression_pb2,
)

from serving.server.models.model import END, Model
from serving.server.models.versions import Models
from serving.server.observation import prometheus
from serving.server.refusal import Refused
from serving.server.requests.gate import Gate
from serving.server.requests.jobs import now
from serving.server.requests.limits import Limits
from serving.server.requests.request import Request
from serving.server.requests.services import Services
from tests.conftest import Server
from tests.serving.saved import CLASSIFY, PREDICT, REGRESS, save_defaults, save_half_plus_two, save_types


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_half_plus_two(tmp_path_factory.mktemp("half") / "half_plus_two" / "123").parent


@pytest.fixture(scope="module")
def models(folder):
    save_defaults(folder.with_name("defaults") / "1")
    save_types(folder.with_name("types") / "1", ())
    models = Models([Model(name, folder.with_name(name)) for name in ("half_plus_two", "defaults", "types")])
    models.update()
    return models


@pytest.fixture(scope="module")
def services(models):
    return Services(models, Limits(max_rows=50, max_tensor_bytes=2**20))


def ask(method, message):
    """Calls a method of the services, as a transport does."""
    request = Request(Gate(1, Limits()), float("inf"))
    request.arrived(message if isinstance(message, bytes) else message.SerializeToString())
    answer = method(request)
    return now(answer) if isinstance(answer, Generator) else answer


def refused(method, message):
    with pytest.raises(Refused) as caught:
        ask(method, message)
    return caught.value.code, caught.value.message


def example(**features):
    features = {
        name: tf.train.Feature(float_list=tf.train.FloatList(value=[value])) for name, value in features.items()
    }
    return tf.train.Example(features=tf.train.Features(feature=features))


def given(*values, context=None):
    """Returns an `Input` with an example for each value, or one of none for None."""
    examples = [example() if value is None else example(x=value) for value in values]
    if context is None:
        return input_pb2.Input(example_list={"examples": examples})
    return input_pb2.Input(example_list_with_context={"examples": examples, "context": example(x=context)})


def spec(signature="", **fields):
    return {"name": "half_plus_two", "signature_name": signature} | fields


def classify(signature, content):
    return classification_pb2.ClassificationRequest(model_spec=spec(signature), input=content)


def regress(signature, content):
    return regression_pb2.RegressionRequest(model_spec=spec(signature), input=content)


def multi(tasks, content):
    tasks = [{"model_spec": one, "method_name": method} for one, method in tasks]
    return inference_pb2.MultiInferenceRequest(tasks=tasks, input=content)


def test_example_clients_over_grpc(folder):
    """What TensorFlow Serving's documentation shows of half_plus_two, with its stubs; and the check of method names."""
    server = Server(
        "--model_name=half_plus_two", f"--model_base_path={folder}", "--enable_signature_method_name_check=true"
    )
    with grpc.insecure_channel(server.address) as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        request = predict_pb2.PredictRequest(model_spec=spec())
        request.inputs["x"].CopyFrom(tf.make_tensor_proto([1.0, 2.0, 5.0]))
        response = stub.Predict(request, timeout=30)
        assert list(response.outputs["y"].float_val) == [2.5, 3.0, 4.5]
        assert response.model_spec.version.value == 123
        response = stub.Regress(regress("regress_x_to_y", given(1, 2, 5)), timeout=30)
        assert [one.value for one in response.result.regressions] == [2.5, 3.0, 4.5]
        response = stub.Classify(classify("classify_x_to_y", given(1, 2)), timeout=30)
        assert [[one.score for one in row.classes] for row in response.result.classifications] == [[2.5], [3.0]]
        tasks = [(spec("regress_x_to_y2"), REGRESS), (spec("classify_x_to_y"), CLASSIFY)]
        response = stub.MultiInference(multi(tasks, given(1)), timeout=30)
        assert response.results[0].regression_result.regressions[0].value == 3.5
        with pytest.raises(grpc.RpcError) as caught:
            stub.Classify(classify("regress_x_to_y", given(1)), timeout=30)
        assert (caught.value.code().name, caught.value.details()) == (
            "INVALID_ARGUMENT", f"Expected classification signature method_name to be {CLASSIFY}. Was: {REGRESS}"
        )  # fmt: skip
    assert server.stop() == 0


def test_regress(services):
    response = ask(services.regress, regress("regress_x_to_y2", given(1, 2, 5)))  # half_plus_three
    assert [one.value for one in response.result.regressions] == [3.5, 4.0, 5.5]
    answered = response.model_spec
    assert (answered.name, answered.signature_name, answered.version.value) == ("half_plus_two", "regress_x_to_y2", 123)
    response = ask(services.regress, regress("regress_x_to_y", given(None, 4, context=2)))
    assert [one.value for one in response.result.regressions] == [3.0, 4.0]  # an example's own value wins


def test_classify(services):
    response = ask(services.classify, classify("classify_with_classes", given(1, 4)))
    rows = [[(one.label, one.score) for one in row.classes] for row in response.result.classifications]
    assert rows == [[("low", 2.5)], [("high", 4.0)]]
    assert response.model_spec.signature_name == "classify_with_classes"
    response = ask(services.classify, classify("classify_x_to_y", given(None, context=2)))
    assert [(one.label, one.score) for one in response.result.classifications[0].classes] == [("", 3.0)]


def test_several_at_once(services, models):
    tasks = [
        (spec("regress_x_to_y"), REGRESS),
        (spec("classify_with_classes"), CLASSIFY),
        (spec("regress_x_to_y2"), REGRESS),
    ]
    for _ in range(2):
        response = ask(services.multi_inference, multi(tasks, given(1, 4)))
        first, second, third = response.results
        assert [one.value for one in first.regression_result.regressions] == [2.5, 4.0]
        assert [row.classes[0].label for row in second.classification_result.classifications] == ["low", "high"]
        assert [one.value for one in third.regression_result.regressions] == [3.5, 5.0]
        assert [result.model_spec.signature_name for result in response.results] == [
            one["signature_name"] for one, _ in tasks
        ]
        assert {result.model_spec.version.value for result in response.results} == {123}
    with models.use(inference_pb2.InferenceTask(model_spec=spec()).model_spec) as (_, servable):
        assert [key for key in servable._callables if key[1] == ""] == [
            (False, "", ("regress_x_to_y", "outputs"), ("classify_with_classes", "classes", "scores"), ("regress_x_to_y2", "outputs"))
        ]  # one run for all  # fmt: skip


def test_several_at_once_of_tensorflow_2(tmp_path):
    """There, every signature has an input tensor of its own: the examples are fed to each."""
    read = lambda examples: tf.io.parse_example(examples, {"x": tf.io.FixedLenFeature([1], tf.float32)})["x"]
    spec_of_examples = tf.TensorSpec([None], tf.string, name="inputs")
    module = tf.Module()
    module.regress = tf.function(lambda inputs: {"outputs": read(inputs) / 2 + 2}, input_signature=[spec_of_examples])
    module.classify = tf.function(lambda inputs: {"scores": read(inputs) / 2 + 3}, input_signature=[spec_of_examples])
    signatures = {name: getattr(module, name).get_concrete_function() for name in ("regress", "classify")}
    tf.saved_model.save(module, str(tmp_path / "1"), signatures=signatures)
    models = Models([Model("half_plus_two", tmp_path)])
    models.update()
    tasks = [(spec("regress"), REGRESS), (spec("classify"), CLASSIFY)]
    for order in (tasks, tasks[::-1], tasks[:1]):
        response = ask(Services(models, Limits()).multi_inference, multi(order, given(1, 4)))
        found = {}
        for result in response.results:
            kind = result.WhichOneof("result")
            rows = getattr(result, kind)
            values = (
                rows.regressions if kind == "regression_result" else [row.classes[0] for row in rows.classifications]
            )
            found[kind] = [one.value if kind == "regression_result" else one.score for one in values]
        expected = {"regression_result": [2.5, 4.0], "classification_result": [3.5, 5.0]}
        assert found == {kind: expected[kind] for kind in found} and len(found) == len(order)


def test_predict_with_examples(services):
    request = predict_pb2.PredictRequest(model_spec=spec("predict_examples"))
    request.inputs["inputs"].CopyFrom(tf.make_tensor_proto([example(x=1.0).SerializeToString()]))
    assert list(ask(services.predict, request).outputs["y"].float_val) == [2.5]
    request.inputs["inputs"].CopyFrom(tf.make_tensor_proto([b"garbage"]))
    code, message = refused(services.predict, request)
    assert code == "INVALID_ARGUMENT" and message.startswith("Could not parse example input, value: 'garbage'")


def test_metrics_that_a_reload_asks_for(services, folder, monkeypatch):
    """How much they have grown: a counter's first number, 0 of what is none."""
    monkeypatch.setattr(prometheus, "REGISTRY", {})
    counter = prometheus.Counter(":tensorflow:serving:loads", "Loads.", ("path",))
    prometheus.Histogram(":tensorflow:serving:latency", "Latency.", (), [1.0])
    counter.add(7, "a")
    monkeypatch.setattr(services.models, "reload", lambda *_, **__: [counter.add(2, "a"), counter.add(5, "b")])
    names = [f"/tensorflow/serving/{name}" for name in ("loads", "latency", "nothing", "loads")]
    request = model_management_pb2.ReloadConfigRequest(metric_names=names)
    request.config.model_config_list.config.add(name="half_plus_two", base_path=str(folder))
    response = ask(services.reload, request)
    assert response.HasField("status") and response.status.error_code == 0
    found = [(metric.name, metric.int64_value_increase) for metric in response.metric]
    assert found == list(zip(names[:3], (2, 0, 0), strict=True))


ONE = given(1)
REFUSALS = {
    "no spec": ("regress", regression_pb2.RegressionRequest(input=ONE), "INVALID_ARGUMENT", "Missing ModelSpec"),
    "no model": (
        "classify", classification_pb2.ClassificationRequest(model_spec={"name": "m"}, input=ONE), "NOT_FOUND",
        "Servable not found for request: Latest(m)",
    ),
    "no signature": ("classify", classify("s", ONE), "INVALID_ARGUMENT", "No signature was found with the name: s"),
    "default signature": ("regress", regress("", ONE), "FAILED_PRECONDITION", "No regression inputs found in SignatureDef: "),
    "default, classify": ("classify", classify("", ONE), "FAILED_PRECONDITION", "No classification inputs found in SignatureDef: "),
    "empty": ("regress", regress("regress_x_to_y", given()), "INVALID_ARGUMENT", "Input is empty."),
    "no input": ("classify", classify("classify_x_to_y", None), "INVALID_ARGUMENT", "Input is empty."),
    "empty, with context": ("classify", classify("classify_x_to_y", given(context=1)), "INVALID_ARGUMENT", "Input is empty."),
    "two inputs": (
        "regress", regression_pb2.RegressionRequest(model_spec={"name": "defaults"}, input=ONE), "INVALID_ARGUMENT",
        "Expected one input Tensor.",
    ),
    "three outputs": (
        "classify", classification_pb2.ClassificationRequest(model_spec={"name": "types", "signature_name": "many"}, input=ONE),
        "INVALID_ARGUMENT", "Expected one or two output Tensors, found 12",
    ),
    "two outputs": ("regress", regress("two", ONE), "INVALID_ARGUMENT", "Expected one output Tensor."),
    "other outputs": (
        "classify", classify("regress_x_to_y", ONE), "FAILED_PRECONDITION",
        'Expected classification signature outputs to contain at least one of "classes" or "scores". Signature was: ',
    ),
    "no value": ("regress", regress("regress_x_to_y", given(None)), "INVALID_ARGUMENT", "Name: <unknown>, Feature: x (data type: float) is required"),
    "one dimension": (
        "classify", classify("flat", ONE), "INVALID_ARGUMENT",
        "Expected Tensor shape: [batch_size num_classes] but got [1]",
    ),
    "two columns": (
        "regress", regress("wide", ONE), "INVALID_ARGUMENT",
        "Expected output Tensor shape to be either [batch_size] or [batch_size, 1] but got [1,2]",
    ),
    "too many": (
        "classify", classify("classify_x_to_y", given(*range(51))), "RESOURCE_EXHAUSTED",
        "input inputs: expected at most 50 rows of strings (--max_rows), received 51",
    ),
    "a large context": (
        "regress",
        regress("regress_x_to_y", {"example_list_with_context": {"examples": [{}] * 40, "context": {
            "features": {"feature": {"a": {"bytes_list": {"value": [b"a" * 50_000]}}}}}}}),
        "RESOURCE_EXHAUSTED", "expected inputs of at most 1048576 bytes (--max_tensor_bytes), received shapes of",
    ),
    "garbage": ("regress", b"\xff" * 9, "INVALID_ARGUMENT", "expected a tensorflow.serving.ExamplesRequest, received 9 bytes that are none"),
    "no tasks": ("multi_inference", multi([], ONE), "INVALID_ARGUMENT", "ModelSpec has no name specified."),
    "two models": (
        "multi_inference", multi([(spec("regress_x_to_y"), REGRESS), ({"name": "m"}, REGRESS)], ONE), "INVALID_ARGUMENT",
        "All ModelSpecs in a MultiInferenceRequest must access the same model name.",
    ),
    "nameless task": (
        "multi_inference", multi([(spec("regress_x_to_y"), REGRESS), ({}, REGRESS)], ONE), "INVALID_ARGUMENT",
        "Found ModelSpec with an empty model name.",
    ),
    "twice": (
        "multi_inference", multi([(spec("regress_x_to_y"), REGRESS)] * 2, ONE), "INVALID_ARGUMENT",
        "Duplicate evaluation of signature: regress_x_to_y",
    ),
    "no such task": (
        "multi_inference", multi([(spec("s"), REGRESS)], ONE), "INVALID_ARGUMENT",
        "Requested signature not found in model graph: s",
    ),
    "another method": (
        "multi_inference", multi([(spec("regress_x_to_y"), PREDICT)], ONE), "UNIMPLEMENTED",
        f"Unsupported signature method_name: {PREDICT}",
    ),
    "no method": ("multi_inference", multi([(spec(), "")], ONE), "UNIMPLEMENTED", "Unsupported signature method_name: "),
    "empty, several": ("multi_inference", multi([(spec("regress_x_to_y"), REGRESS)], given()), "INVALID_ARGUMENT", "Input is empty."),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSALS)
def test_refusals(services, case):
    method, message, code, text = REFUSALS[case]
    found = refused(getattr(services, method), message)
    assert found[0] == code and found[1].startswith(text), found


def test_names_of_methods_are_checked_where_that_is_asked_for(models, services):
    strict = Services(models, Limits(), check_methods=True)
    for method, message, code, call, expected, name in (
        ("classify", classify("regress_x_to_y", ONE), "INVALID_ARGUMENT", "classification", CLASSIFY, REGRESS),
        ("regress", regress("classify_x_to_y", ONE), "INVALID_ARGUMENT", "regression", REGRESS, CLASSIFY),
        ("multi_inference", multi([(spec(), CLASSIFY)], ONE), "INVALID_ARGUMENT", "classification", CLASSIFY, PREDICT),
    ):
        text = f"Expected {call} signature method_name to be {expected}. Was: {name}"
        assert refused(getattr(strict, method), message) == (code, text)
    assert ask(strict.regress, regress("regress_x_to_y", ONE)).result.regressions[0].value == 2.5
    request = predict_pb2.PredictRequest(model_spec=spec("nameless"))
    request.inputs["x"].CopyFrom(tf.make_tensor_proto([1.0]))
    assert list(ask(services.predict, request).outputs["y"].float_val) == [2.5]
    assert refused(strict.predict, request) == (
        "INTERNAL", f"Expected prediction signature method_name to be one of {{{PREDICT}, {CLASSIFY}, {REGRESS}}}. Was: "
    )  # fmt: skip


@pytest.mark.parametrize("broken", [False, True])
def test_recorded_requests_of_every_kind_warm_a_model_up(folder, tmp_path, broken):
    """One that fails fails the load."""
    shutil.copytree(folder / "123", tmp_path / "m" / "1")
    (tmp_path / "m" / "1" / "assets.extra").mkdir()
    tasks = [(spec("regress_x_to_y"), REGRESS), (spec("s" if broken else "classify_x_to_y"), CLASSIFY)]
    logs = [
        {"classify_log": {"request": classify("classify_x_to_y", ONE)}},
        {"regress_log": {"request": regress("regress_x_to_y", given(None, context=1))}},
        {"multi_inference_log": {"request": multi(tasks, ONE)}},
        {},
    ]
    with tf.io.TFRecordWriter(str(tmp_path / "m" / "1" / "assets.extra" / "tf_serving_warmup_requests")) as file:
        for log in logs:
            file.write(prediction_log_pb2.PredictionLog(**log).SerializeToString())
    models = Models([Model("m", tmp_path / "m")])
    models.update()
    ((_, version),) = models.status("m")
    status, path = ("fail", "INTERNAL") if broken else ("success", "OK"), str(tmp_path / "m" / "1")
    lines = prometheus.page().decode().splitlines()
    assert f':tensorflow:cc:saved_model:load_attempt_count{{model_path="{path}",status="{status[0]}"}} 1' in lines
    assert f':tensorflow:serving:model_warmup_latency_count{{model_path="{path}",status="{status[1]}"}} 1' in lines
    warmed = f':tensorflow:serving:model_warmup_records_read{{model_path="{path}",status="OK"}} {2 if broken else 4}'
    assert warmed in lines
    if broken:
        assert (version.state, version.error) == (END, "Requested signature not found in model graph: s")
    else:
        assert models.models["m"].available() == [1]
        assert {key[1] for key in version.servable._callables} == {"classify_x_to_y", "regress_x_to_y", ""}
