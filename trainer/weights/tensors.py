"""A model's variables <-> the tensors of a file, by a table of names; every tensor is accounted for. Imports no framework."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from safetensors.numpy import save

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class TensorFile:
    """The tensors of a file: a function that reads each of them, by Hugging Face's names and in its layout."""

    path: Path  # for messages
    readers: dict[str, Callable[[], np.ndarray]]
    names: dict[str, str]  # name -> name in the file
    passed_over: int  # variables of an optimiser


@dataclass(frozen=True)
class Stored:
    """Where a variable is stored: in tensors that are concatenated in it along its last axis.

    Args:
        names: Of the tensors.
        transposed: They are [out, in] in the file.
    """

    names: tuple[str, ...]
    transposed: bool = False


def by_path(model: keras.Model) -> dict[str, Stored]:
    """Returns the table of a model without published weights: each tensor is named by the path of its variable."""
    return {variable.path: Stored((variable.path,)) for variable in model.weights}


def load(
    model: keras.Model, file: TensorFile, table: dict[str, Stored], *, ignore: Iterable[str] = (), prefix: str = ""
) -> list[str]:
    """Sets the weights of a model from a file of tensors.

    Args:
        model: Whose variables the table names.
        file: See `trainer.weights.pretrained.read_tensors`.
        table: {path of a variable: where it is stored}.
        ignore: Names of layers (a new head) that the file need not have; they keep their values.
        prefix: Of the table's names, which a file of the bare encoder does not have.

    Returns:
        The names of the tensors in the file that were not used, except those of an optimiser.

    Raises:
        ValueError: A tensor, which is named, is missing, cannot be read, or has another shape than the model's.
    """
    in_file = _names_in(file, prefix)
    variables = {variable.path: variable for variable in model.variables}
    used = set()
    for path, stored in table.items():
        if path.split("/")[0] in ignore:
            continue
        shape = tuple(variables[path].shape)
        shape = (*shape[:-1], shape[-1] // len(stored.names)) if shape else shape  # of each tensor
        tensors = []
        for name in stored.names:
            name = in_file(name)
            if name not in file.readers:
                raise ValueError(f"{file.path}: tensor {name} is missing ({len(file.readers)} others are there)")
            used.add(name)
            tensor = file.readers[name]()
            expected = shape[::-1] if stored.transposed else shape
            if tensor.shape != expected:
                raise ValueError(
                    f"{file.path}: tensor {name} has shape {list(tensor.shape)}, expected {list(expected)}"
                )
            tensors.append(tensor.T if stored.transposed else tensor)
        value = np.concatenate(tensors, axis=-1) if len(tensors) > 1 else tensors[0]
        variables[path].assign(value.astype(variables[path].dtype))
    return sorted(file.names[name] for name in file.readers.keys() - used)


def absent(file: TensorFile, table: dict[str, Stored], layers: Iterable[str], *, prefix: str = "") -> tuple[str, ...]:
    """Returns those of some layers of which a file has no tensor; args as `load`."""
    in_file = _names_in(file, prefix)
    there = {
        path.split("/")[0] for path, stored in table.items() if {*map(in_file, stored.names)} & file.readers.keys()
    }
    here = {path.split("/")[0] for path in table}
    return tuple(layer for layer in layers if layer in here - there)


def _names_in(file, prefix):
    """Returns the function from a name of a table to that of the tensor in a file, which may hold the bare encoder."""
    bare = not any(name.startswith(prefix) for name in file.readers)
    return lambda name: name.removeprefix(prefix) if bare else name


def to_bytes(model: keras.Model, table: dict[str, Stored]) -> bytes:
    """Returns the weights of a model as the content of a `model.safetensors`, by the names of a table."""
    variables = {variable.path: variable for variable in model.variables}
    tensors = {}
    for path, stored in table.items():
        value = np.asarray(variables[path])
        arrays = np.split(value, len(stored.names), axis=-1) if len(stored.names) > 1 else [value]
        for name, array in zip(stored.names, arrays, strict=True):
            tensors[name] = np.array(array.T if stored.transposed else array, order="C")  # a scalar stays one
    return save(tensors, metadata={"format": "pt"})
