"""Checkpoints: the whole state of a run at a step, in one file that is complete or absent.

RUN/checkpoint/step-00000120.safetensors holds every variable of the model (weights, states of the dropout's seeds) and of
the optimiser, in their order, and as metadata the rest of the run's state and a digest of everything. It is written under
a temporary name, flushed to disk and renamed; only then is the one before it deleted.
"""

import hashlib
import json
import os
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from trainer.errors import Failure
from trainer.writing import sync_folder


def save(folder: str | Path, variables: Sequence[keras.Variable], state: dict[str, Any]) -> None:
    """Writes the checkpoint of step `state["step"]`, then deletes those before it.

    Args:
        folder: Of the checkpoints.
        variables: The same, in the same order, as `load` will get.
        state: The rest of the run's state, as JSON can hold it.

    Raises:
        Failure: It cannot be written; the checkpoint before it is intact.
    """
    folder = Path(folder)
    path = folder / f"step-{state['step']:08d}.safetensors"
    part = path.with_name(path.name + ".part")
    arrays = arrays_of(variables)
    text = json.dumps(state)
    try:
        make_folder(folder)
        tensors = {f"{i:05d}": array for i, array in enumerate(arrays)}
        _save_tensors(tensors, part, {"state": text, "digest": digest(arrays, text.encode())})
        with open(part, "rb") as file:
            os.fsync(file.fileno())
        os.replace(part, path)
        sync_folder(folder)
        for old in (*folder.glob("step-*.safetensors"), *folder.glob("*.part")):
            if old != path:
                old.unlink()
    except OSError as error:
        part.unlink(missing_ok=True)
        size = sum(array.nbytes for array in arrays) / 1e6
        before = newest(folder)
        kept = f"{before} is whole" if before else "there is none before it"
        raise Failure(
            f"{path}: checkpoint of {size:,.1f} MB not written ({error.strerror}); {kept}. Make room, and the same "
            "command (without --overwrite) goes on"
        ) from None


def load(folder: str | Path, variables: Sequence[keras.Variable]) -> dict[str, Any] | None:
    """Sets the variables from the newest checkpoint and returns its state; None if there is no checkpoint.

    Raises:
        Failure: It is damaged, or is not of these variables.
    """
    path = newest(Path(folder))
    if path is None:
        return None
    remedy = "--overwrite starts anew"
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata()
            arrays = [file.get_tensor(name) for name in sorted(file.keys())]
        actual, expected = digest(arrays, metadata["state"].encode()), metadata["digest"]
    except (OSError, SafetensorError, KeyError, TypeError) as error:
        raise Failure(f"{path}: expected a checkpoint, found a damaged file ({error}); {remedy}") from None
    if actual != expected:
        raise Failure(f"{path}: damaged: expected digest {expected}, found {actual}; {remedy}")
    types = [(array.shape, array.dtype.name) for array in arrays]
    expected_types = [(tuple(variable.shape), variable.dtype) for variable in variables]
    if types != expected_types:
        raise Failure(
            f"{path}: expected the {len(expected_types)} variables of this model, found {len(types)} others; {remedy}"
        )
    for variable, array in zip(variables, arrays, strict=True):
        variable.assign(array)
    return json.loads(metadata["state"])


def check_room(folder: Path, size: int, weights: int = 0, kept: int = 0) -> None:
    """Checks that the disk has room for two checkpoints, because the old one is deleted last, and for the weights that lie
    beside them; what exists needs none.

    Args:
        folder: Of the run.
        size: Bytes of a checkpoint.
        weights: Bytes of a file of weights.
        kept: Such files that are kept until the run ends: of the last epochs, or of the best.

    Raises:
        Failure: It has not.
    """
    exists = newest(folder / "checkpoint") is not None
    files = [*(folder / "checkpoint").glob("epoch-*.safetensors"), *(folder / "checkpoint").glob("best.safetensors")]
    more = max(kept - len(files), 0)
    need, free = size * (1 if exists else 2) + weights * more, shutil.disk_usage(folder).free
    if free < need:
        purpose = "for another checkpoint" if exists else "for two checkpoints"
        purpose += f" and the weights of {more} epoch{'s' * (more > 1)}" if more else ""
        raise Failure(
            f"{folder}: expected {need / 1e6:,.1f} MB free, {purpose}, found {free / 1e6:,.1f} MB; no step was made"
        )


def newest(folder: Path) -> Path | None:
    """Returns the path of the newest checkpoint, or None."""
    return max(folder.glob("step-*.safetensors"), key=lambda path: int(path.stem[5:]), default=None)


def arrays_of(variables: Sequence[keras.Variable]) -> list[np.ndarray]:
    """Returns the values of variables, contiguous in C order."""
    return [np.asarray(variable, order="C") for variable in variables]  # TensorFlow copies them, once


def digest(arrays: Sequence[np.ndarray], *contents: bytes) -> str:
    """Returns the first 16 digits of the SHA-256 of arrays (shapes, types and bytes) and byte strings."""
    hasher = hashlib.sha256()
    for array in arrays:
        hasher.update(f"{array.shape}{array.dtype}".encode())
        hasher.update(array.data)
    for content in contents:
        hasher.update(b"%d:" % len(content))
        hasher.update(content)
    return hasher.hexdigest()[:16]


def make_folder(folder: Path) -> None:
    """Makes a folder that outlasts a power cut, unless it exists."""
    if not folder.exists():
        folder.mkdir()
        sync_folder(folder.parent)


def _save_tensors(tensors, path, metadata):
    try:
        save_file(tensors, path, metadata=metadata)
    except SafetensorError as error:
        code = re.search(r"os error (\d+)", str(error))
        if not code:
            raise
        raise OSError(int(code[1]), os.strerror(int(code[1])), str(path)) from None
