"""`tensorflow.TensorProto` <-> NumPy, without TensorFlow; for any class with the fields of that message.

Written as TensorFlow Serving writes it: values in `float_val`, `string_val`, ... (its clients read those), not in
`tensor_content`. Both are read.
"""

from typing import NamedTuple

import numpy as np

STRING, BOOL = 7, 10
# DataType of tensorflow/core/framework/types.proto -> NumPy's type, field of the values
TYPES = {
    1: (np.dtype(np.float32), "float_val"),
    2: (np.dtype(np.float64), "double_val"),
    3: (np.dtype(np.int32), "int_val"),
    4: (np.dtype(np.uint8), "int_val"),
    5: (np.dtype(np.int16), "int_val"),
    6: (np.dtype(np.int8), "int_val"),
    STRING: (np.dtype(object), "string_val"),
    9: (np.dtype(np.int64), "int64_val"),
    BOOL: (np.dtype(np.bool_), "bool_val"),
    17: (np.dtype(np.uint16), "int_val"),
    19: (np.dtype(np.float16), "half_val"),
    22: (np.dtype(np.uint32), "uint32_val"),
    23: (np.dtype(np.uint64), "uint64_val"),
}
NUMBERS = {dtype: number for number, (dtype, _) in TYPES.items()}
NAMES = {number: dtype.name for number, (dtype, _) in TYPES.items()} | {
    1: "float", 2: "double", STRING: "string", BOOL: "bool", 19: "half",
}  # as TensorFlow calls them  # fmt: skip
# A packed field of these is its array's own bytes: (key of the field on the wire)
PACKED = {1: b"\x2a", 2: b"\x32", BOOL: b"\x5a"}
MOST_BYTES = 2**31  # a few bytes of message must not ask for more memory than this
MOST_DIMENSIONS = 254  # of a tensor of TensorFlow
# What can be held here: NumPy has arrays of 64 dimensions; TensorFlow reads and writes Python strings up to 32, and past
# that ends the process.
HELD_DIMENSIONS, HELD_DIMENSIONS_OF_STRINGS = 64, 32
STRING_BYTES = 64  # of each string beside its characters: Python's object, TensorFlow's, the pointers to both


class NotHeld(ValueError):
    """A tensor that is one, but that NumPy cannot hold."""


class Layout(NamedTuple):
    """What a `TensorProto` says of itself; nothing that it stands for is built to know it."""

    dtype: int
    shape: tuple[int, ...]
    count: int  # elements
    bytes: int  # that they will take
    rows: int  # of strings; 0 for numbers


def layout(proto):
    """Returns the `Layout` of a tensor.

    Raises:
        NotHeld: It has more dimensions than we can hold.
        ValueError: The values do not fit the type or the shape, as far as can be told without reading them.
    """
    number = proto.dtype
    if number not in TYPES:
        raise ValueError(f"type {number} is not supported")
    dtype, field = TYPES[number]
    shape, count = _shape(proto.tensor_shape, number)
    content = len(proto.tensor_content)
    if content:
        if number == STRING or content != count * dtype.itemsize:
            raise ValueError(f"{content} bytes do not fill shape {list(shape)}")
        return Layout(number, shape, count, content, 0)
    given = len(getattr(proto, field))
    if given > count:
        raise ValueError(f"{given} values for shape {list(shape)}")
    if number != STRING:
        return Layout(number, shape, count, count * dtype.itemsize, 0)
    values = proto.string_val
    size = count * STRING_BYTES + (
        (count - given) * len(values[-1]) if given else 0
    )  # the given ones are in the message
    return Layout(number, shape, count, size, shape[0] if shape else 1)


def _shape(proto, number):
    """Returns (shape, elements); looks at no more dimensions than a tensor can have."""
    rank, most = len(proto.dim), HELD_DIMENSIONS_OF_STRINGS if number == STRING else HELD_DIMENSIONS
    if proto.unknown_rank or rank > MOST_DIMENSIONS:
        raise ValueError(f"expected at most {MOST_DIMENSIONS} dimensions, received {rank or 'an unknown number'}")
    shape, count = tuple([dimension.size for dimension in proto.dim]), 1
    for size in shape:
        count *= size
        if size < 0 or count >= 2**63:
            raise ValueError(f"shape {list(shape[:8])} is not that of a tensor")
    if rank > most:
        raise NotHeld(f"expected at most {most} dimensions of {NAMES[number]}, received {rank}")
    return shape, count


def to_array(proto):
    """Returns the tensor as an array; strings as an object array of bytes.

    Raises:
        ValueError: The values do not fit the type or the shape, or it would take more than `MOST_BYTES`.
    """
    number, shape, count, size, _ = layout(proto)
    if size > MOST_BYTES:
        raise ValueError(f"expected at most {MOST_BYTES} bytes, received shape {list(shape)}")
    dtype, field = TYPES[number]
    if proto.tensor_content:
        content = proto.tensor_content
        if number == BOOL and np.frombuffer(content, np.uint8).max() > 1:
            raise ValueError("a bool is neither 0 nor 1")
        return np.frombuffer(content, dtype).reshape(shape)
    values = getattr(proto, field)
    if number == STRING:
        array = np.array([*values, None], object)[:-1]  # the None keeps NumPy from looking into a single string
        empty = b""
    else:
        array, empty = _numbers(values, field, dtype), 0
    if len(array) < count:  # the last value stands for the rest
        given, array = array, np.empty(count, dtype)
        array[: len(given)] = given
        array[len(given) :] = given[-1] if len(given) else empty
    return array.reshape(shape)


def _numbers(values, field, dtype):
    if field == "int_val":  # of 32 bits on the wire; what is beyond a smaller type is cut as TensorFlow cuts it
        return np.array(values, np.int32).astype(dtype, copy=False)
    if field == "half_val":
        return np.array(values, np.int32).astype(np.uint16).view(np.float16)
    return np.array(values, dtype)


def fill(proto, array):
    """Writes an array into an empty `TensorProto`; strings may be bytes or str.

    Raises:
        ValueError: A type that is not in `TYPES`.
    """
    if isinstance(array, (bytes, str)) or (isinstance(array, (list, tuple)) and _has_strings(array)):
        array = np.array(array, object)  # NumPy's own type of strings drops NULs at their end
    array = np.asarray(array)
    if array.dtype.kind in "US":
        array = array.astype(object)
    if array.dtype not in NUMBERS:
        raise ValueError(f"type {array.dtype} is not supported")
    number = NUMBERS[array.dtype]
    proto.dtype = number
    for size in array.shape:
        proto.tensor_shape.dim.add(size=size)
    flat = array.ravel()
    if number in PACKED and array.size:
        content = flat.tobytes()
        proto.MergeFromString(PACKED[number] + _varint(len(content)) + content)
    elif number == STRING:
        proto.string_val.extend([one.encode("utf-8") if isinstance(one, str) else one for one in flat])
    elif number == NUMBERS[np.dtype(np.float16)]:
        proto.half_val.extend(flat.view(np.uint16).tolist())
    else:
        getattr(proto, TYPES[number][1]).extend(flat.tolist())


def _has_strings(values):
    while isinstance(values, (list, tuple)) and values:
        values = values[0]
    return isinstance(values, (bytes, str))


def _varint(number):
    encoded = bytearray()
    while number > 127:
        encoded.append(number & 127 | 128)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)
