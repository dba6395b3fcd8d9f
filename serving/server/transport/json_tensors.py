"""Tensors and `tf.Example`s as the JSON of TensorFlow Serving's REST API, with its rules and error messages.

Reads `instances` (rows) or `inputs` (columns), and writes `predictions` or `outputs` in the same layout as there. Half
floats, which it refuses, are numbers, too.
"""

import base64
import binascii
import json
from collections.abc import Callable, Mapping
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
from google.protobuf.message import Message
from tensorflow.core.example import example_pb2

from serving import tensors
from serving.server.requests.checks import invalid
from serving.server.requests.limits import Limits

INSTANCES, INPUTS, SIGNATURE, EXAMPLES, CONTEXT = "instances", "inputs", "signature_name", "examples", "context"
PREDICTIONS, OUTPUTS, RESULTS = "predictions", "outputs", "results"
BASE64 = "b64"  # the only key of an object that stands for bytes
BYTES = "_bytes"  # the end of the names of outputs whose strings are written in base64
MAX_QUOTED = 256  # characters of a value that an error quotes
INDENT = "    "
INTEGERS = {3: (-(2**31), 2**31), 9: (-(2**63), 2**63), 22: (0, 2**32), 23: (0, 2**64)}  # `DataType` -> its range
FLOATS = (1, 2, 14, 19)
WHITESPACE = " \t\n\r"
# Python's messages -> RapidJSON's
PARSE_ERRORS = {
    "Expecting value": "Invalid value.",
    "Expecting property name enclosed in double quotes": "Missing a name for object member.",
    "Illegal trailing comma before end of object": "Missing a name for object member.",
    "Illegal trailing comma before end of array": "Invalid value.",
    "Expecting ':' delimiter": "Missing a colon after a name of object member.",
    "Expecting ',' delimiter": "Missing a comma or a bracket after an element.",
    "Unterminated string starting at": "Missing a closing quotation mark in string.",
    "Invalid control character at": "Invalid encoding in string.",
    "Invalid \\escape": "Invalid escape character in string.",
    "Invalid \\uXXXX escape": "Incorrect hex digit after \\u escape in string.",
}
NAMES = {dict: "Object", list: "Array", str: "String", int: "Number", float: "Number", type(None): "Null"}
Json = Any  # dict, list, str, int, float, bool or None


class Column(NamedTuple):
    """One input as read from JSON: its layout, and its values in order."""

    layout: tensors.Layout
    leaves: list[Json]


def parse(body: bytes) -> dict[str, Json]:
    """Returns the JSON object of a request's body; text after it is ignored. Bytes that are not UTF-8 stay as they are.

    Raises:
        Refused: It is no JSON object.
    """
    text = body.decode("utf-8", "surrogateescape").removeprefix("\ufeff").lstrip(WHITESPACE)
    if not text:
        raise invalid("JSON Parse error: The document is empty")
    try:
        document, _ = json.JSONDecoder().raw_decode(text)
    except json.JSONDecodeError as error:
        known = [words for start, words in PARSE_ERRORS.items() if error.msg.startswith(start)]
        raise invalid(f"JSON Parse error: {known[0] if known else error.msg} at offset: {error.pos}") from None
    except RecursionError:
        raise invalid("JSON Parse error: expected fewer lists inside each other") from None
    except ValueError:  # Python refuses integers of thousands of digits
        raise invalid("JSON Parse error: Number too big to be stored in double.") from None
    if type(document) is not dict:
        raise invalid(f"JSON Value: {quoted(document)} Is not object")
    return document


def signature_name(document: Mapping[str, Json]) -> str:
    """Returns the name of the requested signature; empty for the default one."""
    name = document.get(SIGNATURE, "")
    if type(name) is not str:
        raise invalid(
            f"JSON Value: {quoted(document)} not formatted correctly. 'signature_name' key must be a string value."
        )
    return _whole(name)


