"""How a kind of task works: from rows to targets, a head, a loss, and from logits to answers."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import keras
import tensorflow as tf

from trainer.data.schema import Row
from trainer.reports.outcomes import Outcomes
from trainer.tasks.parts import Parts
from trainer.tasks.setup import Setup
from trainer.training.batches import Measured
from trainer.training.step import Loss


class Scorer(Protocol):
    """Says how good a model is, as it is when called, on rows that it has made ready once."""

    metric: str
    """The score by which epochs are compared, more is better."""

    def __call__(self, tick: Callable[[], None] = ...) -> dict[str, Any]:
        """Returns the scores by name; `tick` is called between batches."""

    def predictions(self, path: str | Path, column: str | int | None = None) -> Mapping[str, str | list[Row]]:
        """Returns {ending of the file's name: content} of what was predicted at the last call; rows where any form will do."""

    def outcomes(self) -> Outcomes:
        """Returns what was seen at the last call, as reports read it."""

    def variants(self) -> dict[str, Any]:
        """Returns {name: scores} of other forms of the rows."""


class MakeScorer(Protocol):
    """Makes a `Scorer` of rows with gold values; `tune`: it may choose what the setup leaves open."""

    def __call__(
        self, model: keras.Model, setup: Setup, rows: list[Row], batch_size: int, *, tune: bool = False
    ) -> Scorer: ...


class Build(Protocol):
    """Returns the model of an encoder and a head of `models.heads`, from the encoder's inputs to logits, or what else the head
    gives."""

    def __call__(self, encoder: keras.Model, classes: int, *, dropout: float, seed: int) -> keras.Model: ...


@dataclass(frozen=True)
class Transformers:
    """What transformers and the Hugging Face hub call a kind, for runs that are given away.

    Args:
        model_class: The name of a model's class behind that of its family: `ForSequenceClassification`.
        pipeline: The task, as the hub names it.
        snippet: A program that asks a model of this kind; {class_name} and {name} are filled in.
        problem_type: What a classifier's configuration says where its loss is another one.
    """

    model_class: str
    pipeline: str
    snippet: str
    problem_type: str | None = None


@dataclass(frozen=True, kw_only=True)
class Kind:
    """How a kind of task works.

    Args:
        needs: What the encoder must give, of `trainer.architectures.base.GIVES`.
        wants: What the encoder is built with where not all of its outputs are read, as {"pooled_only": True}.
        layers: Names of its own layers, which pretrained weights need not have.
        targets: Of the targets of a batch.
        build: Of the model.
        examples: (rows, setup, path for messages) -> (the setup with what the data says, what a model is trained on).
        loss: (targets, what the model gives) -> (its sum over the batch, over how many): divided once, by all of a step.
        functions: (model, setup) -> what is exported, by signature: functions from raw strings to decoded answers.
        scorer: Of rows with gold values.
        parts: The same functions without the model, by signature, where they fall apart into strings, model and answers.
        transformers: Its names elsewhere; None: transformers has no such model.
        begin: (model, examples): sets what the data say of a new head's weights, if they say anything.
        weighted_loss: Weights of the classes -> a loss in which each example counts as much as its class weighs.
        smoothed_loss: Probability that is given to all units alike -> a loss.
        rates: {name of one of `layers`: times the learning rate}, of weights that begin further from where they end.
        draw: (model, setup, rows) -> a picture, PNG, of how the answers to some rows came about.
        decoders: The kinds that --decoder makes of this one, by its values.
    """

    needs: tuple[str, ...]
    wants: dict[str, Any]
    layers: tuple[str, ...]
    targets: tf.TensorSpec
    build: Build
    examples: Callable[[list[Row], Setup, str | Path | None], tuple[Setup, Measured]]
    loss: Loss
    functions: Callable[[keras.Model, Setup], dict[str, Any]]
    scorer: MakeScorer
    transformers: Transformers | None
    parts: Callable[[Setup], Mapping[str, Parts]] | None = None
    begin: Callable[[keras.Model, Any], None] | None = None
    weighted_loss: Callable[[Sequence[float]], Loss] | None = None
    smoothed_loss: Callable[[float], Loss] | None = None
    rates: Mapping[str, float] = field(default_factory=dict)
    draw: Callable[[keras.Model, Setup, Sequence[Row]], bytes] | None = None
    decoders: Mapping[str, "Kind"] = field(default_factory=dict)
