"""Letters of words beside their ids: a model may compose a word of its characters, as ELMo does.

Letters are the first L bytes, UTF-8, of the word as it stands in the string, capitals and accents kept: 1 + the byte, 0 where
the word has fewer. A piece then is 1 + L numbers, its id first, and ids of texts are [B, (P), 1 + L].

Glossary of shapes: B batch, P pieces of a text, S sequence length, W words of all strings, N pieces of all strings, L letters.
"""

import tensorflow as tf

from trainer.text.words import Split, length


def read(strings: tf.Tensor, split: Split, count: int) -> tf.Tensor:
    """Returns the first letters of the words of strings [B], int32 [W, L]; part of a graph."""
    strings = tf.strings.unicode_transcode(strings, "UTF-8", "UTF-8", errors="replace")
    # All strings as one row of bytes: of a string with many words no part is read twice.
    content = tf.cast(tf.io.decode_raw(tf.strings.reduce_join(strings), tf.uint8), tf.int32)
    begins = tf.bitwise.bitwise_and(content, 0xC0) != 0x80  # a code point
    offsets = tf.concat([tf.where(begins)[:, 0], tf.size(content, tf.int64)[None]], 0)  # of each code point, in bytes
    before = tf.gather(tf.cumsum(length(strings), exclusive=True), split.rows)  # code points
    place = tf.gather(offsets, before + split.starts)[:, None] + tf.range(count, dtype=tf.int64)  # [W, L]
    inside = place < tf.gather(offsets, before + split.ends)[:, None]
    return tf.where(inside, 1 + tf.gather(content, tf.where(inside, place, 0)), 0)


def beside(ids: tf.Tensor, letters: tf.Tensor) -> tf.Tensor:
    """Returns ids [N] and the letters of their words [N, L] as one: [N, 1 + L]."""
    return tf.concat([ids[:, None], letters], axis=1)


def token(number: int, letters: int) -> tf.Tensor:
    """Returns a token without letters, as it stands among pieces: a number, or [1 + L] if L is above 0."""
    return tf.constant([number] + [0] * letters if letters else number)


def inputs(letters: int) -> dict[str, tf.TensorSpec]:
    """Returns what a model is given beside the ids: {"letters": [B, S, L]}, nothing if L is 0."""
    return {"letters": tf.TensorSpec([None, None, letters], tf.int32)} if letters else {}


def apart(numbers: tf.Tensor, letters: int) -> dict[str, tf.Tensor]:
    """Returns {"token_ids": [B, S]} of numbers [B, S], and "letters" [B, S, L] of numbers [B, S, 1 + L] if L is above 0."""
    return {"token_ids": numbers[..., 0], "letters": numbers[..., 1:]} if letters else {"token_ids": numbers}
