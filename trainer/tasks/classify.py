"""One of several labels for a text, or for two.

Glossary of shapes: B batch, C classes.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from models import heads
from trainer.data import files
from trainer.data.schema import Row
from trainer.metrics import METRICS
from trainer.tasks import texts
from trainer.tasks.kind import Kind, Transformers
from trainer.tasks.setup import Setup
from trainer.training import batches
from trainer.training.step import Loss


def examples(rows: list[Row], setup: Setup, path: str | Path | None = None) -> tuple[Setup, batches.Examples]:
    """See `trainer.tasks.kind.Kind`. Labels of the data, where the setup has none: in the order of `files.labels_of`."""
    target = setup.task.target
    setup = replace(setup, labels=setup.labels or files.labels_of(rows, setup.task))
    targets = tf.constant([setup.labels.index(row[target]) for row in rows], tf.int32)
    return setup, texts.examples(rows, setup, targets)


def loss(targets: tf.Tensor, logits: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """See `trainer.tasks.kind.Kind`."""
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(targets, logits)  # [B]
    return tf.reduce_sum(losses), tf.cast(tf.size(losses), tf.float32)


def weighted_loss(weights: Sequence[float]) -> Loss:
    """See `trainer.tasks.kind.Kind`: the mean is divided by the weights of the examples, as PyTorch's cross entropy is."""
    of_classes = tf.constant(weights, tf.float32)  # [C]

    def weighted(targets, logits):
        of_rows = tf.gather(of_classes, targets)  # [B]
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(targets, logits)  # [B]
        return tf.reduce_sum(of_rows * losses), tf.reduce_sum(of_rows)

    return weighted


def decode(logits: tf.Tensor, labels: list[str]) -> dict[str, tf.Tensor]:
    """Returns label [B] string, score [B], probabilities [B, C], labels [B, C] string."""
    probabilities = tf.nn.softmax(logits)
    names = tf.constant(labels)
    return {
        "label": tf.gather(names, tf.argmax(logits, axis=-1)),
        "score": tf.reduce_max(probabilities, axis=-1),
        "probabilities": probabilities,
        "labels": tf.tile(names[None], [tf.shape(logits)[0], 1]),
    }


def functions(model: keras.Model, setup: Setup) -> dict[str, Any]:
    """Returns {"serving_default"}: a text [B], or two, -> what `decode` returns; `windows.WINDOWS` rows are read at once."""
    return {"serving_default": texts.function(model, setup, lambda logits: decode(logits, setup.labels))}


class Scorer:
    """Scores a model as it is when called, on rows tokenised once: () -> {metric, loss, examples}.

    Args:
        model: Built, weights as they are at each call.
        setup: Of the run.
        rows: With gold values.
        batch_size: Rows at once.
        tune: Of question answering.
    """

    def __init__(
        self, model: keras.Model, setup: Setup, rows: list[Row], batch_size: int, *, tune: bool = False
    ) -> None:
        self.setup, self.rows, self.batch_size = setup, rows, batch_size
        self.metric = setup.task.metric
        _, self.examples = examples(rows, setup)

        @tf.function(input_signature=[setup.reader.inputs, KIND.targets], autograph=False)
        def step(inputs, targets):
            logits = model(inputs, training=False)
            return tf.argmax(logits, axis=-1), *loss(targets, logits)

        self.step = step

    def __call__(self, tick: Callable[[], None] = lambda: None) -> dict[str, Any]:
        """Returns the scores; `tick` is called between batches."""
        classes: np.ndarray = np.empty(len(self.rows), np.int64)
        total, count = 0.0, 0.0
        plan = batches.plan_evaluation(self.examples.lengths, self.batch_size)
        for places, (inputs, targets) in zip(plan, batches.dataset(self.examples, plan), strict=True):
            classes[places], loss_of_batch, rows_of_batch = self.step(inputs, targets)
            total, count = total + float(loss_of_batch), count + float(rows_of_batch)
            tick()
        self.predicted = [self.setup.labels[i] for i in classes]
        gold = [row[self.setup.task.target] for row in self.rows]
        score = METRICS[self.metric](gold, self.predicted)
        return {self.metric: round(score, 6), "loss": round(total / count, 6), "examples": len(self.rows)}

    def predictions(self, path: str | Path, column: str | int | None = None) -> dict[str, str]:
        """Returns {ending: content} of files of what was predicted: JSON lines."""
        lines = [row | {"predicted": label} for row, label in zip(self.rows, self.predicted, strict=True)]
        return {"": "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)}

    def variants(self) -> dict[str, Any]:
        """Returns {name: scores} of other forms of the rows; there are none."""
        return {}

    def __str__(self) -> str:
        return str(self.examples)


KIND = Kind(
    needs=("pooled",),
    wants={"pooled_only": True},
    layers=("classifier",),
    targets=tf.TensorSpec([None], tf.int32),
    build=heads.classify,
    examples=examples,
    loss=loss,
    weighted_loss=weighted_loss,
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
probabilities = torch.softmax(model(**inputs).logits, -1)[0]
print({{model.config.id2label[i]: float(p) for i, p in enumerate(probabilities)}})""",
    ),
)
