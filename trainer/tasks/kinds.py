"""How each kind of task works: from rows to targets, a head, a loss, and from logits to answers; a module each."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import keras
import tensorflow as tf

from trainer.data.schema import Row
from trainer.tasks import classify, span, tag
from trainer.tasks.setup import Setup
from trainer.tasks.transformers import Transformers
from trainer.training.batches import Source


class Scorer(Protocol):
    """Says how good a model is, as it is when called, on rows that it has made ready once."""

    metric: str
    """The score by which epochs are compared, more is better."""

    def __call__(self, tick: Callable[[], None] = ...) -> dict[str, Any]:
        """Returns the scores by name; `tick` is called between batches."""

    def predictions(self, path: str | Path, column: str | int | None = None) -> dict[str, str]:
        """Returns {ending of the file's name: content} of what was predicted at the last call."""

    def variants(self) -> dict[str, Any]:
        """Returns {name: scores} of other forms of the rows."""


class Kind(Protocol):
    """What the module of a kind has."""

    NEEDS: tuple[str, ...]
    """What the encoder must give, of `trainer.architectures.base.GIVES`."""
    WANTS: dict[str, Any]
    """What the encoder is built with where all of its outputs are not needed, as {"pooled_only": True}."""
    LAYERS: tuple[str, ...]
    """Names of its own layers, which pretrained weights need not have."""
    TARGETS: tf.TensorSpec
    """Of the targets of a batch."""
    TRANSFORMERS: Transformers
    """What transformers calls it."""

    def build(self, encoder: keras.Model, classes: int, *, dropout: float, seed: int) -> keras.Model:
        """Returns the model, from the encoder's inputs to logits: a head of `models.heads`."""

    def examples(self, rows: list[Row], setup: Setup, path: str | Path | None = None) -> tuple[Setup, Source]:
        """Returns (the setup with what the data says, what a model is trained on)."""

    def loss(self, targets: tf.Tensor, logits: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns its sum over the batch, and over how many: divided once, by all of a step."""

    def functions(self, model: keras.Model, setup: Setup) -> dict[str, Any]:
        """Returns what is exported, by signature: functions from raw strings to decoded answers."""

    def Scorer(
        self, model: keras.Model, setup: Setup, rows: list[Row], batch_size: int, *, tune: bool = False
    ) -> Scorer:
        """Returns the `Scorer` of rows with gold values; `tune`: it may choose what the setup leaves open."""


KINDS: dict[str, Kind] = {"classify": classify, "tag": tag, "span": span}
