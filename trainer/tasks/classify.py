"""One of several labels for a text, or for two.

Glossary of shapes: B batch, C classes.
"""

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
from trainer.reports.outcomes import Classes, Outcomes, ratio
from trainer.tasks import texts
from trainer.tasks.kind import Kind
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


def parts(setup: Setup) -> dict[str, texts.Parts]:
    """Returns {"serving_default"}: a text [B], or two, -> what `decode` returns."""
    return {"serving_default": texts.Parts(setup, lambda logits: decode(logits, setup.labels))}


class Scorer(texts.TextScorer):
    """Scores a model as it is when called: () -> {metric, loss, examples}.

    Arguments as `trainer.tasks.kind.MakeScorer`.
    """

    def __init__(
        self, model: keras.Model, setup: Setup, rows: list[Row], batch_size: int, *, tune: bool = False
    ) -> None:
        _, of_rows = examples(rows, setup)
        super().__init__(model, setup, rows, batch_size, examples=of_rows, loss=loss, targets=KIND.targets)

    def __call__(self, tick: Callable[[], None] = lambda: None) -> dict[str, Any]:
        """Returns the scores; `tick` is called between batches."""
        logits, mean_loss = self.logits(tick)
        self.log_probabilities = tf.nn.log_softmax(logits).numpy()  # [N, C]
        self.predicted = [self.setup.labels[i] for i in np.argmax(logits, axis=-1)]
        score = METRICS[self.metric](self.golds, self.predicted)
        return {self.metric: round(score, 6), "loss": round(mean_loss, 6), "examples": len(self.rows)}

    def outcomes(self) -> Outcomes:
        """Returns what was seen at the last call; statistics of an example are 1, whether it is right, and its loss."""
        labels = self.setup.labels
        right = np.array([gold == label for gold, label in zip(self.golds, self.predicted, strict=True)], float)
        of_gold = [labels.index(gold) for gold in self.golds]
        losses = -self.log_probabilities[np.arange(len(self.rows)), of_gold].astype(float)
        return Outcomes(
            unit="examples",
            statistics=np.stack([np.ones(len(self.rows)), right, losses], axis=1),
            scores=lambda sums: {
                "accuracy": ratio(sums[..., 1], sums[..., 0]),
                "loss": ratio(sums[..., 2], sums[..., 0]),
            },
            shown=("accuracy",),
            lengths=self.lengths(),
            classes={"classes": Classes.of_labels(labels, self.golds, self.predicted)},
            wrong=self._wrong,
        )

    def _wrong(self):
        confidences = np.exp(self.log_probabilities.max(axis=-1)).tolist()
        for i, (gold, label, confidence) in enumerate(zip(self.golds, self.predicted, confidences, strict=True)):
            if gold != label:
                yield self.wrong(i, confidence, gold=gold, predicted=label, confidence=round(confidence, 6))


KIND = Kind(
    needs=("pooled",),
    wants={"pooled_only": True},
    layers=("classifier",),
    targets=tf.TensorSpec([None], tf.int32),
    build=heads.classify,
    examples=examples,
    loss=loss,
    weighted_loss=weighted_loss,
    functions=texts.functions(parts),
    parts=parts,
    scorer=Scorer,
    transformers=texts.transformers(
        """\
probabilities = torch.softmax(model(**inputs).logits, -1)[0]
print({{model.config.id2label[i]: float(p) for i, p in enumerate(probabilities)}})""",
    ),
)
