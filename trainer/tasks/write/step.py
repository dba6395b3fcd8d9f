"""The loss of models that write.

Glossary of shapes: B batch, T target length, V vocabulary.
"""

import tensorflow as tf

SMOOTHING = 0.1  # of the probability that is right, given to all units alike
TARGETS = tf.TensorSpec([None, None], tf.int32)  # [B, T], units; -1 behind the end


def loss(targets: tf.Tensor, logits: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """See `trainer.tasks.kind.Kind`: the cross entropy with smoothed labels; targets [B, T], logits [B, T, V]."""
    size = tf.shape(logits)[-1]
    others = SMOOTHING / tf.cast(size, logits.dtype)
    labels = tf.one_hot(targets, size, on_value=1 - SMOOTHING + others, off_value=others)  # [B, T, V]
    return _sum_and_count(tf.nn.softmax_cross_entropy_with_logits(labels, logits), targets)


def plain_loss(targets: tf.Tensor, logits: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """As `loss`, of labels as they are, whose exponential is the perplexity."""
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(tf.maximum(targets, 0), logits)
    return _sum_and_count(losses, targets)


def _sum_and_count(losses, targets):
    asked = tf.cast(targets >= 0, losses.dtype)  # [B, T]
    return tf.reduce_sum(losses * asked), tf.reduce_sum(asked)
