"""What of a request is looked at before any of its tensors is built: in the order and the words of TensorFlow Serving.

A few bytes of message can stand for gigabytes, so all that can be refused is refused on its names, types and sizes. Shapes
are not compared with the signature's: TensorFlow Serving leaves that to the graph, and clients rely on its leniency.
"""

from itertools import islice

from serving import tensors
from serving.refusal import Refused

MOST_NAMES = 1000  # that an error looks at; its text holds fewer


def invalid(message):
    return Refused("INVALID_ARGUMENT", message)


def read(signature, protos, output_filter, limits, hold):
    """Checks a request, then reads its tensors.

    Args:
        signature: `SignatureDef`.
        protos: {name: `TensorProto`}.
        output_filter: Names of the outputs wanted; none means all.
        limits: `Limits`.
        hold: Called with the bytes that the tensors will take, before they do.

    Returns:
        ({name: array}, names of the outputs wanted).

    Raises:
        Refused: With TensorFlow Serving's code and text, where it has one.
    """
    names(signature, protos)
    layouts = {name: _parsed(name, tensors.layout, protos[name]) for name in signature.inputs}
    wanted = outputs(signature, output_filter)
    types(signature, {name: layout.dtype for name, layout in layouts.items()})
    hold(limits.check(layouts))
    return {name: _parsed(name, tensors.to_array, protos[name]) for name in layouts}, wanted


def _parsed(name, function, proto):
    try:
        return function(proto)
    except tensors.NotHeld as error:
        raise invalid(f"input {name}: {error}") from None
    except ValueError:
        raise invalid(f"tensor parsing error: {name}") from None


def names(signature, inputs):
    """Raises `Refused` unless the inputs are those of the signature."""
    expected = signature.inputs
    if len(inputs) == len(expected) and all(name in inputs for name in expected):
        return
    known, given = set(expected), set(islice(inputs, MOST_NAMES))
    if len(inputs) != len(expected):
        raise invalid(
            f"input size does not match signature: {len(inputs)}!={len(known)} len({{{','.join(sorted(given))}}}) != "
            f"len({{{','.join(sorted(known))}}}). Sent extra: {{{','.join(sorted(given - known))}}}. "
            f"Missing but required: {{{','.join(sorted(known - given))}}}."
        )
    name = min(known - given)
    raise invalid(
        f"Signature input alias: {name}(feed name: {expected[name].name}) not found in request and no default "
        f"value provided. Inputs expected to be in the request {{{','.join(sorted(given))}}}, or default input alias set: "
    )


def outputs(signature, output_filter):
    """Returns the names of the outputs wanted, sorted; raises `Refused` unless they are the signature's, each once."""
    seen = set()
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


def types(signature, given):
    """Raises `Refused` unless the types {name: number} are the signature's."""
    wrong = [name for name, number in given.items() if signature.inputs[name].dtype != number]
    if wrong:
        name = min(wrong)
        expected = signature.inputs[name].dtype
        raise invalid(
            f"Expects arg[{sorted(given).index(name)}] to be {tensors.NAMES.get(expected, f'type {expected}')} "
            f"but {tensors.NAMES[given[name]]} is provided"
        )
