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
    np.array([1 + 2j, -3j], np.complex64), np.array([[1e300 - 1j]]), np.array([1.5, -2], tf.bfloat16.as_numpy_dtype),
    np.array([0.5, 2], tf.dtypes.experimental.float8_e5m2.as_numpy_dtype),
    np.array([0.5, 2], tf.dtypes.experimental.float8_e4m3fn.as_numpy_dtype), np.zeros([0], np.complex64),
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


def test_what_tensorflow_takes_we_take():
    """More values than the shape asks for, strings as content, content of no elements: the value is TensorFlow's."""
    two = {"dim": [{"size": 2}]}
    for fields in (
        {"dtype": 1, "tensor_shape": two, "float_val": [1, 2, 3]},
        {"dtype": 7, "tensor_shape": two, "string_val": [b"a", b"b", b"c"]},
        {"dtype": 8, "tensor_shape": two, "scomplex_val": [1, 2, 3, 4, 5, 6]},
        {"dtype": 8, "tensor_shape": two, "scomplex_val": [1, 2]},
        {"dtype": 18, "tensor_shape": {}, "dcomplex_val": [1, 2]},
        {"dtype": 14, "tensor_shape": two, "half_val": [0x3FC0]},
        {"dtype": 25, "tensor_shape": two, "float8_val": b"\x30\x31\x32"},
        {"dtype": 7, "tensor_shape": two, "tensor_content": b"\x01\x02abc"},
        {"dtype": 7, "tensor_shape": two, "tensor_content": b"\xac\x02\x00" + b"x" * 300},
        {"dtype": 1, "tensor_shape": {"dim": [{"size": 0}]}, "tensor_content": b"123"},
        {"dtype": 1, "tensor_shape": {"dim": [{"size": 0}]}, "float_val": [1]},
    ):
        proto = tensor_pb2.TensorProto(**fields)
        expected = tf.io.parse_tensor(proto.SerializeToString(), proto.dtype).numpy()
        array = tensors.to_array(proto)
        assert array.dtype == expected.dtype and array.shape == expected.shape
        np.testing.assert_array_equal(array, expected)


def test_more_dimensions_than_an_array_has():
    for dtype, field, most in ((1, "float_val", 64), (7, "string_val", 32)):
        value = b"a" if dtype == 7 else 1
        for rank in (most, most + 1, 254):
            shape = {"dim": [{"size": 1}] * rank}
            proto = tensor_pb2.TensorProto(dtype=dtype, tensor_shape=shape, **{field: [value]})
            read = tensors.to_array(proto)
            assert isinstance(read, tensors.Flat) == (rank > most) and read.shape == (1,) * rank
            written = tensor_pb2.TensorProto()
            tensors.fill(written, read)
            assert written == proto


def test_python_strings():
    proto = messages.TensorProto()
    tensors.fill(proto, ["a", "中"])
    assert list(proto.string_val) == [b"a", "中".encode()]


@pytest.mark.parametrize(
    "change",
    [
        {"dtype": 0}, {"dtype": 21}, {"tensor_content": b"12345"},
        {"dtype": 7, "tensor_content": b"\1\1a"}, {"dtype": 7, "tensor_content": b"\1\1abc"}, {"dtype": 7, "tensor_content": b"\1"},
        {"dtype": 7, "tensor_content": b"\xff\xff\xff\xff\xff\1\0"}, {"dtype": 8, "tensor_content": b"a" * 8},
        {"tensor_shape": {"dim": [{"size": 1}] * 255}},
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
