"""A number for a text, or for two: how alike they are, how many stars a review gave.

Glossary of shapes: B batch, N rows.
"""

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
from trainer.reports.outcomes import Outcomes, Scores, ratio
from trainer.tasks import texts
from trainer.tasks.kind import Kind
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


def parts(setup: Setup) -> dict[str, texts.Parts]:
    """Returns {"serving_default"}: a text [B], or two, -> score [B]."""
    return {"serving_default": texts.Parts(setup, lambda logits: {"score": logits[:, 0]})}


class Scorer(texts.TextScorer):
    """Scores a model as it is when called: () -> {pearson, spearman, loss, examples}; the loss is the mean squared error.

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
        self.values = logits[:, 0].astype(float)  # [N]
        self.predicted = [round(value, 6) for value in self.values.tolist()]
        scores = {name: correlation(self.golds, self.values) for name, correlation in metrics.CORRELATIONS.items()}
        rounded = {name: round(value, 6) for name, value in (scores | {"loss": mean_loss}).items()}
        return rounded | {"examples": len(self.rows)}

    def outcomes(self) -> Outcomes:
        """Returns what was seen at the last call; `spearman` has no interval: ranks are not sums over examples."""
        golds, values = np.array(self.golds, float), self.values
        x, y = golds - golds.mean(), values - values.mean()  # around 0, so that no digits are lost in differences
        return Outcomes(
            unit="examples",
            statistics=np.stack([np.ones(len(x)), x, y, x * x, y * y, x * y, (golds - values) ** 2], axis=1),
            scores=_of_sums,
            shown=("pearson", "loss"),
            lengths=self.lengths(),
            wrong=self._wrong,
        )

    def _wrong(self):
        for i, (gold, value) in enumerate(zip(self.golds, self.predicted, strict=True)):
            if gold != value:
                yield self.wrong(i, abs(gold - value), gold=gold, predicted=value, off=round(abs(gold - value), 6))

    def __str__(self) -> str:
        low, high = min(self.golds), max(self.golds)
        return f"{self.examples}; gold from {low:g} to {high:g}, {np.mean(self.golds):g} on average"


def _of_sums(sums: np.ndarray) -> Scores:
    """Returns the scores of sums [..., 7]."""
    count, x, y, xx, yy, xy, squares = np.moveaxis(sums, -1, 0)
    variances = np.maximum(xx - ratio(x * x, count), 0) * np.maximum(yy - ratio(y * y, count), 0)
    return {"pearson": ratio(xy - ratio(x * y, count), np.sqrt(variances)), "loss": ratio(squares, count)}


KIND = Kind(
    needs=("pooled",),
    wants={"pooled_only": True},
    layers=("classifier",),
    targets=tf.TensorSpec([None], tf.float32),
    build=heads.classify,
    examples=examples,
    begin=begin,
    loss=loss,
    functions=texts.functions(parts),
    parts=parts,
    scorer=Scorer,
    transformers=texts.transformers(
        """\
print(float(model(**inputs).logits[0, 0]))""",
        "regression",
    ),
)
