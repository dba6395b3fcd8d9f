"""TensorFlow Serving's mnist example: its model in form, on digits drawn here, asked as its client asks."""

import grpc
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import classification_pb2, get_model_metadata_pb2, predict_pb2, prediction_service_pb2_grpc

from tests.conftest import Server
from tests.serving.saved import CLASSIFY, PREDICT

SIZE = 28 * 28


def digits(count, seed):
    """Returns images [count, 784] float32 of 0 to 1, each one of ten patterns with noise, and labels [count]."""
    patterns = np.random.default_rng(0).random((10, SIZE)) < 0.2
    draw = np.random.default_rng(seed)
    labels = draw.integers(10, size=count)
    images = 0.6 * patterns[labels] + 0.4 * draw.random((count, SIZE))
    return images.astype(np.float32), labels


def save(folder):
    """Trains and writes the model, softmax(x w + b), with the signatures predict_images and serving_default (classify).

    Returns a function from images to scores [B, 10], computed with numpy.
    """
    v1 = tf.compat.v1
    images, labels = digits(500, seed=1)
    with tf.Graph().as_default(), v1.Session() as session:
        serialized = v1.placeholder(tf.string, name="tf_example")
        parsed = tf.io.parse_example(serialized, {"x": tf.io.FixedLenFeature([SIZE], tf.float32)})
        x, given = tf.identity(parsed["x"], name="x"), v1.placeholder(tf.float32, [None, 10])
        w, b = v1.Variable(tf.zeros([SIZE, 10])), v1.Variable(tf.zeros([10]))
        y = tf.nn.softmax(x @ w + b, name="y")
        step = v1.train.GradientDescentOptimizer(0.01).minimize(-tf.reduce_sum(given * tf.math.log(y)))
        scores, places = tf.nn.top_k(y, 10)
        names = tf.lookup.StaticHashTable(
            tf.lookup.KeyValueTensorInitializer(tf.range(10, dtype=tf.int64), [str(i) for i in range(10)]), "UNK"
        )
        classes = names.lookup(tf.cast(places, tf.int64))
        session.run(v1.global_variables_initializer())
        for start in range(0, 500, 50):
            batch = slice(start, start + 50)
            session.run(step, {x: images[batch], given: np.eye(10)[labels[batch]]})
        weights, bias = session.run([w, b])
        info, build = v1.saved_model.utils.build_tensor_info, v1.saved_model.signature_def_utils.build_signature_def
        builder = v1.saved_model.builder.SavedModelBuilder(str(folder))
        builder.add_meta_graph_and_variables(
            session,
            ["serve"],
            {
                "predict_images": build({"images": info(x)}, {"scores": info(y)}, PREDICT),
                "serving_default": build(
                    {"inputs": info(serialized)}, {"classes": info(classes), "scores": info(scores)}, CLASSIFY
                ),
            },
            main_op=v1.tables_initializer(),
            strip_default_attrs=True,
        )
        builder.save()

    def expected(images):
        powers = np.exp(images @ weights + bias)
        return powers / powers.sum(axis=1, keepdims=True)

    return expected


@pytest.fixture(scope="module")
def mnist(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mnist")
    expected = save(folder / "1")
    server = Server("--model_name=mnist", f"--model_base_path={folder}", "--enable_signature_method_name_check=true")
    with grpc.insecure_channel(server.address) as channel:
        yield prediction_service_pb2_grpc.PredictionServiceStub(channel), expected
    assert server.stop() == 0


def test_predict_images_as_the_client_does(mnist):
    stub, expected = mnist
    images, labels = digits(100, seed=2)
    calls = []
    for image in images:
        request = predict_pb2.PredictRequest()
        request.model_spec.name, request.model_spec.signature_name = "mnist", "predict_images"
        request.inputs["images"].CopyFrom(tf.make_tensor_proto(image, shape=[1, SIZE]))
        calls.append(stub.Predict.future(request, 30))  # all at once
    scores = np.array([call.result().outputs["scores"].float_val for call in calls])
    np.testing.assert_allclose(scores, expected(images), atol=1e-5)
    assert (scores.argmax(axis=1) == labels).mean() > 0.95  # the model has learned: classes are not mixed up


def test_classify(mnist):
    stub, expected = mnist
    images, _ = digits(3, seed=3)
    request = classification_pb2.ClassificationRequest()
    request.model_spec.name = "mnist"
    for image in images:
        request.input.example_list.examples.add().features.feature["x"].float_list.value.extend(image)
    response = stub.Classify(request, 30)
    assert (response.model_spec.signature_name, response.model_spec.version.value) == ("serving_default", 1)
    for row, wanted in zip(response.result.classifications, expected(images), strict=True):
        order = np.argsort(-wanted)
        assert [one.label for one in row.classes] == [str(i) for i in order]
        np.testing.assert_allclose([one.score for one in row.classes], wanted[order], atol=1e-5)


def test_other_uses_of_its_signatures(mnist):
    stub, _ = mnist
    request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
    request.model_spec.name = "mnist"
    signatures = get_model_metadata_pb2.SignatureDefMap()
    assert stub.GetModelMetadata(request, 30).metadata["signature_def"].Unpack(signatures)
    assert signatures.signature_def["serving_default"].method_name == CLASSIFY
    assert list(signatures.signature_def["predict_images"].inputs) == ["images"]
    request = classification_pb2.ClassificationRequest()
    request.model_spec.name, request.model_spec.signature_name = "mnist", "predict_images"
    request.input.example_list.examples.add().features.feature["x"].float_list.value.extend(np.zeros(SIZE))
    with pytest.raises(grpc.RpcError) as caught:
        stub.Classify(request, 30)
    assert (caught.value.code().name, caught.value.details()) == (
        "INVALID_ARGUMENT", f"Expected classification signature method_name to be {CLASSIFY}. Was: {PREDICT}"
    )  # fmt: skip
