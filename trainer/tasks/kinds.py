"""How each kind of task works: from rows to targets, a head, a loss, and from logits to answers; a module each."""

from typing import Any, Protocol

import keras
import tensorflow as tf

from trainer.tasks import classify, span, tag


class Kind(Protocol):
    """What the module of a kind has."""

    ENCODER: dict[str, Any]
    """What it asks of the builder of the encoder."""
    LAYERS: tuple[str, ...]
    """Names of its own layers, which pretrained weights need not have."""
    ARCHITECTURE: str
    """The class that transformers has for it."""
    TARGETS: tf.TensorSpec
    """Of the targets of a batch."""

    def build(self, encoder: keras.Model, classes: int, *, dropout: float, seed: int) -> keras.Model:
        """Returns the model, from the encoder's inputs to logits."""

    def examples(self, rows: list[dict], task, reading, path=None) -> tuple:
        """Returns (`Reading` with what the data says, `batches.Examples`)."""

    def loss(self, targets: tf.Tensor, logits: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns its sum over the batch, and over how many: divided once, by all of a step."""

    def functions(self, model: keras.Model, reading) -> dict[str, Any]:
        """Returns what is exported, by signature: raw strings to decoded answers."""

    def Scorer(self, model: keras.Model, reading, rows: list[dict], task, batch_size: int, *, tune=False):
        """Returns a function that says how good the model is when it is called."""


KINDS: dict[str, Kind] = {"classify": classify, "tag": tag, "span": span}
