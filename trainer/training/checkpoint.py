"""Checkpoints: all that a run is at a step, in one file that is there whole or not at all.

RUN/checkpoint/step-00000120.safetensors holds every variable of the model (weights, states of the dropout's seeds) and of
the optimiser, in their order, and as metadata the rest of the run's state and a digest of everything. It is written under
a temporary name, flushed to disk and renamed; the one before it goes only then.
"""

import hashlib
import json
import os
import re
import shutil
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from trainer.errors import Failure
from trainer.writing import sync_folder


def save(folder, variables, state):
    """Writes the checkpoint of step `state["step"]`, then deletes those before it.

    Args:
        folder: Of the checkpoints.
        variables: Keras variables; the same, in the same order, as `load` will get.
        state: What else the run is: a dict that JSON holds.

    Raises:
        Failure: It cannot be written; the checkpoint before it is whole.
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
        for other in (*folder.glob("step-*.safetensors"), *folder.glob("*.part")):
            if other != path:
                other.unlink()
    except OSError as error:
        part.unlink(missing_ok=True)
        size = sum(array.nbytes for array in arrays) / 1e6
        before = newest(folder)
        kept = f"{before} is whole" if before else "there is none before it"
        raise Failure(
            f"{path}: checkpoint of {size:,.1f} MB not written ({error.strerror}); {kept}. Make room, and the same "
            "command (without --overwrite) goes on"
        ) from None


def load(folder, variables):
    """Sets the variables from the newest checkpoint and returns its state; None where there is none.

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
        found, expected = digest(arrays, metadata["state"].encode()), metadata["digest"]
    except (OSError, SafetensorError, KeyError, TypeError) as error:
        raise Failure(f"{path}: expected a checkpoint, found a damaged file ({error}); {remedy}") from None
    if found != expected:
        raise Failure(f"{path}: damaged: expected digest {expected}, found {found}; {remedy}")
    shapes = [(array.shape, array.dtype.name) for array in arrays]
    wanted = [(tuple(variable.shape), variable.dtype) for variable in variables]
    if shapes != wanted:
        raise Failure(
            f"{path}: expected the {len(wanted)} variables of this model, found {len(shapes)} others; {remedy}"
        )
    for variable, array in zip(variables, arrays, strict=True):
        variable.assign(array)
    return json.loads(metadata["state"])


def check_room(folder, size):
    """Checks that two checkpoints of `size` bytes find room, or one beside that which is there: the old one goes last.

    Raises:
        Failure: They do not.
    """
    there = newest(folder / "checkpoint") is not None
    need, free = size if there else 2 * size, shutil.disk_usage(folder).free
    if free < need:
        what = "for another checkpoint" if there else "for two checkpoints"
        raise Failure(
            f"{folder}: expected {need / 1e6:,.1f} MB free, {what}, found {free / 1e6:,.1f} MB; no step was made"
        )


def newest(folder):
    """Returns the path of the newest checkpoint, or None."""
    return max(folder.glob("step-*.safetensors"), key=lambda path: int(path.stem[5:]), default=None)


def arrays_of(variables):
    return [np.array(variable, order="C") for variable in variables]


def digest(arrays, *contents):
    """Returns the SHA-256 of arrays (shapes, types and bytes) and byte strings, the first 16 digits of it."""
    hasher = hashlib.sha256()
    for array in arrays:
        hasher.update(f"{array.shape}{array.dtype}".encode())
        hasher.update(array.data)
    for content in contents:
        hasher.update(b"%d:" % len(content))
        hasher.update(content)
    return hasher.hexdigest()[:16]


def make_folder(folder):
    """Makes a folder, if it is not there, that outlasts a power cut."""
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
