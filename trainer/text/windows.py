"""Long rows of word pieces as overlapping windows that a model can read.

Glossary of shapes: B batch, P pieces of a text.
"""

from typing import NamedTuple

import tensorflow as tf

WINDOWS = 32  # texts, or parts of long ones, that an exported model reads at once: more take more time, not more memory


class Windows(NamedTuple):
    """Overlapping parts of long rows: each piece is kept by one of them, which shows what stands around it.

    All fields are int64, one entry a window, in the order of the rows; places are counted over the pieces of all rows.
    """

    rows: tf.Tensor
    starts: tf.Tensor
    ends: tf.Tensor
    kept_from: tf.Tensor
    kept_to: tf.Tensor


def windows(lengths: tf.Tensor, room: tf.Tensor | int, step: tf.Tensor | int) -> Windows:
    """Cuts rows of pieces into windows that a model can read; one that fits is one window.

    Of what two windows share, each keeps the half that is nearer to its middle: within a text, no piece is judged with fewer
    than (room - step) // 2 pieces around it on either side.

    Args:
        lengths: [B], pieces of each row.
        room: Longest window; a number, or a number for each row [B].
        step: From a window's start to that of the next, 1 to `room`; likewise.
    """
    lengths = tf.cast(lengths, tf.int64)
    room, step = (tf.zeros_like(lengths) + tf.cast(value, tf.int64) for value in (room, step))  # [B]
    margin = (room - step) // 2
    counts = 1 + tf.maximum(lengths - room + step - 1, 0) // step  # windows of each row
    rows = tf.repeat(tf.range(tf.size(lengths, tf.int64)), counts)
    number = tf.range(tf.size(rows, tf.int64)) - tf.gather(tf.cumsum(counts, exclusive=True), rows)
    before = tf.cumsum(lengths, exclusive=True)
    before, length, room, step, margin = (tf.gather(x, rows) for x in (before, lengths, room, step, margin))
    starts = tf.minimum(number * step, tf.maximum(length - room, 0))  # the last one reaches back
    last = number + 1 == tf.gather(counts, rows)
    return Windows(
        rows,
        before + starts,
        before + tf.minimum(starts + room, length),
        before + tf.where(number == 0, number, number * step + margin),
        before + tf.where(last, length, (number + 1) * step + margin),
    )
