"""Tensors on the wire: read and written as TensorFlow does."""

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2

from serving import messages, tensors

ARRAYS = [
    np.array([[1.5, -2.0], [np.inf, 0.0]], np.float32), np.array([1e300, 2.0]), np.arange(6, dtype=np.int32).reshape(2, 3),
    np.array([-(2**62), 5], np.int64), np.array([True, False]), np.array([1, 255], np.uint8), np.array([-3, 4], np.int8),
    np.array([1.5, 2.5], np.float16), np.array([7], np.uint16), np.array([2**31], np.uint32), np.array([2**63], np.uint64),
    np.array([-300], np.int16), np.array([b"ab", "中".encode(), b""], object), np.array(b"one", object),
    np.zeros([0, 3], np.float32), np.zeros([2, 0], object), np.float32(3.0), np.full([3000], 2.5, np.float32),
]  # fmt: skip


@pytest.mark.parametrize("array", ARRAYS, ids=lambda a: f"{np.asarray(a).dtype}{list(np.shape(a))}")
@pytest.mark.parametrize("message", [tensor_pb2.TensorProto, messages.TensorProto], ids=["theirs", "ours"])
def test_both_ways(array, message):
    proto = message()
    tensors.fill(proto, array)
    assert not proto.tensor_content
    parsed = tensor_pb2.TensorProto.FromString(proto.SerializeToString())
    np.testing.assert_array_equal(tf.make_ndarray(parsed), array)
    for written in (proto, message.FromString(tf.make_tensor_proto(array).SerializeToString())):
        result = tensors.to_array(written)
        assert result.dtype == np.asarray(array).dtype and result.shape == np.shape(array)
        np.testing.assert_array_equal(result, array)


def test_the_last_value_is_repeated():
    proto = tf.make_tensor_proto(np.zeros([2, 3], np.float32))
    proto.ClearField("tensor_content")
    proto.float_val.extend([1, 2])
    np.testing.assert_array_equal(tensors.to_array(proto), [[1, 2, 2], [2, 2, 2]])
    proto.ClearField("float_val")
    np.testing.assert_array_equal(tensors.to_array(proto), np.zeros([2, 3]))


def test_python_strings():
    proto = messages.TensorProto()
    tensors.fill(proto, ["a", "中"])
    assert list(proto.string_val) == [b"a", "中".encode()]


@pytest.mark.parametrize(
    "change",
    [
        {"dtype": 0}, {"dtype": 21}, {"float_val": [1, 2, 3]}, {"tensor_content": b"12345"},
        {"tensor_shape": {"unknown_rank": True}}, {"tensor_shape": {"dim": [{"size": -1}]}},
        {"tensor_shape": {"dim": [{"size": 2**20}, {"size": 2**20}]}, "float_val": [1]},
    ],
    ids=str,
)  # fmt: skip
def test_invalid_tensors(change):
    fields = {"dtype": 1, "tensor_shape": {"dim": [{"size": 2}]}} | change
    with pytest.raises(ValueError):
        tensors.to_array(tensor_pb2.TensorProto(**fields))


def test_descriptors_are_those_of_tensorflow_serving_api():
    assert messages.FILE.read_bytes() == messages.generate(), "run `python -m serving.messages`"
