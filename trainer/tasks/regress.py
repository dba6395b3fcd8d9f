"""A number for a text, or for two: how alike they are, how many stars a review gave.

Glossary of shapes: B batch, N rows.
"""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from models import heads
from trainer import metrics
from trainer.data.schema import Row
from trainer.tasks import texts
from trainer.tasks.kind import Kind, Transformers
from trainer.tasks.setup import Setup
from trainer.training import batches


def examples(rows: list[Row], setup: Setup, path: str | Path | None = None) -> tuple[Setup, batches.Examples]:
    """See `trainer.tasks.kind.Kind`."""
    targets = tf.constant([row[setup.task.target] for row in rows], tf.float32)
    return replace(setup, labels=[setup.task.target]), texts.examples(rows, setup, targets)


def begin(model: keras.Model, source: batches.Examples) -> None:
    """Sets the head's bias to the mean of the targets: Adam would need thousands of steps to get there."""
    model.get_layer("classifier").bias.assign([tf.reduce_mean(source.targets)])


def loss(targets: tf.Tensor, logits: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """See `trainer.tasks.kind.Kind`: the squared error; targets [B], logits [B, 1]."""
    return tf.reduce_sum(tf.square(logits[:, 0] - targets)), tf.cast(tf.size(targets), tf.float32)


def functions(model: keras.Model, setup: Setup) -> dict[str, Any]:
    """Returns {"serving_default"}: a text [B], or two, -> score [B]."""
    return {"serving_default": texts.function(model, setup, lambda logits: {"score": logits[:, 0]})}


class Scorer:
    """Scores a model as it is when called: () -> {pearson, spearman, loss, examples}; the loss is the mean squared error.

    Arguments as `trainer.tasks.kind.MakeScorer`.
    """

    def __init__(
        self, model: keras.Model, setup: Setup, rows: list[Row], batch_size: int, *, tune: bool = False
    ) -> None:
        self.setup, self.rows, self.metric = setup, rows, setup.task.metric
        self.golds = [float(row[setup.task.target]) for row in rows]
        _, self.examples = examples(rows, setup)
        signature = [setup.reader.inputs, KIND.targets]
        self.logits = texts.Logits(model, loss, signature, self.examples, batch_size)

    def __call__(self, tick: Callable[[], None] = lambda: None) -> dict[str, Any]:
        """Returns the scores; `tick` is called between batches."""
        logits, mean_loss = self.logits(tick)
        self.predicted = [float(value) for value in logits[:, 0]]
        scores = {name: metrics.CORRELATIONS[name](self.golds, self.predicted) for name in ("pearson", "spearman")}
        return {name: round(value, 6) for name, value in (scores | {"loss": mean_loss}).items()} | {
            "examples": len(self.rows)
        }

    def predictions(self, path: str | Path, column: str | int | None = None) -> dict[str, str]:
        """Returns {ending: content} of files of what was predicted: JSON lines."""
        lines = [row | {"predicted": round(value, 6)} for row, value in zip(self.rows, self.predicted, strict=True)]
        return {"": "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)}

    def variants(self) -> dict[str, Any]:
        """Returns {name: scores} of other forms of the rows; there are none."""
        return {}

    def __str__(self) -> str:
        low, high = np.min(self.golds), np.max(self.golds)
        return f"{self.examples}; gold from {low:g} to {high:g}, {np.mean(self.golds):g} on average"


KIND = Kind(
    needs=("pooled",),
    wants={"pooled_only": True},
    layers=("classifier",),
    targets=tf.TensorSpec([None], tf.float32),
    build=heads.classify,
    examples=examples,
    begin=begin,
    loss=loss,
    functions=functions,
    scorer=Scorer,
    transformers=Transformers(
        "ForSequenceClassification",
        "text-classification",
        """\
import torch
from transformers import AutoTokenizer, {class_name}

tokenizer, model = AutoTokenizer.from_pretrained("{name}"), {class_name}.from_pretrained("{name}")
inputs = tokenizer("a text", return_tensors="pt", truncation=True)  # of two texts: tokenizer("one", "other", ...)
print(float(model(**inputs).logits[0, 0]))""",
        problem_type="regression",
    ),
)
