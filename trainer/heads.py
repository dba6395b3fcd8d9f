"""How each kind of head works: build it on an encoder, its targets, its loss, and decoding to answers.

Glossary of shapes: B batch, C classes.
"""

from collections.abc import Callable
from dataclasses import dataclass

import keras
import tensorflow as tf


@dataclass(frozen=True)
class Head:
    encoder_arguments: dict  # what it asks of `models.bert.bert`
    layers: tuple[str, ...]  # its own layers, which pretrained weights need not have
    build: Callable  # (encoder, number of labels, dropout, seed) -> model from the encoder's inputs to logits
    targets: Callable  # (gold values of the rows, labels) -> array, one entry a row
    loss: Callable  # (targets, logits) -> sum over the batch, and of how many: gradients are divided once, by all of a step
    decode: Callable  # (logits, labels) -> outputs of the exported model, by name


def _build_classifier(encoder, classes, *, dropout, seed):
    dropout_seed = 1000 * seed + 999  # the encoder counts its own from 1000 * seed
    x = keras.layers.Dropout(dropout, seed=dropout_seed, name="classifier_dropout")(encoder.output["pooled"])  # [B, D]
    initializer = keras.initializers.TruncatedNormal(stddev=0.02, seed=seed)
    logits = keras.layers.Dense(classes, kernel_initializer=initializer, name="classifier")(x)  # [B, C]
    return keras.Model(encoder.input, logits, name="classify")


def _classifier_loss(targets, logits):
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(targets, logits)  # [B]
    return tf.reduce_sum(losses), tf.cast(tf.size(losses), tf.float32)


def _decode_classes(logits, labels):
    """Returns label [B] string, score [B], probabilities [B, C], labels [B, C] string."""
    probabilities = tf.nn.softmax(logits)
    names = tf.constant(labels)
    return {
        "label": tf.gather(names, tf.argmax(logits, axis=-1)),
        "score": tf.reduce_max(probabilities, axis=-1),
        "probabilities": probabilities,
        "labels": tf.tile(names[None], [tf.shape(logits)[0], 1]),
    }


HEADS = {
    "classify": Head(
        encoder_arguments={"pooled_only": True},
        layers=("classifier",),
        build=_build_classifier,
        targets=lambda golds, labels: [labels.index(gold) for gold in golds],
        loss=_classifier_loss,
        decode=_decode_classes,
    ),
}
