"""Any number of labels for a text, or for two: those whose probability is above a threshold.

Glossary of shapes: B batch, C classes, K most labels of a row, N rows.
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
from trainer.data import files
from trainer.data.schema import Row
from trainer.errors import Mistake
from trainer.reports.outcomes import Classes, Outcomes, ratio
from trainer.tasks import texts
from trainer.tasks.kind import Kind
from trainer.tasks.setup import Setup
from trainer.training import batches

THRESHOLD = 0.5  # where no dev data say a better one


def examples(rows: list[Row], setup: Setup, path: str | Path | None = None) -> tuple[Setup, batches.Examples]:
    """See `trainer.tasks.kind.Kind`. Labels of the data, where the setup has none: in the order of `files.labels_of`."""
    labels = setup.labels or files.labels_of(rows, setup.task)
    if len(labels) < 2:
        raise Mistake(f"{path}: expected rows with two or more different labels, found {', '.join(labels) or 'none'}")
    targets = tf.constant(indicators([row[setup.task.target] for row in rows], labels), tf.float32)
    threshold = THRESHOLD if setup.threshold is None else setup.threshold
    return replace(setup, labels=labels, threshold=threshold), texts.examples(rows, setup, targets)


def indicators(label_sets: list[list[str]], labels: list[str]) -> np.ndarray:
    """Returns which labels each row has: bool [N, C]."""
    return np.array([[label in own for label in labels] for own in label_sets], bool)


def begin(model: keras.Model, source: batches.Examples) -> None:
    """Sets the head's bias to the log-odds of the labels, so that rare ones need not be unlearned first (Lin et al. 2017)."""
    share = (tf.reduce_sum(source.targets, axis=0) + 0.5) / (tf.cast(tf.shape(source.targets)[0], tf.float32) + 1.0)
    model.get_layer("classifier").bias.assign(tf.math.log(share / (1.0 - share)))


def loss(targets: tf.Tensor, logits: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """See `trainer.tasks.kind.Kind`: cross entropy of each label on its own; both [B, C]."""
    losses = tf.nn.sigmoid_cross_entropy_with_logits(targets, logits)  # [B, C]
    return tf.reduce_sum(losses), tf.cast(tf.size(losses), tf.float32)


def parts(setup: Setup) -> dict[str, texts.Parts]:
    """Returns {"serving_default"}: a text [B], or two, -> chosen [B, K] string, the labels above the threshold, the most probable
    first, padded with ""; probabilities [B, C], labels [B, C] string."""

    def decode(logits):
        probabilities, names = tf.sigmoid(logits), tf.constant(setup.labels)
        order = tf.argsort(logits, axis=-1, direction="DESCENDING", stable=True)  # [B, C]
        above = tf.gather(probabilities, order, batch_dims=1) > setup.threshold
        most = tf.reduce_max(tf.concat([[0], tf.reduce_sum(tf.cast(above, tf.int32), axis=-1)], 0))
        chosen = tf.where(above, tf.gather(names, order), "")[:, :most]  # [B, K]
        labels = tf.tile(names[None], [tf.shape(logits)[0], 1])
        return {"chosen": chosen, "probabilities": probabilities, "labels": labels}

    return {"serving_default": texts.Parts(setup, decode)}


class Scorer(texts.TextScorer):
    """Scores a model as it is when called: () -> {micro_f1, macro_f1, accuracy, loss, threshold, examples}.

    `accuracy` is the share of rows whose labels are all right and none too many. `threshold` is the one that the scores are
    of: where `tune`, the one that is best here for micro_f1, which the run keeps.

    Arguments as `trainer.tasks.kind.MakeScorer`.
    """

    def __init__(
        self, model: keras.Model, setup: Setup, rows: list[Row], batch_size: int, *, tune: bool = False
    ) -> None:
        setup, of_rows = examples(rows, setup)  # with a threshold
        super().__init__(model, setup, rows, batch_size, examples=of_rows, loss=loss, targets=KIND.targets)
        self.tune = tune
        self.gold_sets = indicators(self.golds, setup.labels)  # [N, C]

    def __call__(self, tick: Callable[[], None] = lambda: None) -> dict[str, Any]:
        """Returns the scores; `tick` is called between batches."""
        logits, mean_loss = self.logits(tick)
        self.probabilities = tf.sigmoid(logits).numpy()  # [N, C], as the exported function computes them
        self.threshold = self.setup.threshold
        if self.tune:
            self.threshold = metrics.best_label_threshold(self.gold_sets, self.probabilities)
        sets = self.probabilities > np.float32(self.threshold)  # [N, C]
        self.predicted = [
            [label for label, chosen in zip(self.setup.labels, row, strict=True) if chosen] for row in sets
        ]
        scores = metrics.of_label_sets(self.gold_sets, sets) | {"loss": mean_loss}
        rounded = {name: round(value, 6) for name, value in scores.items()}
        return rounded | {"threshold": self.threshold, "examples": len(self.rows)}

    def outcomes(self) -> Outcomes:
        """Returns what was seen at the last call; statistics of an example are 1, whether it is right, its gold, predicted and
        right labels."""
        pairs = [({*gold}, {*labels}) for gold, labels in zip(self.golds, self.predicted, strict=True)]
        statistics = [[1, gold == labels, len(gold), len(labels), len(gold & labels)] for gold, labels in pairs]
        return Outcomes(
            unit="examples",
            statistics=np.array(statistics, float),
            scores=lambda sums: {
                "micro_f1": ratio(2 * sums[..., 4], sums[..., 2] + sums[..., 3]),
                "accuracy": ratio(sums[..., 1], sums[..., 0]),
            },
            shown=("micro_f1", "accuracy"),
            lengths=self.lengths(),
            classes={"classes": Classes.of_sets(self.golds, self.predicted, name=str)},
            wrong=self._wrong,
        )

    def _wrong(self):
        """Yields the rows whose labels are not all right, as sure as the model was of the wrong one of which it was surest."""
        for i, (gold, labels) in enumerate(zip(self.golds, self.predicted, strict=True)):
            differ = np.logical_xor(*indicators([gold, labels], self.setup.labels))  # [C]
            if differ.any():
                chances = self.probabilities[i][differ].astype(float)
                confidence = float(np.max(np.where(chances > self.threshold, chances, 1 - chances)))
                yield self.wrong(i, confidence, gold=gold, predicted=labels, confidence=round(confidence, 6))

    def __str__(self) -> str:
        return f"{self.examples}; {self.gold_sets.sum() / len(self.rows):.2f} labels a row"


KIND = Kind(
    needs=("pooled",),
    wants={"pooled_only": True},
    layers=("classifier",),
    targets=tf.TensorSpec([None, None], tf.float32),
    build=heads.classify,
    examples=examples,
    begin=begin,
    loss=loss,
    functions=texts.functions(parts),
    parts=parts,
    scorer=Scorer,
    transformers=texts.transformers(
        """\
probabilities = torch.sigmoid(model(**inputs).logits)[0]
print({{model.config.id2label[i]: float(p) for i, p in enumerate(probabilities)}})""",
        "multi_label_classification",
    ),
)