def _whole(text):
    """Returns the text with U+FFFD for what is no character: bytes that are not UTF-8, halves of surrogate pairs."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


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
    named = _is_object(instances[0])
    by_name: dict[str, list] = {} if named else {next(iter(types)): instances}
    for i, row in enumerate(instances):
        if named and not _is_object(row):
            raise invalid(f"Expecting object but got list at item {i} of input list")
        if not named and type(row) is dict and not _is_base64(row):
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
    if not _is_object(given):
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
        array[:] = [_bytes(leaf) for leaf in column.leaves]
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


def _bytes(leaf):
    """Returns the bytes of a string or of an object with base64."""
    if type(leaf) is str:
        try:
            return leaf.encode("utf-8", "surrogateescape")
        except UnicodeEncodeError:
            raise invalid("JSON Parse error: The surrogate pair in string is invalid.") from None
    if not _is_base64(leaf):
        raise invalid(f"JSON Value: {quoted(leaf)} not formatted correctly for base64 data")
    try:
        text = "".join(leaf[BASE64].split()).rstrip("=")
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise invalid("Unable to base64 decode") from None


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
        return "" if _is_base64(value) else f"JSON Value: {quoted(value)} not formatted correctly for base64 data"
    if number not in tensors.TYPES or not _kinds(number):
        return f"Conversion of JSON Value: {quoted(value)} to type: {name}"
    if type(value) not in _kinds(number) or (_kinds(number) == {int} and not low <= value < high):
        return f"JSON Value: {quoted(value)} Type: {_kind(value)} is not of expected type: {name}"
    return ""


def _is_base64(value):
    return type(value) is dict and len(value) == 1 and type(value.get(BASE64)) is str


def _is_object(value):
    return type(value) is dict and not _is_base64(value)


def quoted(value: Json) -> str:
    """Returns a value as JSON for an error message, cut after `MAX_QUOTED` characters."""
    written: list[str] = []
    length = 0
    for part in _parts(value, 0):
        if length >= MAX_QUOTED:
            break
        written.append(part)
        length += len(part)
    return _whole("".join(written))


def _parts(value, level):
    """Yields the JSON of a value, a token at a time; lists in one line."""
    if type(value) is dict:
        inner = "\n" + INDENT * (level + 1)
        for i, (key, part) in enumerate(value.items()):
            yield f"{',' if i else '{'}{inner}{json.dumps(key, ensure_ascii=False)}: "
            yield from _parts(part, level + 1)
        yield "\n" + INDENT * level + "}" if value else "{}"
    elif type(value) is list:
        for i, part in enumerate(value):
            yield ", " if i else "["
            yield from _parts(part, level + 1)
        yield "]" if value else "[]"
    else:
        yield json.dumps(value, ensure_ascii=False)


def examples(document: Mapping[str, Json]) -> tuple[list[bytes], bytes | None]:
    """Reads the examples of a classify or regress request.

    Returns:
        (serialized `tf.Example`s, their common context or None).

    Raises:
        Refused: With TensorFlow Serving's message.
    """
    context = _example(document[CONTEXT]) if CONTEXT in document else None
    if EXAMPLES not in document:
        raise invalid(
            f"JSON Value: {quoted(document)} When method is classify, key '{EXAMPLES}' is expected and was not found"
        )
    if type(document[EXAMPLES]) is not list:
        raise invalid(f"JSON Value: {quoted(document)} Expecting '{EXAMPLES}' value to be an list/array")
    if not document[EXAMPLES]:
        raise invalid(f"JSON Value: {quoted(document)} '{EXAMPLES}' value is an empty array")
    return [_example(value) for value in document[EXAMPLES]], context


def _example(value):
    if type(value) is not dict:
        raise invalid(f"Example must be JSON object but got JSON {_kind(value)}")
    example = example_pb2.Example()
    for name, content in value.items():
        try:
            feature = example.features.feature[name]
        except UnicodeEncodeError:
            raise invalid(f"expected names of features in UTF-8, received {name!r}") from None
        for part in content if type(content) is list else [content]:
            _add(feature, name, part)
    return example.SerializeToString()


def _add(feature, name, value):
    """Adds a JSON value to a `Feature`."""
    if type(value) in (type(None), list) or (type(value) is dict and not _is_base64(value)):
        raise invalid(f"Feature: {name} has element with unexpected JSON type: {_kind(value)}")
    kind = {str: "bytes_list", dict: "bytes_list", float: "float_list"}.get(type(value), "int64_list")
    present = feature.WhichOneof("kind")
    if present not in (None, kind):
        raise invalid(f"Unexpected element type in feature: {name} expecting type: {present.removesuffix('_list')}")
    if type(value) in (str, dict):
        feature.bytes_list.value.append(_bytes(value))
    elif type(value) is float:
        with np.errstate(over="ignore"):
            feature.float_list.value.append(np.float32(value))
    elif not -(2**63) <= value < 2**63:
        raise invalid(f"Feature: {name} has uint64_t element. Only int64_t is supported.")
    else:
        feature.int64_list.value.append(int(value))


def _kind(value):
    return "True" if value is True else "False" if value is False else NAMES[type(value)]


def outputs(values: Mapping[str, tensors.Value], rows: bool) -> bytes:
    """Returns the answer to a predict request: rows or columns, a bare list where there is one output.

    Raises:
        Refused: Outputs that are no rows of one batch, or of a type that JSON has not.
    """
    if not values:
        raise invalid("Cannot convert empty tensor map to JSON")
    write = _rows if rows else _columns
    return write({name: values[name] for name in sorted(values)}).encode()


def _rows(values):
    count = -1
    for name, value in values.items():
        if not value.shape:
            raise invalid(f"Tensor name: {name} has no shape information ")
        if count not in (-1, value.shape[0]):
            raise invalid(f"Tensor name: {name} has inconsistent batch size: {value.shape[0]} expecting: {count}")
        count = value.shape[0]
    columns = {name: _nested(_texts(name, value), value.shape[1:], count) for name, value in values.items()}
    if len(columns) == 1:
        rows = ", ".join(next(iter(columns.values())))
    else:
        indent = "\n" + 3 * INDENT
        keys = [f"{indent}{json.dumps(name, ensure_ascii=False)}: " for name in columns]
        objects = [
            f"{{{','.join(key + text for key, text in zip(keys, row, strict=True))}\n{2 * INDENT}}}"
            for row in zip(*columns.values(), strict=True)
        ]
        rows = "".join(f"{',' if i else ''}\n{2 * INDENT}{text}" for i, text in enumerate(objects))
    return _document(PREDICTIONS, f"[{rows}\n{INDENT}]" if count else "[]")


def _nested(texts, shape, count):
    """Returns the lists of that shape as JSON in one line; `count` of them."""
    for i in reversed(range(len(shape))):
        size, groups = shape[i], count * int(np.prod(shape[:i], dtype=object))
        texts = [f"[{', '.join(texts[j * size : (j + 1) * size])}]" for j in range(groups)]
    return texts


def _columns(values):
    if len(values) == 1:
        ((name, value),) = values.items()
        return _document(OUTPUTS, _indented(_texts(name, value), value.shape, 1))
    parts = [
        f"\n{2 * INDENT}{json.dumps(name, ensure_ascii=False)}: {_indented(_texts(name, value), value.shape, 2)}"
        for name, value in values.items()
    ]
    return _document(OUTPUTS, f"{{{','.join(parts)}\n{INDENT}}}")


def _indented(texts, shape, level):
    """Returns one list of that shape as JSON, an element a line."""
    for i in reversed(range(len(shape))):
        size, groups = shape[i], int(np.prod(shape[:i], dtype=object))
        inner, outer = "\n" + INDENT * (level + i + 1), "\n" + INDENT * (level + i)
        texts = [
            f"[{inner}{(',' + inner).join(texts[j * size : (j + 1) * size])}{outer}]" if size else "[]"
            for j in range(groups)
        ]
    return texts[0]


def _document(key, text):
    return f'{{\n{INDENT}"{key}": {text}\n}}'


def _texts(name, value):
    """Returns the values of a tensor as JSON, in order."""
    array = value.values if isinstance(value, tensors.Flat) else value.ravel()
    if array.dtype.kind == "O":
        return [_string(name, text) for text in array]
    if array.dtype == np.bool_:
        return ["true" if item else "false" for item in array.tolist()]
    if array.dtype.kind in "iu":
        return list(map(str, array.tolist()))
    if tensors.NUMBERS[array.dtype] in FLOATS:
        return decimals(array)
    dtype = tensors.NAMES[tensors.NUMBERS[array.dtype]]
    raise invalid(f"Failed to write JSON value for tensor type: {dtype}")


def _string(name, text):
    if name.endswith(BYTES):
        return f'{{"{BASE64}": "{base64.b64encode(text).decode()}"}}'
    try:
        return json.dumps(text.decode(), ensure_ascii=False)
    except UnicodeDecodeError:
        raise invalid(
            f"output {name}: expected texts of UTF-8, found {text[:30]!r}; outputs whose names end in {BYTES} are written in base64"
        ) from None


def decimals(array: np.ndarray) -> list[str]:
    """Returns floats [N] as JSON: six digits where these give the same number, else as many as it takes."""
    wide = array if array.dtype == np.float64 else array.astype(np.float32)
    numbers = wide.tolist()
    texts = list(map("%.6g".__mod__, numbers))
    back = np.array(list(map(float, texts)), np.float64).astype(wide.dtype)
    digits = "%.17g" if wide.dtype == np.float64 else "%.9g"
    for i in np.flatnonzero(back != wide).tolist():
        texts[i] = digits % numbers[i]
    special = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}
    return [special.get(text) or (text if "." in text or "e" in text else text + ".0") for text in texts]


def classifications(result: Message) -> bytes:
    """Returns the answer to a classify request of a `ClassificationResult`: [[label, score], ...] a row."""
    rows = []
    for row in result.classifications:
        scores = decimals(np.array([item.score for item in row.classes], np.float32))
        labels = [json.dumps(item.label, ensure_ascii=False) for item in row.classes]
        rows.append(f"[{', '.join(f'[{label}, {score}]' for label, score in zip(labels, scores, strict=True))}]")
    return _results(rows, "Classification")


def regressions(result: Message) -> bytes:
    """Returns the answer to a regress request of a `RegressionResult`: a number a row."""
    return _results(decimals(np.array([row.value for row in result.regressions], np.float32)), "Regression")


def _results(rows, name):
    if not rows:
        raise invalid(f"Cannot convert empty {name}Results to JSON")
    return _document(RESULTS, f"[{', '.join(rows)}\n{INDENT}]").encode()


def error(message: str) -> bytes:
    """Returns the body of an error."""
    return _document("error", json.dumps(message, ensure_ascii=False)).encode("utf-8", "replace")
