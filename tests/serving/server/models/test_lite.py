"""`model.tflite` in a version's folder: its signatures, its answers, its errors, who runs it at once."""

from concurrent.futures import ThreadPoolExecutor

import flatbuffers
import numpy as np
import pytest
import tensorflow as tf
from flatbuffers import flexbuffers
from tensorflow.core.protobuf import meta_graph_pb2
from tensorflow.lite.python import interpreter, schema_py_generated
from tensorflow_serving.apis import prediction_log_pb2

from serving.server.configuration.protos import SessionBundleConfig
from serving.server.configuration.settings import Settings
from serving.server.models.lite import Lite
from serving.server.models.servable import Servable, described, load
from serving.server.refusal import Refused
from tests.serving.saved import save_half_plus_two

PREFER = Settings(SessionBundleConfig(prefer_tflite_model=True, num_tflite_pools=2, enable_model_warmup=True))


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A SavedModel with its conversion beside it."""
    module, folder = tf.Module(), tmp_path_factory.mktemp("lite") / "1"
    module.f = tf.function(
        lambda x, text: {"y": x * 2 + 1, "picked": tf.gather(text, [0])},
        input_signature=[tf.TensorSpec([None, 2], tf.float32, name="x"), tf.TensorSpec([None], tf.string, name="text")],
    )
    tf.saved_model.save(module, str(folder), signatures=module.f.get_concrete_function())
    (folder / "model.tflite").write_bytes(tf.lite.TFLiteConverter.from_saved_model(str(folder)).convert())
    return folder


def without_signatures(content, metadata=None):
    """Returns a model as old converters wrote them: with none, or `SignatureDef`s in its metadata."""
    parsed = schema_py_generated.ModelT.InitFromPackedBuf(content, 0)
    parsed.signatureDefs = []
    if metadata:
        builder = flexbuffers.Builder()
        with builder.Map():
            for name, signature in metadata.items():
                builder.Key(name)
                builder.String(signature.SerializeToString().decode("latin-1"))
        entry = schema_py_generated.MetadataT()
        entry.name, entry.buffer = "signature_defs_metadata", len(parsed.buffers)
        buffer = schema_py_generated.BufferT()
        buffer.data = np.frombuffer(bytes(builder.Finish()), np.uint8)
        parsed.buffers.append(buffer)
        parsed.metadata = [*(parsed.metadata or []), entry]
    packer = flatbuffers.Builder(1024)
    packer.Finish(parsed.Pack(packer), b"TFL3")
    return bytes(packer.Output())


def inputs(rows=3, seed=0):
    random = np.random.default_rng(seed)
    return {
        "x": random.normal(size=(rows, 2)).astype(np.float32),
        "text": np.array([b"a\xff", *[b""] * (rows - 1)], object),
    }


def test_answers_are_those_of_the_saved_model(model):
    lite, saved = load(str(model), PREFER), load(str(model))
    assert isinstance(lite, Lite) and type(saved) is Servable
    expected = "serving_default: text string [-1], x float [-1, 2] -> picked string [1], y float [-1, 2]"
    assert described(lite.signatures) == expected

    def same(i):
        given = inputs(rows=1 + i % 4, seed=i)
        ours, theirs = lite.predict("serving_default", given), saved.predict("serving_default", given)
        np.testing.assert_allclose(ours["y"], theirs["y"], rtol=1e-6)
        assert ours["picked"].tolist() == theirs["picked"].tolist() == [b"a\xff"]

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(same, range(200)))
    assert len(lite._idle) <= 2  # interpreters


def test_refused(model):
    lite = Lite(str(model), PREFER)
    with pytest.raises(Refused) as caught:
        lite.predict("serving_default", {"x": np.zeros((2, 2), np.float64), "text": np.array([b""], object)})
    assert caught.value.message == "Expects arg[1] to be float but double is provided"
    for wrong in (
        np.zeros((2, 2, 2, 2, 2, 2), np.float32),
        np.zeros((2, 3, 4, 5), np.float32),
        np.zeros((), np.float32),
    ):
        try:
            lite.predict("serving_default", inputs() | {"x": wrong})
        except Refused as refusal:
            assert refusal.code in ("INTERNAL", "INVALID_ARGUMENT") and refusal.message
        assert lite.predict("serving_default", inputs())["y"].shape == (3, 2)  # as before
    with pytest.raises(Refused, match='Serving signature key "other" not found'):
        lite.predict("other", inputs())


def test_models_without_signatures(model, tmp_path):
    """One of all tensors by their names, as in TensorFlow Serving; or those of the metadata."""
    content = (model / "model.tflite").read_bytes()
    (tmp_path / "1").mkdir()
    (tmp_path / "1" / "model.tflite").write_bytes(without_signatures(content))
    lite = Lite(str(tmp_path / "1"), PREFER)
    (signature,) = lite.signatures.values()
    assert list(lite.signatures) == ["serving_default"] and signature.method_name == "tensorflow/serving/predict"
    assert set(signature.inputs) == {"serving_default_x", "serving_default_text"}
    given = {f"serving_default_{name}": value for name, value in inputs().items()}
    outputs = lite.predict("serving_default", given)
    (numbers,) = [name for name, value in outputs.items() if value.dtype != object]
    np.testing.assert_allclose(outputs[numbers], given["serving_default_x"] * 2 + 1, rtol=1e-6)
    assert sorted(outputs) == ["PartitionedCall:0", "PartitionedCall:1"]

    named = meta_graph_pb2.SignatureDef(method_name="tensorflow/serving/predict")
    for alias, info in signature.inputs.items():
        named.inputs[alias.removeprefix("serving_default_")].CopyFrom(info)
    named.outputs["twice"].CopyFrom(signature.outputs[numbers])
    for info in (*named.inputs.values(), *named.outputs.values()):
        info.tensor_shape.dim[0].size = 1  # as the interpreter says
    (tmp_path / "1" / "model.tflite").write_bytes(without_signatures(content, {"doubles": named}))
    lite = Lite(str(tmp_path / "1"), PREFER)
    assert list(lite.signatures) == ["doubles"]
    np.testing.assert_allclose(lite.predict("doubles", inputs())["twice"], inputs()["x"] * 2 + 1, rtol=1e-6)
    named.outputs["twice"].name = "nowhere:0"
    (tmp_path / "1" / "model.tflite").write_bytes(without_signatures(content, {"doubles": named}))
    with pytest.raises(
        ValueError, match="Signature output twice references an unknown tensor: Unknown tensor 'nowhere:0'"
    ):
        Lite(str(tmp_path / "1"), PREFER)


def test_recorded_requests_warm_it_up(model, tmp_path):
    """One that fails fails the load."""
    (tmp_path / "assets.extra").mkdir()
    (tmp_path / "model.tflite").write_bytes((model / "model.tflite").read_bytes())
    log = prediction_log_pb2.PredictionLog()
    log.predict_log.request.model_spec.signature_name = "away"
    with tf.io.TFRecordWriter(str(tmp_path / "assets.extra" / "tf_serving_warmup_requests")) as writer:
        writer.write(log.SerializeToString())
    with pytest.raises(Refused, match='Serving signature key "away" not found'):
        load(str(tmp_path), PREFER)


@pytest.mark.parametrize("keep", [0, 7, 100, -1], ids=lambda keep: f"{keep} bytes")
def test_broken_models(model, tmp_path, keep):
    content = (model / "model.tflite").read_bytes()
    (tmp_path / "model.tflite").write_bytes(content[:keep] if keep >= 0 else b"no model " * 100)
    with pytest.raises((ValueError, RuntimeError)):
        Lite(str(tmp_path), PREFER)


def test_no_tflite_is_the_saved_model(tmp_path):
    save_half_plus_two(tmp_path / "1")
    assert type(load(str(tmp_path / "1"), PREFER)) is Servable
    assert interpreter  # the runtime is there, and was not needed
