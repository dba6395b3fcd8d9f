"""One of several labels for a text, or for two.

Glossary of shapes: B batch, C classes.
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
from trainer.data import files
from trainer.data.schema import Row
from trainer.metrics import METRICS
from trainer.reports.outcomes import Classes, Outcomes, Wrong, ratio
from trainer.tasks.kind import Kind, Transformers
from trainer.tasks.setup import Setup
from trainer.text import windows
from trainer.training import batches


def examples(rows: list[Row], setup: Setup, path: str | Path | None = None) -> tuple[Setup, batches.Examples]:
    """See `trainer.tasks.kind.Kind`. Labels of the data, where the setup has none: in the order of `files.labels_of`."""
    target = setup.task.target
    setup = replace(setup, labels=setup.labels or files.labels_of(rows, setup.task))
    first, *second = [setup.reader.ids([row[field] for row in rows]) for field in setup.fields]
    targets = tf.constant([setup.labels.index(row[target]) for row in rows], tf.int32)
    return setup, batches.Examples(setup.reader, first, targets, second=second[0] if second else None)


def loss(targets: tf.Tensor, logits: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """See `trainer.tasks.kind.Kind`."""
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(targets, logits)  # [B]
    return tf.reduce_sum(losses), tf.cast(tf.size(losses), tf.float32)


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
    reader, classes = setup.reader, len(setup.labels)

    def answer(*texts):
        # A session does not look at shapes.
        ids = [reader.tokenizer(tf.ensure_shape(strings, [None])).ids for strings in texts]

        def read(i, logits):
            inputs = reader.frame(*[rows[i : i + windows.WINDOWS] for rows in ids])
            return i + windows.WINDOWS, tf.concat([logits, model(inputs, training=False)], axis=0)

        rows = ids[0].nrows(tf.int32)
        shapes = (tf.TensorShape([]), tf.TensorShape([None, classes]))
        start = (tf.constant(0), tf.zeros([0, classes]))
        _, logits = tf.while_loop(lambda i, _: i < rows, read, start, shape_invariants=shapes, parallel_iterations=1)
        return decode(logits, setup.labels)

    signature = [tf.TensorSpec([None], tf.string, name=field) for field in setup.fields]
    return {"serving_default": tf.function(answer, input_signature=signature, autograph=False)}


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
            return tf.argmax(logits, axis=-1), tf.nn.log_softmax(logits), *loss(targets, logits)

        self.step = step

    def __call__(self, tick: Callable[[], None] = lambda: None) -> dict[str, Any]:
        """Returns the scores; `tick` is called between batches."""
        classes: np.ndarray = np.empty(len(self.rows), np.int64)
        self.log_probabilities: np.ndarray = np.empty([len(self.rows), len(self.setup.labels)])
        total, count = 0.0, 0.0
        plan = batches.plan_evaluation(self.examples.lengths, self.batch_size)
        for places, (inputs, targets) in zip(plan, batches.dataset(self.examples, plan), strict=True):
            classes[places], log_probabilities, loss_of_batch, rows_of_batch = self.step(inputs, targets)
            self.log_probabilities[places] = log_probabilities
            total, count = total + float(loss_of_batch), count + float(rows_of_batch)
            tick()
        self.predicted = [self.setup.labels[i] for i in classes]
        score = METRICS[self.metric](self._golds(), self.predicted)
        return {self.metric: round(score, 6), "loss": round(total / count, 6), "examples": len(self.rows)}

    def _golds(self):
        return [row[self.setup.task.target] for row in self.rows]

    def outcomes(self) -> Outcomes:
        """Returns what was seen at the last call; statistics of an example are 1, whether it is right, and its loss."""
        labels, golds = self.setup.labels, self._golds()
        right = np.array([gold == label for gold, label in zip(golds, self.predicted, strict=True)], float)
        of_gold = [labels.index(gold) for gold in golds]
        losses = -self.log_probabilities[np.arange(len(golds)), of_gold]
        lengths = [sum(len(row[field]) for field in self.setup.fields) for row in self.rows]
        return Outcomes(
            unit="examples",
            statistics=np.stack([np.ones(len(golds)), right, losses], axis=1),
            scores=lambda sums: {
                "accuracy": ratio(sums[..., 1], sums[..., 0]),
                "loss": ratio(sums[..., 2], sums[..., 0]),
            },
            shown=("accuracy",),
            lengths={"characters": np.array(lengths)},
            classes={"classes": Classes.of_labels(labels, golds, self.predicted)},
            wrong=self._wrong,
        )

    def _wrong(self):
        confidences = np.exp(self.log_probabilities.max(axis=-1))
        for row, gold, label, confidence in zip(self.rows, self._golds(), self.predicted, confidences, strict=True):
            if gold != label:
                answer = {"gold": gold, "predicted": label, "confidence": round(float(confidence), 6)}
                yield Wrong(confidence, {field: row[field] for field in self.setup.fields} | answer)

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
