"""The mean of the weights of the last epochs, in place of those of the last one.

Reference: Vaswani et al. 2017 (arXiv 1706.03762), section 6.1, whose checkpoints were averaged.
"""

from pathlib import Path

import keras
import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from trainer import writing
from trainer.errors import Failure
from trainer.training import checkpoint

Kept = dict[str, str]  # {epoch: digest of the file of its weights}


def keep(folder: Path, model: keras.Model, epoch: int, kept: Kept, number: int) -> Kept:
    """Writes the weights of an epoch that ended, and deletes those of epochs that are not among the last `number` any more.

    Args:
        folder: Of the checkpoints.
        model: As it is at the end of the epoch.
        epoch: From 1.
        kept: Those of the epochs before.
        number: How many to keep.

    Returns:
        What is kept now.
    """
    checkpoint.make_folder(folder)
    content = save({f"{i:05d}": array for i, array in enumerate(checkpoint.arrays_of(model.weights))})
    writing.write(_path(folder, epoch), content)
    kept = kept | {str(epoch): checkpoint.digest([], content)}
    for old in list(kept)[:-number]:
        _path(folder, int(old)).unlink(missing_ok=True)
    return dict(list(kept.items())[-number:])


def set_mean(folder: Path, model: keras.Model, kept: Kept) -> None:
    """Sets a model's weights to the mean of those that are kept.

    Raises:
        Failure: A file of them is missing or damaged.
    """
    sums = [np.zeros(variable.shape) for variable in model.weights]
    for epoch, digest in kept.items():
        path = _path(folder, int(epoch))
        try:
            content = path.read_bytes()
            tensors = load(content) if checkpoint.digest([], content) == digest else {}
        except (OSError, SafetensorError):
            tensors = {}
        if not tensors:
            raise Failure(
                f"{path}: expected the weights of epoch {epoch}, found another, a damaged file or none; --overwrite starts anew"
            )
        for total, name in zip(sums, sorted(tensors), strict=True):
            total += tensors[name]
    for variable, total in zip(model.weights, sums, strict=True):
        variable.assign((total / len(kept)).astype(variable.dtype))


def _path(folder, epoch):
    return folder / f"epoch-{epoch:04d}.safetensors"
