"""Answers as the JSON of TensorFlow Serving's REST API, in the same layout as there."""

import base64
import json
from collections.abc import Mapping

import numpy as np
from google.protobuf.message import Message

from serving import tensors
from serving.server.requests.checks import invalid
from serving.server.transport.json_tensors import FLOATS
from serving.server.transport.json_values import BASE64, INDENT

PREDICTIONS, OUTPUTS, RESULTS = "predictions", "outputs", "results"
BYTES = "_bytes"  # the end of the names of outputs whose strings are written in base64


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
