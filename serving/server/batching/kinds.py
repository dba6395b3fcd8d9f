"""What can be known of a model's batches: from its signatures, and from runs of single requests."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from google.protobuf.message import Message

TRIALS = 8  # batches of a kind of which three members run alone, too, for a comparison


class Kind:
    """What is known of requests of the same outputs, padded or not."""

    def __init__(self) -> None:
        self.batched = True
        self.trials = TRIALS
        # {(output, axis): the inputs' dimensions that it was always as long as}
        self._sources: dict[tuple, set[tuple[str, int]]] = {}

    def sources(self, output: tuple[int, str], axis: int, inputs: Mapping[str, np.ndarray]) -> set[tuple[str, int]]:
        """Returns the inputs' dimensions (name, axis) that an output's dimension may be as long as."""
        every = {(name, j) for name, value in inputs.items() for j in range(1, value.ndim)}
        return self._sources.get((output, axis), every)

    def learn(self, inputs: Mapping[str, np.ndarray], outputs: Sequence[Mapping[str, np.ndarray]]) -> None:
        """Takes note of how long the outputs of a single run are."""
        for i, values in enumerate(outputs):
            for name, value in values.items():
                for axis in range(1, value.ndim):
                    same = {
                        (source, j)
                        for source, j in self.sources((i, name), axis, inputs)
                        if inputs[source].shape[j] == value.shape[axis]
                    }
                    self._sources[((i, name), axis)] = same


class Shapes(NamedTuple):
    """Of a signature: {input or output: its dimensions, -1 where unknown, or None}, and why it is not batched."""

    inputs: dict[str, Any]
    outputs: dict[str, Any]
    reason: str
    alone: frozenset[str]  # outputs that are not batched


def shapes_of(signatures: Mapping[str, Message]) -> dict[str, Shapes]:
    """Returns {signature: its `Shapes`} of {name: `SignatureDef`}."""
    found = {}
    for name, signature in signatures.items():
        inputs = {alias: _dimensions(info) for alias, info in signature.inputs.items()}
        fixed = sorted(alias for alias, dimensions in inputs.items() if not dimensions or dimensions[0] >= 0)
        outputs = {alias: _dimensions(info) for alias, info in signature.outputs.items()}
        alone = frozenset(
            alias for alias, sizes in outputs.items() if sizes is not None and (not sizes or sizes[0] >= 0)
        )
        reason = f"input {fixed[0]} has no first dimension of any size" if fixed else ""
        if not inputs:
            reason = "it has no input"
        elif len(alone) == len(outputs):
            reason = reason or "no output has a first dimension of any size"
        found[name] = Shapes(inputs, outputs, reason, alone)
    return found


def _dimensions(info):
    """Returns the dimensions of a `TensorInfo`, -1 where unknown; None if even their number is."""
    if info.WhichOneof("encoding") not in ("name", None) or info.tensor_shape.unknown_rank:
        return None
    return tuple(dimension.size for dimension in info.tensor_shape.dim)
