"""The objectives of BERT: masked words, and whether the second text follows the first. Loss, measures, scores.

Reference: Devlin et al. 2018, section 3.1: the mean over the masked places, plus the mean over the sequences.

Glossary of shapes: B batch, S sequence length, K masked places of the batch, V vocabulary.
"""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from trainer.pretraining.masking import NOTHING
from trainer.pretraining.passages import PASS_OF_SCORES
from trainer.pretraining.source import SIGNATURE, TARGETS, Source
from trainer.training import batches
from trainer.training.step import in_float32


def loss(targets: dict[str, tf.Tensor], outputs: dict[str, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
    """See `trainer.training.step.Loss`; a part for each of the outputs.

    Args:
        targets: `words` [B, S], `next` [B].
        outputs: `words` [K, V], and `next` [B, 2], if it is learned.
    """
    words = _masked(targets)
    losses = [tf.nn.sparse_softmax_cross_entropy_with_logits(words, outputs["words"])]
    if "next" in outputs:
        losses.append(tf.nn.sparse_softmax_cross_entropy_with_logits(targets["next"], outputs["next"]))
    numbers = [tf.cast(tf.maximum(tf.size(values), 1), tf.float32) for values in losses]
    return tf.stack([tf.reduce_sum(values) for values in losses]), tf.stack(numbers)


def counts(*, pairs: bool) -> Callable[[dict[str, tf.Tensor]], tf.Tensor]:
    """Returns the function from targets to the numbers that `loss` divides by."""
    numbers = lambda targets: [tf.size(_masked(targets)), tf.size(targets["next"])][: 1 + pairs]
    return lambda targets: tf.cast(tf.maximum(tf.stack(numbers(targets)), 1), tf.float32)


def measures(targets: dict[str, tf.Tensor], outputs: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    """Returns the shares that are right, of a batch."""
    right = lambda gold, logits: tf.cast(gold == tf.argmax(logits, -1, tf.int32), tf.float32)
    found = {"masked_accuracy": tf.math.divide_no_nan(*_ratio(right(_masked(targets), outputs["words"])))}
    if "next" in outputs:
        found["next_accuracy"] = tf.reduce_mean(right(targets["next"], outputs["next"]))
    return found


def _ratio(values):
    return tf.reduce_sum(values), tf.cast(tf.size(values), tf.float32)


def _masked(targets):
    return tf.boolean_mask(targets["words"], targets["words"] != NOTHING)  # [K]


class Scorer:
    """Scores a model, as it is when called, on passages whose masks are always the same.

    Returns {loss, masked_loss (nats a masked piece), masked_accuracy, next_loss, next_accuracy, sequences, masked}, and
    unigram_loss, of the same pieces by how often they are: what is known without a look at the text.

    Args:
        model, passages: What is scored, and on what.
        batch_size: Sequences at once.
        limit: Sequences at most.
        frequencies: float [V], of the pieces in the text that the model learns from.
    """

    def __init__(
        self,
        model: keras.Model,
        passages: Source,
        batch_size: int,
        limit: int,
        frequencies: np.ndarray | None = None,
    ) -> None:
        self.model, self.passages, self.frequencies = model, passages, frequencies
        number = min(limit, passages.number)
        chosen = np.random.default_rng(0).permutation(passages.number)[:number]
        self.plan = [chosen[i : i + batch_size] for i in range(0, number, batch_size)]
        self.step = tf.function(self._step, input_signature=[SIGNATURE, TARGETS], autograph=False)

    def _step(self, inputs, targets):
        outputs = in_float32(self.model(inputs, training=False))
        return *loss(targets, outputs), measures(targets, outputs)

    def __call__(self, tick: Callable[[], None] = lambda: None) -> dict[str, Any]:
        """Returns the scores; `tick` is called between batches."""
        losses, numbers, right, unigram = np.zeros(2), np.zeros(2), np.zeros(2), 0.0
        for inputs, targets in batches.dataset(self.passages, self.plan, PASS_OF_SCORES):
            totals, counted, seen = self.step(inputs, targets)
            for i, (total, number, share) in enumerate(zip(totals, counted, seen.values(), strict=True)):
                losses[i] += float(total)
                numbers[i] += float(number)
                right[i] += float(share) * float(number)
            if self.frequencies is not None:
                words = targets["words"].numpy()
                unigram -= float(np.sum(np.log(self.frequencies[words[words != NOTHING]])))
            tick()
        scores = {"loss": 0.0}
        for i, name in enumerate(("masked", "next")):
            if numbers[i]:
                scores |= {f"{name}_loss": losses[i] / numbers[i], f"{name}_accuracy": right[i] / numbers[i]}
                scores["loss"] += losses[i] / numbers[i]
        if self.frequencies is not None and numbers[0]:
            scores["unigram_loss"] = unigram / numbers[0]
        rounded = {name: round(float(value), 6) for name, value in scores.items()}
        return rounded | {"sequences": sum(map(len, self.plan)), "masked": int(numbers[0])}
