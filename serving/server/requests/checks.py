"""Checks of a request before any of its tensors is built, in TensorFlow Serving's order and with its error messages.

A message of a few bytes can describe gigabytes of tensors, so a request is refused by its names, types and sizes where
possible. Shapes are not compared with the signature's: TensorFlow Serving leaves that to the graph, and clients rely on
its leniency.
"""

from collections.abc import Callable, Iterable, Mapping
from itertools import islice

from google.protobuf.message import Message

from serving import tensors
from serving.server.refusal import Refused
from serving.server.requests.limits import Limits

MAX_NAMES = 1000  # input names that an error considers; its message has room for fewer


def invalid(message: str) -> Refused:
    """Returns an INVALID_ARGUMENT refusal."""
    return Refused("INVALID_ARGUMENT", message)


def read(
    signature: Message,
    protos: Mapping[str, Message],
    output_filter: Iterable[str],
    limits: Limits,
    reserve: Callable[[int], None],
) -> tuple[dict[str, tensors.Value], list[str]]:
    """Checks a request, then reads its tensors.

    Args:
        signature: `SignatureDef`.
        protos: {name: `TensorProto`}.
        output_filter: Names of the requested outputs; empty for all.
        limits: Limits of one request.
        reserve: Called with the bytes that the tensors will take, before they are built.

    Returns:
        ({input: array}, names of the requested outputs, sorted).

    Raises:
        Refused: With TensorFlow Serving's code and message, where it has one.
    """
    names(signature, protos)
    given = [name for name in signature.inputs if name in protos]  # the others have defaults
    layouts = {name: _parsed(name, tensors.layout, protos[name]) for name in given}
    requested = outputs(signature, output_filter)
    types(signature, {name: layout.dtype for name, layout in layouts.items()})
    reserve(limits.check(layouts))
    return {name: _parsed(name, tensors.to_array, protos[name]) for name in layouts}, requested


def _parsed(name, parse, proto):
    try:
        return parse(proto)
    except ValueError:
        raise invalid(f"tensor parsing error: {name}") from None


def names(signature: Message, inputs: Mapping[str, object]) -> None:
    """Raises `Refused` unless the inputs are those of the signature; it may have defaults for some."""
    expected, defaults = signature.inputs, signature.defaults
    if len(inputs) == len(expected) and all(name in inputs for name in expected):
        return
    known, given = set(expected), set(islice(inputs, MAX_NAMES))
    if len(inputs) > len(expected) or (len(inputs) < len(expected) and not defaults):
        raise invalid(
            f"input size does not match signature: {len(inputs)}!={len(known)} len({{{','.join(sorted(given))}}}) != "
            f"len({{{','.join(sorted(known))}}}). Sent extra: {{{','.join(sorted(given - known))}}}. "
            f"Missing but required: {{{','.join(sorted(known - given))}}}."
        )
    missing = known - given - set(defaults)
    if not missing:
        return
    name = min(missing)
    raise invalid(
        f"Signature input alias: {name}(feed name: {expected[name].name}) not found in request and no default "
        f"value provided. Inputs expected to be in the request {{{','.join(sorted(given))}}}, or default input alias set: {','.join(sorted(defaults))}"
    )


def outputs(signature: Message, output_filter: Iterable[str]) -> list[str]:
    """Returns the names of the requested outputs, sorted; raises `Refused` for an unknown or repeated one."""
    seen: set[str] = set()
    for name in output_filter:
        if name not in signature.outputs:
            expected = ",".join(sorted(signature.outputs))
            raise invalid(
                f"output tensor alias not found in signature: {name} Outputs expected to be in the set {{{expected}}}."
            )
        if name in seen:
            raise invalid(f"duplicate output tensor alias: {name}")
        seen.add(name)
    return sorted(seen or signature.outputs)


def types(signature: Message, given: Mapping[str, int]) -> None:
    """Raises `Refused` unless the inputs' types, {name: `DataType` number}, are the signature's."""
    wrong = [name for name, dtype in given.items() if signature.inputs[name].dtype != dtype]
    if wrong:
        name = min(wrong)
        expected = signature.inputs[name].dtype
        raise invalid(
            f"Expects arg[{sorted(given).index(name)}] to be {tensors.NAMES.get(expected, f'type {expected}')} "
            f"but {tensors.NAMES[given[name]]} is provided"
        )
