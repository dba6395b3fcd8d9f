"""The loss of models that write.

Glossary of shapes: B batch, T target length, V vocabulary.
"""

import tensorflow as tf

from trainer.training.step import Loss

TARGETS = tf.TensorSpec([None, None], tf.int32)  # [B, T], units; -1 behind the end


def smoothed_loss(smoothing: float) -> Loss:
    """Returns a loss, see `trainer.tasks.kind.Kind`: the cross entropy with smoothed labels; targets [B, T], logits [B, T, V].

    Args:
        smoothing: Of the probability that is right, given to all units alike.
    """

    def loss(targets, logits):
        size = tf.shape(logits)[-1]
        others = smoothing / tf.cast(size, logits.dtype)
        labels = tf.one_hot(targets, size, on_value=1 - smoothing + others, off_value=others)  # [B, T, V]
        return _sum_and_count(tf.nn.softmax_cross_entropy_with_logits(labels, logits), targets)

    return loss


def plain_loss(targets: tf.Tensor, logits: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """The cross entropy with labels as they are, whose exponential is the perplexity; shapes as for `smoothed_loss`."""
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(tf.maximum(targets, 0), logits)
    return _sum_and_count(losses, targets)


def _sum_and_count(losses, targets):
    asked = tf.cast(targets >= 0, losses.dtype)  # [B, T]
    return tf.reduce_sum(losses * asked), tf.reduce_sum(asked)
