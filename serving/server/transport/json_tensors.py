"""Tensors of the JSON of a predict request: `instances` (rows) or `inputs` (columns), with TensorFlow Serving's rules and texts of errors.

Half floats, which it refuses, are numbers, too.
"""

from collections.abc import Callable, Mapping
from itertools import chain
from typing import NamedTuple

import numpy as np
from google.protobuf.message import Message

from serving import tensors
from serving.server.requests.checks import invalid
from serving.server.requests.limits import Limits
from serving.server.transport.json_values import Json, bytes_of, is_base64, is_object, kind_of, quoted

INSTANCES, INPUTS = "instances", "inputs"
INTEGERS = {3: (-(2**31), 2**31), 9: (-(2**63), 2**63), 22: (0, 2**32), 23: (0, 2**64)}  # `DataType` -> its range
FLOATS = (1, 2, 14, 19)


class Column(NamedTuple):
    """One input as read from JSON: its layout, and its values in order."""

    layout: tensors.Layout
    leaves: list[Json]


def inputs(
    document: Mapping[str, Json], infos: Mapping[str, Message], limits: Limits, reserve: Callable[[int], None]
) -> tuple[dict[str, tensors.Value], bool]:
    """Reads the tensors of a predict request.

    Args:
        document: The request.
        infos: {input: `TensorInfo`} of the signature.
        limits: Limits of one request.
        reserve: Called with the bytes that the tensors will take, before they are built.

    Returns:
        ({input: array}, whether they came as rows).

    Raises:
        Refused: With TensorFlow Serving's code and message.
    """
    rows = INSTANCES in document
    if rows and INPUTS in document:
        raise invalid(
            f"JSON Value: {quoted(document)} Not formatted correctly expecting only one of 'inputs' or 'instances' keys to exist "
        )
    if rows:
        columns = _of_instances(document, {name: info.dtype for name, info in infos.items()})
    elif INPUTS in document:
        columns = _of_inputs(document[INPUTS], {name: info.dtype for name, info in infos.items()})
    else:
        raise invalid("Missing 'inputs' or 'instances' key")
    reserve(limits.check({name: column.layout for name, column in columns.items()}))
    return {name: _array(column) for name, column in columns.items()}, rows


def _of_instances(document, types):
    """Returns {input: `Column`} of a list of rows."""
    instances = document[INSTANCES]
    if type(instances) is not list:
        raise invalid(f"JSON Value: {quoted(document)} Expecting 'instances' to be an list/array")
    if not instances:
        raise invalid(f"JSON Value: {quoted(document)} No values in 'instances' array")
    if type(instances[0]) is not dict and len(types) > 1:
        raise invalid(
            "instances is a plain list, but expecting list of objects as multiple input tensors required as per tensorinfo_map"
        )
    named = is_object(instances[0])
    by_name: dict[str, list] = {} if named else {next(iter(types)): instances}
    for i, row in enumerate(instances):
        if named and not is_object(row):
            raise invalid(f"Expecting object but got list at item {i} of input list")
        if not named and type(row) is dict and not is_base64(row):
            raise invalid(f"Expecting value/list but got object at item {i} of input list")
    if named:
        if any(row.keys() != types.keys() for row in instances):
            _refuse_instances(instances, types, named)
        by_name = {name: [row[name] for row in instances] for name in types}
    try:
        return {name: _column(rows, (len(rows), *_shape(rows[0])), types[name]) for name, rows in by_name.items()}
    except _Irregular:
        _refuse_instances(instances, types, named)
        raise invalid(f"expected rows of equal shapes in '{INSTANCES}', received others") from None


def _refuse_instances(instances, types, named):
    """Raises the error of the first row that has one."""
    shapes: dict[str, tuple[int, ...]] = {}
    for i, row in enumerate(instances):
        for name, value in row.items() if named else [(next(iter(types)), row)]:
            key = f" key: {name}" if named else ""
            error = _instance_error(name, value, types, shapes)
            if error:
                raise invalid(
                    f"Failed to process element: {i}{key} of 'instances' list. Error: INVALID_ARGUMENT: {error}"
                )
        if named and row.keys() != types.keys():
            expected = ",".join(sorted(types))
            raise invalid(
                f"Failed to process element: {i} of 'instances' list. JSON object: {quoted(row)} keys must be equal to: {expected}"
            )


def _instance_error(name, value, types, shapes):
    """Returns what is wrong with one value of a row, compared with those before; empty if nothing."""
    if name not in types:
        return f"JSON object: does not have named input: {name}"
    shape = _shape(value)
    error = _error(value, 0, shape, types[name])
    if error or name not in shapes:
        shapes.setdefault(name, shape)
        return error
    size, expected = (int(np.prod(dimensions, dtype=object)) for dimensions in (shape, shapes[name]))
    if size != expected:
        return f"Expecting tensor size: {expected} but got: {size}"
    if shape != shapes[name]:
        return f"Expecting shape {tensors.bracketed(shapes[name])} but got: {tensors.bracketed(shape)}"
    return ""


