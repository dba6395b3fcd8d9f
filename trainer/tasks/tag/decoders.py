"""From the logits of units to their labels: each by itself, or with its neighbours.

Glossary of shapes: U units of all rows, B rows, T units of the longest row of a group, C labels, S states.
"""

from typing import Any, Protocol

import keras
import tensorflow as tf

from models import crf, heads
from trainer.tasks.setup import Setup
from trainer.tasks.tag import segmentation

GROUP = 2048  # units of the rows that are decoded at once; a longer row is decoded alone


class Decoder(Protocol):
    """Finds labels; its methods are parts of a graph. Made of a model, which some do not need, and its setup."""

    def __init__(self, model: keras.Model | None, setup: Setup) -> None: ...

    def logits(self, outputs: Any) -> tf.Tensor:
        """Returns the logits [B, S, C] of what the model gives."""

    def __call__(self, logits: tf.Tensor, allowed: tf.Tensor, lengths: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns the label int32 [U] of every unit, and its probability [U].

        Args:
            logits: [U, C].
            allowed: bool [U, C], which labels a unit may have.
            lengths: int64 [B], units of each row.
        """


class Softmax:
    """The best label of each unit, whatever its neighbours are; its probability among those allowed."""

    def __init__(self, model: keras.Model | None, setup: Setup) -> None:
        pass

    def logits(self, outputs: Any) -> tf.Tensor:
        return outputs

    def __call__(self, logits: tf.Tensor, allowed: tf.Tensor, lengths: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        logits = tf.where(allowed, logits, logits.dtype.min)
        return tf.argmax(logits, axis=-1, output_type=tf.int32), tf.reduce_max(tf.nn.softmax(logits), axis=-1)


class Crf:
    """The best labels of each row as a whole, of those rows of labels that the scheme of the tags allows; the probability of
    each label is its marginal one, over all these rows of labels."""

    def __init__(self, model: keras.Model | None, setup: Setup) -> None:
        assert model is not None
        self.layer = model.get_layer("crf")
        states = segmentation.states(setup.labels, setup.scheme)
        self.labels = tf.constant(states.labels)  # [S]
        self.follows, self.begins = tf.constant(states.follows), tf.constant(states.begins)  # [S, S], [S]

    def logits(self, outputs: Any) -> tf.Tensor:
        return outputs["logits"]

    def __call__(self, logits: tf.Tensor, allowed: tf.Tensor, lengths: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        of_states = lambda x: tf.gather(x, self.labels, axis=-1)
        logits = of_states(tf.where(allowed, logits, heads.LOWEST))  # [U, S]
        transitions = tf.gather(of_states(tf.convert_to_tensor(self.layer.transitions)), self.labels)
        weights = (
            tf.where(self.follows, transitions, heads.LOWEST),
            tf.where(self.begins, of_states(tf.convert_to_tensor(self.layer.starts)), heads.LOWEST),
            of_states(tf.convert_to_tensor(self.layer.ends)),
        )
        order = tf.argsort(lengths, direction="DESCENDING", stable=True)  # rows of a group are about as long
        first = tf.cumsum(lengths, exclusive=True)
        filled = tf.math.count_nonzero(lengths, dtype=tf.int32)

        def decode(i, labels, scores):
            longest = lengths[order[i]]
            rows = order[i : tf.minimum(i + tf.cast(tf.maximum(GROUP // longest, 1), tf.int32), filled)]
            of_rows, begin = tf.gather(lengths, rows), tf.gather(first, rows)
            units = tf.ragged.range(begin, begin + of_rows)  # [B, (T)]
            emissions = tf.gather(logits, units).to_tensor()  # [B, T, S]
            count = tf.cast(of_rows, tf.int32)
            best = crf.best_path(emissions, count, *weights)  # [B, T]
            label = tf.gather(self.labels, best)  # [B, T]
            same = tf.cast(label[:, :, None] == self.labels, tf.float32)  # states of that label
            score = tf.reduce_sum(crf.marginals(emissions, count, *weights) * same, axis=-1)  # [B, T]
            place = units.flat_values[:, None]
            kept = lambda x: tf.boolean_mask(x, tf.sequence_mask(of_rows))
            return (
                i + tf.size(rows),
                tf.tensor_scatter_nd_update(labels, place, kept(label)),
                tf.tensor_scatter_nd_update(scores, place, kept(score)),
            )

        number = tf.shape(logits)[0]
        start = (tf.constant(0), tf.zeros([number], tf.int32), tf.zeros([number]))
        _, labels, scores = tf.while_loop(lambda i, *_: i < filled, decode, start, parallel_iterations=1)
        return labels, scores


DECODERS: dict[str, type[Decoder]] = {"softmax": Softmax, "crf": Crf}
