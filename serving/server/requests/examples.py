"""Classify, Regress and MultiInference: `tf.Example`s in, classes with scores or values out.

The examples stay the bytes that they are: parsing them here would take time and fifty times their memory, and the graph
parses them anyway. So do TensorFlow Serving's rules of what a signature needs, its checks of what comes out, its texts.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from google.protobuf import descriptor_pb2, descriptor_pool, text_format, wrappers_pb2
from google.protobuf.message import Message
from tensorflow_serving.apis import classification_pb2, model_pb2, regression_pb2

from serving import tensors
from serving.declare import declare
from serving.server.refusal import Refused
from serving.server.requests.checks import invalid, types
from serving.server.requests.jobs import Servable, Steps, Values, job_of
from serving.server.requests.limits import Limits

DEFAULT = "serving_default"  # the signature that is meant where none is named
CLASSIFY, REGRESS, PREDICT = (f"tensorflow/serving/{name}" for name in ("classify", "regress", "predict"))
INPUTS, CLASSES, SCORES, OUTPUTS = "inputs", "classes", "scores", "outputs"  # names that their signatures must use


# Requests with `tf.Example`s as bytes, which is what they are on the wire
DECLARED = {
    "List": {"examples": (1, "repeated bytes"), "context": (2, "bytes")},
    "Input": {"example_list": (1, "List"), "example_list_with_context": (2, "List")},
    "ExamplesRequest": {"model_spec": (1, "ModelSpec"), "input": (2, "Input")},
    "Task": {"model_spec": (1, "ModelSpec"), "method_name": (2, "string")},
    "MultiInferenceRequest": {"tasks": (1, "repeated Task"), "input": (2, "Input")},
}


def _pool():
    """Returns a pool of its own, with `ModelSpec`: in the default one the requests have these names."""
    pool = descriptor_pool.DescriptorPool()
    for file in (wrappers_pb2, model_pb2):
        proto = descriptor_pb2.FileDescriptorProto()
        file.DESCRIPTOR.CopyToProto(proto)
        pool.Add(proto)
    return pool


_classes = declare(_pool(), "serving/examples.proto", DECLARED, [model_pb2.DESCRIPTOR.name], one_of={"Input": "kind"})
RawRequest, RawMultiRequest = _classes["ExamplesRequest"], _classes["MultiInferenceRequest"]


class Kind(NamedTuple):
    """One of the two ways to read a signature."""

    outputs: Callable[[Message], list[str]]  # which outputs of a signature it needs
    result: type[Message]
    fill: Callable[[Values, int, Message], None]  # (outputs, number of examples, empty result)


def run(
    kind: Kind, servable: Servable, name: str, given: Message, limits: Limits, reserve: Callable[[int], None]
) -> Steps:
    """Steps that return the result of one signature for an `Input`; raise `Refused`."""
    if name not in servable.signatures:
        raise invalid(f"No signature was found with the name: {name}")
    signature = servable.signatures[name]
    outputs = kind.outputs(signature)
    examples = serialized(given, limits, reserve)
    types(signature, {INPUTS: tensors.STRING})
    result = kind.result()
    (values,) = yield job_of(servable, {INPUTS: examples}, [(name, outputs)])
    kind.fill(values, len(examples), result)
    return result


def run_together(
    tasks: Sequence[tuple[str, str]],
    servable: Servable,
    given: Message,
    limits: Limits,
    reserve: Callable[[int], None],
) -> Steps:
    """Steps that return the results of several signatures, (signature, method)s, for one `Input`; raise `Refused`."""
    requested: list[tuple[str, list[str]]] = []
    for name, method in tasks:
        if any(name == other for other, _ in requested):
            raise invalid(f"Duplicate evaluation of signature: {name}")
        if name not in servable.signatures:
            raise invalid(f"Requested signature not found in model graph: {name}")
        if method not in KINDS:
            raise Refused("UNIMPLEMENTED", f"Unsupported signature method_name: {method}")
        requested.append((name, KINDS[method].outputs(servable.signatures[name])))
    examples = serialized(given, limits, reserve)
    for name, _ in requested:
        types(servable.signatures[name], {INPUTS: tensors.STRING})
    results = []
    outputs = yield job_of(servable, {INPUTS: examples}, requested)
    for (_, method), values in zip(tasks, outputs, strict=True):
        results.append(KINDS[method].result())
        KINDS[method].fill(values, len(examples), results[-1])
    return results


def serialized(given: Message, limits: Limits, reserve: Callable[[int], None]) -> np.ndarray:
    """Returns the examples of an `Input` as bytes [B], each with the context before it, as TensorFlow Serving joins them.

    Raises:
        Refused: There are none, or more than the limits allow.
    """
    chosen = _chosen(given)
    context = chosen.context if given.HasField("example_list_with_context") else b""
    count = len(chosen.examples)
    if not count:
        raise invalid("Input is empty.")
    size = sum(map(len, chosen.examples)) + count * (len(context) + tensors.STRING_BYTES)
    reserve(limits.check({INPUTS: tensors.Layout(tensors.STRING, (count,), count, size, count)}))
    examples = np.empty(count, object)
    examples[:] = [context + example for example in chosen.examples]
    return examples


def count(given: Message) -> int:
    """Returns the number of examples of an `Input`."""
    return len(_chosen(given).examples)


def _chosen(given):
    return given.example_list_with_context if given.HasField("example_list_with_context") else given.example_list


def _one_input(signature, what):
    if len(signature.inputs) != 1:
        raise invalid("Expected one input Tensor.")
    return f"No {what} inputs found in SignatureDef: {text_format.MessageToString(signature)}"


def _classify_outputs(signature):
    missing = _one_input(signature, "classification")
    if len(signature.outputs) not in (1, 2):
        raise invalid(f"Expected one or two output Tensors, found {len(signature.outputs)}")
    if INPUTS not in signature.inputs:
        raise Refused("FAILED_PRECONDITION", missing)
    outputs = [name for name in (CLASSES, SCORES) if name in signature.outputs]
    if not outputs:
        text = text_format.MessageToString(signature)
        raise Refused(
            "FAILED_PRECONDITION",
            f'Expected classification signature outputs to contain at least one of "classes" or "scores". Signature was: {text}',
        )
    return outputs


def _regress_outputs(signature):
    missing = _one_input(signature, "regression")
    if len(signature.outputs) != 1:
        raise invalid("Expected one output Tensor.")
    if INPUTS not in signature.inputs:
        raise Refused("FAILED_PRECONDITION", missing)
    if OUTPUTS not in signature.outputs:
        text = text_format.MessageToString(signature)
        raise Refused("FAILED_PRECONDITION", f"No regression outputs found in SignatureDef: {text}")
    return [OUTPUTS]


def _fill_classes(values, count, result):
    for name, dtype, kind in ((CLASSES, "DT_STRING", "O"), (SCORES, "DT_FLOAT", "f")):
        if name not in values:
            continue
        array = values[name]
        if len(array.shape) != 2:
            raise invalid(f"Expected Tensor shape: [batch_size num_classes] but got {tensors.bracketed(array.shape)}")
        if array.dtype.kind != kind or (kind == "f" and array.dtype.itemsize != 4):
            raise invalid(f"Expected {name} Tensor of {dtype}. Got: {_dtype(array)}")
        if array.shape[0] != count:
            raise invalid(f"Expected {name} output batch size of {count}. Got: {array.shape[0]}")
    classes, scores = values.get(CLASSES), values.get(SCORES)
    if classes is not None and scores is not None and classes.shape != scores.shape:
        raise invalid(
            f"Tensors class and score should match in dim_size(1). Got {classes.shape[1]} vs. {scores.shape[1]}"
        )
    width = (scores if classes is None else classes).shape[1]
    none = [[None] * width] * count
    labels, numbers = (none if array is None else array.tolist() for array in (classes, scores))
    for row, (names, row_scores) in enumerate(zip(labels, numbers, strict=True)):
        added = result.classifications.add()
        for name, score in zip(names, row_scores, strict=True):
            try:
                added.classes.add(label=name, score=score)
            except ValueError:  # upstream sends such a label, which no client can read
                raise invalid(f"expected classes in UTF-8, found {name!r} in row {row}") from None


def _fill_values(values, count, result):
    array = values[OUTPUTS]
    if not (len(array.shape) == 1 or (len(array.shape) == 2 and array.shape[1] == 1)):
        raise invalid(
            f"Expected output Tensor shape to be either [batch_size] or [batch_size, 1] but got {tensors.bracketed(array.shape)}"
        )
    if array.shape[0] != count:
        raise invalid(f"Input batch size did not match output batch size: {count} vs. {array.shape[0]}")
    if array.dtype != np.float32:
        raise invalid(f"Expected output Tensor of DT_FLOAT.  Got: {_dtype(array)}")
    for value in array.reshape(-1).tolist():
        result.regressions.add(value=value)


def _dtype(array):
    return f"DT_{tensors.NAMES[tensors.NUMBERS[array.dtype]].upper()}"


KINDS = {
    CLASSIFY: Kind(_classify_outputs, classification_pb2.ClassificationResult, _fill_classes),
    REGRESS: Kind(_regress_outputs, regression_pb2.RegressionResult, _fill_values),
}
