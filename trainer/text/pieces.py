"""Pieces of raw strings, with their places: what a tokenizer gives.

Glossary of shapes: B batch, P pieces of a text.
"""

from typing import NamedTuple

import tensorflow as tf


class Pieces(NamedTuple):
    """Pieces of a batch of strings; every field is ragged int32 [B, (P)], `ids` [B, (P), 1 + L] with letters of words.

    `starts` and `ends` are the place of the whole word in the original string, in Unicode code points, end exclusive.
    """

    ids: tf.RaggedTensor
    words: tf.RaggedTensor  # index of the word within its string
    starts: tf.RaggedTensor
    ends: tf.RaggedTensor

    def begins(self) -> tf.Tensor:
        """Returns of each piece of all rows [all pieces] whether a word begins with it."""
        return changes(self.words.flat_values) | changes(self.words.value_rowids())


def changes(values: tf.Tensor) -> tf.Tensor:
    """Returns of each entry [N] whether it is the first, or another than the one before."""
    return tf.concat([tf.ones_like(values[:1], tf.bool), values[1:] != values[:-1]], 0)
