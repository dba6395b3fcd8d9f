"""`tf.Example`s of the JSON of a classify or regress request."""

from collections.abc import Mapping

import numpy as np
from tensorflow.core.example import example_pb2

from serving.server.requests.checks import invalid
from serving.server.transport.json_values import Json, bytes_of, is_base64, kind_of, quoted

EXAMPLES, CONTEXT = "examples", "context"


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
        raise invalid(f"Example must be JSON object but got JSON {kind_of(value)}")
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
    if type(value) in (type(None), list) or (type(value) is dict and not is_base64(value)):
        raise invalid(f"Feature: {name} has element with unexpected JSON type: {kind_of(value)}")
    kind = {str: "bytes_list", dict: "bytes_list", float: "float_list"}.get(type(value), "int64_list")
    present = feature.WhichOneof("kind")
    if present not in (None, kind):
        raise invalid(f"Unexpected element type in feature: {name} expecting type: {present.removesuffix('_list')}")
    if type(value) in (str, dict):
        feature.bytes_list.value.append(bytes_of(value))
    elif type(value) is float:
        with np.errstate(over="ignore"):
            feature.float_list.value.append(np.float32(value))
    elif not -(2**63) <= value < 2**63:
        raise invalid(f"Feature: {name} has uint64_t element. Only int64_t is supported.")
    else:
        feature.int64_list.value.append(int(value))
