"""Options of rows, as an exported signature is given them.

Glossary of shapes: B rows.
"""

from collections.abc import Sequence

import tensorflow as tf

from trainer.tasks.options import Option


def rows_of(options: Sequence[Option], values: Sequence[tf.Tensor], rows: tf.Tensor) -> list[tf.Tensor]:
    """Returns the values of options for each row, [B] each.

    Args:
        options: What they may be; the graph refuses others, in one line.
        values: Of each option, [B], or [1] for all rows.
        rows: B.
    """
    given = []
    with tf.control_dependencies(_checks(options, values, rows)):
        for option, value in zip(options, values, strict=True):
            value = tf.broadcast_to(tf.ensure_shape(value, [None]), [rows])
            given.append(tf.cast(value, option.dtype))
    return given


def _checks(options, values, rows):
    """Returns ops that fail, in one line, where a value is none that its option may have, or there are not as many as rows."""
    checks = []
    for option, value in zip(options, values, strict=True):
        count = tf.size(value)
        enough = value > option.least if option.above else value >= option.least  # not of what is no number
        right = enough & (value <= tf.constant(option.most, value.dtype))
        wrong = tf.reduce_sum(tf.boolean_mask(value, ~right)[:1])  # the first
        received = tf.strings.format(f"{option.name}: expected {option.expected}, received {{}}", wrong)
        checks.append(tf.debugging.Assert(tf.reduce_all(right), [received]))
        received = tf.strings.format(
            f"{option.name}: expected one for each of {{}} texts, or one, received {{}}", (rows, count)
        )
        checks.append(tf.debugging.Assert((count == rows) | (count == 1), [received]))
    return checks
