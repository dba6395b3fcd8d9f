"""`tensorflow.TensorProto` <-> NumPy, without TensorFlow; for any class with the fields of that message.

Written as TensorFlow Serving writes it: values in `float_val`, `string_val`, ... (its clients read those), not in
`tensor_content`. Both are read.
"""

import math

import numpy as np

STRING = 7
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
    10: (np.dtype(np.bool_), "bool_val"),
    17: (np.dtype(np.uint16), "int_val"),
    19: (np.dtype(np.float16), "half_val"),
    22: (np.dtype(np.uint32), "uint32_val"),
    23: (np.dtype(np.uint64), "uint64_val"),
}
NUMBERS = {dtype: number for number, (dtype, _) in TYPES.items()}
# A packed field of these is its array's own bytes: (key of the field on the wire)
PACKED = {1: b"\x2a", 2: b"\x32", 10: b"\x5a"}
MOST_ELEMENTS = 2**28  # a few bytes of message must not ask for more memory than this


def to_array(proto):
    """Returns the tensor as an array; strings as an object array of bytes.

    Raises:
        ValueError: The values do not fit the type or the shape.
    """
    if proto.dtype not in TYPES:
        raise ValueError(f"type {proto.dtype} is not supported")
    dtype, field = TYPES[proto.dtype]
    shape = [dimension.size for dimension in proto.tensor_shape.dim]
    if proto.tensor_shape.unknown_rank or any(size < 0 for size in shape) or math.prod(shape) > MOST_ELEMENTS:
        raise ValueError(f"shape {shape} is not that of a tensor")
    count = math.prod(shape)
    if proto.tensor_content:
        if proto.dtype == STRING or len(proto.tensor_content) != count * dtype.itemsize:
            raise ValueError(f"{len(proto.tensor_content)} bytes do not fill shape {shape}")
        return np.frombuffer(proto.tensor_content, dtype).reshape(shape)
    values = getattr(proto, field)
    if len(values) > count:
        raise ValueError(f"{len(values)} values for shape {shape}")
    if proto.dtype == STRING:
        array = np.array([*values, None], object)[:-1]  # the None keeps NumPy from looking into a single string
        empty = b""
    elif field == "half_val":
        array, empty = np.array(values, np.uint16).view(np.float16), 0
    else:
        array, empty = np.array(values, dtype), 0
    if len(array) < count:  # the last value stands for the rest
        array = np.concatenate([array, np.full(count - len(array), array[-1] if len(array) else empty, dtype)])
    return array.reshape(shape)


def fill(proto, array):
    """Writes an array into an empty `TensorProto`; strings may be bytes or str.

    Raises:
        ValueError: A type that is not in `TYPES`.
    """
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


def _varint(number):
    encoded = bytearray()
    while number > 127:
        encoded.append(number & 127 | 128)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)
