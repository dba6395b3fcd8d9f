"""SavedModels of TensorFlow 1 and 2 in a session: types, defaults, odd signatures, which functions are kept."""

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.python.saved_model.loader_impl import SavedModelLoader
from tensorflow_serving.apis import predict_pb2

from serving.server.models import servable
from serving.server.models.model import Model
from serving.server.models.versions import Models
from serving.server.refusal import Refused
from serving.server.requests.limits import Limits
from serving.server.requests.services import Services
from tests.serving.saved import save_defaults, save_types
from tests.serving.server.requests.test_examples import ask, refused

VALUES = {
    "float32": [1.5, np.inf], "float64": [1e300, -0.5], "int32": [-(2**31), 7], "uint8": [0, 255], "int16": [-300, 4], "int8": [-128, 1],
    "string": [b"a\0", b"\xff"], "complex64": [1 + 2j, -1j], "int64": [2**62, -1], "bool": [True, False], "uint16": [65535, 0],
    "complex128": [1e300j, 2], "float16": [1.5, -2], "uint32": [2**32 - 1, 0], "uint64": [2**64 - 1, 0], "bfloat16": [1.5, -3],
    "float8_e5m2": [0.5, 2], "float8_e4m3fn": [0.5, 2],
}  # fmt: skip


@pytest.fixture(scope="module")
def services(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    save_types(folder / "types" / "1", tuple(VALUES))
    save_defaults(folder / "defaults" / "1")
    models = Models([Model(name, folder / name) for name in ("types", "defaults")])
    models.update()
    return Services(models, Limits())


def request(model, signature, inputs, outputs=()):
    message = predict_pb2.PredictRequest(output_filter=outputs)
    message.model_spec.name, message.model_spec.signature_name = model, signature
    for name, value in inputs.items():
        message.inputs[name].CopyFrom(tf.make_tensor_proto(value))
    return message


@pytest.mark.parametrize("name", VALUES)
def test_every_type_there_and_back(services, name):
    dtype = tf.as_dtype(name)
    value = np.array(VALUES[name], dtype.as_numpy_dtype)
    for sent in (value, value.reshape(1, 2, 1), value[:0], value[:1].reshape(())):
        message = request("types", name, {})
        message.inputs["x"].CopyFrom(tf.make_tensor_proto(sent, dtype))
        answered = ask(services.predict, message).outputs["y"]
        returned = tf.make_ndarray(answered)
        assert not answered.tensor_content and answered.dtype == dtype.as_datatype_enum
        assert returned.dtype == sent.dtype and returned.shape == sent.shape
        np.testing.assert_array_equal(returned, sent)


@pytest.mark.parametrize("name", VALUES)
def test_answers_as_tensor_content(services, name):
    dtype = tf.as_dtype(name)
    value = np.array(VALUES[name], dtype.as_numpy_dtype)
    message = request("types", name, {})
    message.inputs["x"].CopyFrom(tf.make_tensor_proto(value, dtype))
    as_content = Services(services.models, Limits(), as_content=True)
    answered = ask(as_content.predict, message).outputs["y"]
    assert answered.tensor_content
    returned = tf.io.parse_tensor(answered.SerializeToString(), dtype).numpy()  # TensorFlow's own reading
    np.testing.assert_array_equal(returned, value)


def test_inputs_that_may_be_lacking(services):
    total = lambda **inputs: list(ask(services.predict, request("defaults", "", inputs)).outputs["sum"].float_val)
    assert total(a=[1.0], b=3.0) == [31.0]
    assert total(a=[1.0]) == [21.0]
    assert total(a=[1.0], c=5.0) == [21.0]  # as many as expected, so TensorFlow Serving looks no further
    assert refused(services.predict, request("defaults", "", {"b": 1.0})) == (
        "INVALID_ARGUMENT",
        "Signature input alias: a(feed name: a:0) not found in request and no default value provided. "
        "Inputs expected to be in the request {b}, or default input alias set: b",
    )
    assert refused(services.predict, request("defaults", "", {"a": [1.0], "b": 1.0, "c": 1.0})) == (
        "INVALID_ARGUMENT",
        "input size does not match signature: 3!=2 len({a,b,c}) != len({a,b}). Sent extra: {c}. Missing but required: {}.",
    )


def test_odd_signatures(services):
    response = ask(services.predict, request("defaults", "twice", {"a": [1.0], "b": 1.0}))
    assert {name: list(proto.float_val) for name, proto in response.outputs.items()} == {
        "first": [11.0],
        "second": [11.0],
    }
    code, message = refused(services.predict, request("defaults", "echo", {"a": [1.0]}))
    assert code == "INVALID_ARGUMENT" and "a:0" in message and "fed and fetched" in message
    code, message = refused(services.predict, request("defaults", "absent", {"a": [1.0], "b": 1.0}))
    assert code == "INVALID_ARGUMENT" and "nowhere" in message


def test_functions_kept_for_outputs_are_few(services):
    """Every set of outputs is answered with these outputs, also when no more functions are made for them."""
    model = services.models.models["types"].versions[1].servable
    for number in range(1, 300):
        names = [f"y{i}" for i in range(12) if number >> i & 1]
        outputs = ask(services.predict, request("types", "many", {"x": 1.0}, reversed(names))).outputs
        assert {name: proto.float_val[0] for name, proto in outputs.items()} == {
            name: 1.0 + int(name[1:]) for name in names
        }
    assert len(model._callables) <= servable.MAX_CALLABLES + len(model.signatures)
    model._callables.clear()
    with pytest.raises(Refused, match="duplicate output tensor alias: y3"):
        ask(services.predict, request("types", "many", {"x": 1.0}, ["y3", "y3"]))


def test_what_does_nothing_is_not_run_before_the_first_request(tmp_path, monkeypatch):
    save_types(tmp_path / "1", ("float32",))
    monkeypatch.setattr(SavedModelLoader, "run_init_ops", None)  # `test_mnist.py` has a table to fill
    loaded = servable.Servable(tmp_path / "1")
    np.testing.assert_array_equal(loaded.predict("float32", {"x": np.array([2.0], np.float32)})["y"], [2.0])
