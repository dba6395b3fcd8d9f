"""Conversion between `tensorflow.TensorProto` (any class with its fields) and NumPy, without TensorFlow.

Reads both forms of values. Writes as TensorFlow Serving does: into `float_val`, `string_val`, ..., which its clients
read, not into `tensor_content`.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from google.protobuf.message import Message
from numpy.typing import ArrayLike

try:
    import ml_dtypes  # comes with TensorFlow; the client does without
except ImportError:
    ml_dtypes = None  # type: ignore[assignment]

STRING, BOOL = 7, 10
# DataType of tensorflow/core/framework/types.proto -> (NumPy type, field that holds the values)
TYPES: dict[int, tuple[np.dtype[Any], str]] = {
    1: (np.dtype(np.float32), "float_val"),
    2: (np.dtype(np.float64), "double_val"),
    3: (np.dtype(np.int32), "int_val"),
    4: (np.dtype(np.uint8), "int_val"),
    5: (np.dtype(np.int16), "int_val"),
    6: (np.dtype(np.int8), "int_val"),
    STRING: (np.dtype(object), "string_val"),
    8: (np.dtype(np.complex64), "scomplex_val"),
    9: (np.dtype(np.int64), "int64_val"),
    BOOL: (np.dtype(np.bool_), "bool_val"),
    17: (np.dtype(np.uint16), "int_val"),
    18: (np.dtype(np.complex128), "dcomplex_val"),
    19: (np.dtype(np.float16), "half_val"),
    22: (np.dtype(np.uint32), "uint32_val"),
    23: (np.dtype(np.uint64), "uint64_val"),
}
if ml_dtypes:
    TYPES |= {
        14: (np.dtype(ml_dtypes.bfloat16), "half_val"),
        24: (np.dtype(ml_dtypes.float8_e5m2), "float8_val"),
        25: (np.dtype(ml_dtypes.float8_e4m3fn), "float8_val"),
    }
NUMBERS = {dtype: number for number, (dtype, _) in TYPES.items()}  # NumPy type -> DataType
NAMES = {number: dtype.name for number, (dtype, _) in TYPES.items()} | {
    1: "float", 2: "double", STRING: "string", BOOL: "bool", 19: "half",
}  # TensorFlow's names  # fmt: skip
# DataType -> wire key of its packed field, whose content is the array's bytes
PACKED = {1: b"\x2a", 2: b"\x32", 8: b"\x4a", BOOL: b"\x5a", 18: b"\x62", 24: b"\x92\x01", 25: b"\x92\x01"}
MAX_BYTES = 2**31  # of one array: a message of a few bytes can describe any size
MAX_DIMENSIONS = 254  # of a TensorFlow tensor
MAX_ARRAY_DIMENSIONS = 64  # of a NumPy array
MAX_STRING_DIMENSIONS = 32  # beyond, TensorFlow aborts the process when it converts Python strings
STRING_BYTES = 64  # overhead of each string: Python's object, TensorFlow's, the pointers to both


@dataclass(frozen=True)
class Flat:
    """A tensor of more dimensions than an array can have: its values [N], and its shape."""

    values: np.ndarray
    shape: tuple[int, ...]

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of the values."""
        return self.values.dtype


Value = np.ndarray | Flat


def max_dimensions(number: int) -> int:
    """Returns how many dimensions an array of that `DataType` can have, where TensorFlow reads or makes it."""
    return MAX_STRING_DIMENSIONS if number == STRING else MAX_ARRAY_DIMENSIONS


def shaped(values: np.ndarray, shape: tuple[int, ...]) -> Value:
    """Returns values [N] in that shape."""
    most = MAX_STRING_DIMENSIONS if values.dtype == object else MAX_ARRAY_DIMENSIONS
    return values.reshape(shape) if len(shape) <= most else Flat(values, shape)


def bracketed(shape: tuple[int, ...]) -> str:
    """Returns a shape as TensorFlow's errors have it: [2,3]."""
    return f"[{','.join(map(str, shape))}]"


class Layout(NamedTuple):
    """Type and size of a tensor, as its `TensorProto` declares them."""

    dtype: int  # `DataType`
    shape: tuple[int, ...]
    elements: int
    bytes: int  # of the array and of TensorFlow's copy of its strings
    rows: int  # of strings; 0 for numbers


def layout(proto: Message) -> Layout:
    """Returns the `Layout` of a `TensorProto`, without building its array.

    More values than the shape asks for are none, as TensorFlow has it.

    Raises:
        ValueError: The values do not fit the type or the shape, as far as their number tells.
    """
    number = proto.dtype
    if number not in TYPES:
        raise ValueError(f"type {number} is not supported")
    dtype, _ = TYPES[number]
    shape, elements = _shape(proto.tensor_shape)
    content, rows = len(proto.tensor_content) if elements else 0, 0
    if number == STRING:
        rows = shape[0] if shape else 1
    if content:
        if content < elements or (number != STRING and content != elements * dtype.itemsize):
            raise ValueError(f"{content} bytes do not fill shape {list(shape)}")
        return Layout(number, shape, elements, content + elements * STRING_BYTES * (number == STRING), rows)
    if number != STRING:
        return Layout(number, shape, elements, elements * dtype.itemsize, 0)
    values = proto.string_val
    given = len(values)
    repeated = max(elements - given, 0) * len(values[-1]) if given else 0  # the given strings count with the message
    return Layout(number, shape, elements, elements * STRING_BYTES + repeated, rows)