def _of_inputs(given, types):
    """Returns {input: `Column`} of columns."""
    if not is_object(given):
        if len(types) > 1:
            raise invalid(
                "inputs is a plain value/list, but expecting an object as multiple input tensors required as per tensorinfo_map"
            )
        given = {next(iter(types)): given}
    columns = {}
    for name, number in types.items():
        if name not in given:
            raise invalid(f"Missing named input: {name} in 'inputs' object.")
        shape = _shape(given[name])
        try:
            columns[name] = _column(given[name], shape, number)
        except _Irregular:
            error = _error(given[name], 0, shape, number)
            raise invalid(error or f"input {name}: expected lists of equal sizes, received others") from None
    return columns


class _Irregular(Exception):
    """Values that make no tensor; which one is found out where the error is made."""


def _column(value, shape, number):
    """Returns the `Column` of nested lists; raises `_Irregular`."""
    level = [value]
    for size in shape:
        if any(type(part) is not list or len(part) != size for part in level):
            raise _Irregular
        level = list(chain.from_iterable(level))
    dtype, rows, size = tensors.TYPES.get(number, (None, ""))[0], 0, 0
    kinds = set(map(type, level))
    if dtype is None or not kinds <= _kinds(number):
        raise _Irregular
    if number == tensors.STRING:
        rows = shape[0] if shape else 1
        size = len(level) * tensors.STRING_BYTES
    elif number in FLOATS or number == tensors.BOOL:
        size = len(level) * dtype.itemsize
    else:
        low, high = INTEGERS.get(number, INTEGERS[3])
        if level and not (low <= min(level) and max(level) < high):
            raise _Irregular
        size = len(level) * dtype.itemsize
    return Column(tensors.Layout(number, shape, len(level), size, rows), level)


def _kinds(number):
    """Returns the Python types of the JSON values that a tensor of that `DataType` takes."""
    if number == tensors.STRING:
        return {str, dict}
    if number == tensors.BOOL:
        return {bool}
    if number in FLOATS:
        return {int, float}
    return set() if tensors.TYPES[number][0].kind not in "iu" else {int}


def _array(column):
    """Returns the array of a `Column`."""
    number, shape, *_ = column.layout
    dtype = tensors.TYPES[number][0]
    if number == tensors.STRING:
        array = np.empty(len(column.leaves), object)
        array[:] = [bytes_of(leaf) for leaf in column.leaves]
    elif number in FLOATS:
        try:
            with np.errstate(over="ignore"):
                array = np.array(column.leaves, np.float64).astype(dtype)
        except OverflowError:
            raise invalid("JSON Parse error: Number too big to be stored in double.") from None
    elif number in INTEGERS or number == tensors.BOOL:
        array = np.array(column.leaves, dtype)
    else:  # 32 bits on the wire, which wrap around in a smaller type
        array = np.array(column.leaves, np.int32).astype(dtype)
    if len(shape) > tensors.MAX_DIMENSIONS:
        raise invalid(f"expected at most {tensors.MAX_DIMENSIONS} dimensions, received {len(shape)}")
    return tensors.shaped(array, shape)


def _shape(value):
    """Returns the shape of nested lists, which is that of the first ones."""
    shape = []
    while type(value) is list:
        shape.append(len(value))
        value = value[0] if value else None
    return tuple(shape)


def _error(value, level, shape, number):
    """Returns what is wrong with nested lists that should have that shape and `DataType`; empty if nothing."""
    if type(value) is not list:
        if level != len(shape):
            return f"JSON Value: {quoted(value)} found at incorrect level: {level + 1} in the JSON DOM. Expected at level: {len(shape)}"
        return _leaf_error(value, number)
    if level >= len(shape):
        return f"Encountered list at unexpected level: {level} expected < {len(shape)}"
    if len(value) != shape[level]:
        return f"Encountered list at unexpected size: {len(value)} at level: {level} expected size: {shape[level]}"
    return next(filter(None, (_error(part, level + 1, shape, number) for part in value)), "")


def _leaf_error(value, number):
    name = tensors.NAMES.get(number, f"type {number}")
    low, high = INTEGERS.get(number, INTEGERS[3])
    if type(value) is dict and number == tensors.STRING:
        return "" if is_base64(value) else f"JSON Value: {quoted(value)} not formatted correctly for base64 data"
    if number not in tensors.TYPES or not _kinds(number):
        return f"Conversion of JSON Value: {quoted(value)} to type: {name}"
    if type(value) not in _kinds(number) or (_kinds(number) == {int} and not low <= value < high):
        return f"JSON Value: {quoted(value)} Type: {kind_of(value)} is not of expected type: {name}"
    return ""
