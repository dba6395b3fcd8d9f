"""What is tagged, the tokens of a text or of given words, as word pieces, in windows.

Glossary of shapes: B batch, W words of a row, P pieces, U tokens of all rows.
"""

from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from trainer.text import letters, windows
from trainer.text.pieces import Pieces
from trainer.text.reader import Reader
from trainer.text.tokenizer import Tokenizer


class Units(NamedTuple):
    """What is tagged, tokens, as pieces."""

    ids: tf.RaggedTensor  # int32 [B, (P)], or [B, (P), 1 + L]: see `trainer.text.letters`
    first: tf.Tensor  # bool, for each piece of all rows: a token begins


def units_of(pieces: Pieces) -> Units:
    """Returns the tokens of texts as `Units`."""
    return Units(pieces.ids, pieces.begins())


def units_of_words(tokenizer: Tokenizer, words: tf.Tensor, count: tf.Tensor) -> tuple[Units, tf.Tensor]:
    """Returns the tokens of all words [all words], of which each row has `count` [B], as `Units`, and which tokens begin a word,
    bool [U]. A word of which nothing is left is one unknown token."""
    pieces = tokenizer(words)
    ids = pieces.ids.with_row_splits_dtype(tf.int64)  # [all words, (P)]
    lost = tf.cast(ids.row_lengths() == 0, tf.int64)
    unknown = letters.token(tokenizer.unknown, tokenizer.letters)
    unknown = tf.broadcast_to(unknown, [tf.reduce_sum(lost), *unknown.shape])
    filled = lambda x, values: tf.concat([x, tf.RaggedTensor.from_row_lengths(values, lost)], axis=1)
    first = filled(ids.with_flat_values(pieces.begins()), tf.ones([tf.reduce_sum(lost)], tf.bool)).flat_values
    ids = filled(ids, unknown)
    starts = ids.row_starts()[:, None]
    begins_word = tf.scatter_nd(starts, tf.ones_like(starts[:, 0]), tf.shape(first, tf.int64)) > 0  # of pieces
    return Units(tf.RaggedTensor.from_row_lengths(ids, count).merge_dims(1, 2), first), tf.boolean_mask(
        begins_word, first
    )


def tokens(reader: Reader, texts: list[str]) -> Iterator[tuple[np.ndarray, np.ndarray, list[int], list[int]]]:
    """Yields, for each text: its pieces, which of them begin a token, where the tokens start and end."""
    for ids, begins, starts, ends in reader.pieces(texts):
        yield ids, begins, starts[begins].tolist(), ends[begins].tolist()


def words(
    reader: Reader, rows: list[list[str]], chunk: int = 1024
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Yields, for each list of words: its pieces, which of them begin a token, which of its tokens begin a word."""
    signature = [tf.TensorSpec([None], tf.string), tf.TensorSpec([None], tf.int64)]
    step = tf.function(
        lambda words, count: units_of_words(reader.tokenizer, words, count), input_signature=signature, autograph=False
    )
    for i in range(0, len(rows), chunk):
        batch = rows[i : i + chunk]
        flat = tf.constant([word for row in batch for word in row])
        units, begins_word = step(flat, tf.constant([len(row) for row in batch], tf.int64))
        ids, first, splits = units.ids.flat_values.numpy(), units.first.numpy(), units.ids.row_splits.numpy()
        begins_word = np.split(begins_word.numpy(), np.cumsum(first)[splits[1:] - 1])
        for (start, end), begins in zip(pairwise(splits), begins_word, strict=False):
            yield ids[start:end], first[start:end], begins


def cut(reader: Reader, lengths: tf.Tensor) -> windows.Windows:
    """Returns the windows of rows of so many pieces [B]: each shares an eighth with each neighbour."""
    room = reader.room()
    return windows.windows(lengths, room, room - 2 * (room // 8))