def _shape(proto):
    """Returns (shape, number of elements) of a `TensorShapeProto`."""
    rank = len(proto.dim)
    if proto.unknown_rank or rank > MAX_DIMENSIONS:  # before the sizes are read: there can be millions
        raise ValueError(f"expected at most {MAX_DIMENSIONS} dimensions, received {rank or 'an unknown number'}")
    shape, elements = tuple([dimension.size for dimension in proto.dim]), 1
    for size in shape:
        elements *= size
        if size < 0 or elements >= 2**63:
            raise ValueError(f"shape {list(shape[:8])} is not that of a tensor")
    return shape, elements


def to_array(proto: Message) -> Value:
    """Returns the array of a `TensorProto`; strings as an object array of bytes.

    Raises:
        ValueError: The values do not fit the type or the shape, or the array would take more than `MAX_BYTES`.
    """
    number, shape, elements, size, _ = layout(proto)
    if size > MAX_BYTES:
        raise ValueError(f"expected at most {MAX_BYTES} bytes, received shape {list(shape)}")
    dtype, field = TYPES[number]
    if proto.tensor_content and elements:
        content = proto.tensor_content
        if number == STRING:
            return shaped(_strings(content, elements), shape)
        if number == BOOL and np.frombuffer(content, np.uint8).max() > 1:
            raise ValueError("a bool is neither 0 nor 1")
        return shaped(np.frombuffer(content, dtype), shape)
    values = getattr(proto, field)
    if len(values) > elements * (2 if dtype.kind == "c" else 1):
        values = values[: elements * (2 if dtype.kind == "c" else 1)]
    zero: bytes | int
    if number == STRING:
        array = np.array([*values, None], object)[:-1]  # the None keeps NumPy from looking into a single string
        zero = b""
    else:
        array, zero = _numbers(values, field, dtype), 0
    if len(array) < elements:  # the last value is repeated
        given, array = array, np.empty(elements, dtype)
        array[: len(given)] = given
        array[len(given) :] = given[-1] if len(given) else zero
    return shaped(array, shape)


def _strings(content, count):
    """Returns the strings of a `tensor_content`: the size of each as a varint, then all their bytes."""
    sizes, place = [], 0
    for _ in range(count):
        size = shift = 0
        while True:
            if place == len(content) or shift > 28:
                raise ValueError(f"{len(content)} bytes do not hold {count} strings")
            byte = content[place]
            place += 1
            size |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                break
        sizes.append(size)
    if sum(sizes) != len(content) - place:
        raise ValueError(f"{len(content)} bytes do not hold {count} strings of {sum(sizes)} bytes")
    array = np.empty(count, object)
    for i, size in enumerate(sizes):
        array[i] = content[place : place + size]
        place += size
    return array


def _numbers(values, field, dtype):
    if field == "int_val":  # 32 bits on the wire, which wrap around in a smaller type as in TensorFlow
        return np.array(values, np.int32).astype(dtype, copy=False)
    if field == "half_val":
        return np.array(values, np.int32).astype(np.uint16).view(dtype)
    if field == "float8_val":
        return np.frombuffer(values, dtype)
    if dtype.kind == "c":
        parts = np.array(values, np.float32 if field == "scomplex_val" else np.float64)
        return parts[: len(parts) // 2 * 2].view(dtype)
    return np.array(values, dtype)


def fill(proto: Message, value: ArrayLike | Flat, *, content: bool = False) -> None:
    """Writes an array, a `Flat`, or what makes an array, into an empty `TensorProto`; strings may be bytes or str.

    Args:
        proto: The `TensorProto`.
        value: What is written.
        content: Into `tensor_content`, instead of the field of its type.

    Raises:
        ValueError: The type is not in `TYPES`.
    """
    if isinstance(value, (bytes, str)) or (isinstance(value, (list, tuple)) and _has_strings(value)):
        value = np.array(value, object)  # NumPy's string type drops trailing NULs
    array = value.values if isinstance(value, Flat) else np.asarray(value)
    if array.dtype.kind in "US":
        array = array.astype(object)
    if array.dtype not in NUMBERS:
        raise ValueError(f"type {array.dtype} is not supported")
    number = NUMBERS[array.dtype]
    proto.dtype = number
    for size in value.shape if isinstance(value, Flat) else array.shape:
        proto.tensor_shape.dim.add(size=size)
    flat = array.ravel()
    if content and number == STRING:
        texts = [text.encode("utf-8") if isinstance(text, str) else text for text in flat]
        proto.tensor_content = b"".join([*(_varint(len(text)) for text in texts), *texts])
    elif content:
        proto.tensor_content = flat.tobytes()
    elif number in PACKED and array.size:
        packed = flat.tobytes()
        proto.MergeFromString(PACKED[number] + _varint(len(packed)) + packed)
    elif number == STRING:
        proto.string_val.extend([text.encode("utf-8") if isinstance(text, str) else text for text in flat])
    elif TYPES[number][1] == "half_val":
        proto.half_val.extend(flat.view(np.uint16).tolist())
    elif array.size:
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
