"""What the kinds of tasks share whose answer is of a whole text, or of two.

Glossary of shapes: B batch, C outputs of the head, N rows.
"""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from trainer.data.schema import Row
from trainer.tasks.setup import Setup
from trainer.text import windows
from trainer.training import batches

Decode = Callable[[tf.Tensor], dict[str, tf.Tensor]]


def examples(rows: list[Row], setup: Setup, targets: tf.Tensor) -> batches.Examples:
    """Returns rows of texts with their targets [N, ...] as examples."""
    first, *second = [setup.reader.ids([row[field] for row in rows]) for field in setup.fields]
    return batches.Examples(setup.reader, first, targets, second=second[0] if second else None)


def function(model: keras.Model, setup: Setup, decode: Decode) -> Any:
    """Returns a tf.function: a text [B], or two, -> what `decode` makes of logits [B, C]; `windows.WINDOWS` rows are read at
    once."""
    reader, outputs = setup.reader, len(setup.labels)

    def answer(*texts):
        # A session does not look at shapes.
        ids = [reader.tokenizer(tf.ensure_shape(strings, [None])).ids for strings in texts]

        def read(i, logits):
            inputs = reader.frame(*[rows[i : i + windows.WINDOWS] for rows in ids])
            return i + windows.WINDOWS, tf.concat([logits, model(inputs, training=False)], axis=0)

        rows = ids[0].nrows(tf.int32)
        shapes = (tf.TensorShape([]), tf.TensorShape([None, outputs]))
        start = (tf.constant(0), tf.zeros([0, outputs]))
        _, logits = tf.while_loop(lambda i, _: i < rows, read, start, shape_invariants=shapes, parallel_iterations=1)
        return decode(logits)

    signature = [tf.TensorSpec([None], tf.string, name=field) for field in setup.fields]
    return tf.function(answer, input_signature=signature, autograph=False)


class Logits:
    """Computes a model's logits of examples, as its weights are when called, and the mean loss.

    Args:
        model: Built.
        loss: See `trainer.tasks.kind.Kind`.
        signature: Of inputs and targets.
        examples: Of N rows.
        batch_size: Rows at once.
    """

    def __init__(
        self,
        model: keras.Model,
        loss: Callable[[tf.Tensor, tf.Tensor], tuple[tf.Tensor, tf.Tensor]],
        signature: list[Any],
        examples: batches.Examples,
        batch_size: int,
    ) -> None:
        self.examples, self.plan = examples, batches.plan_evaluation(examples.lengths, batch_size)

        @tf.function(input_signature=signature, autograph=False)
        def step(inputs, targets):
            logits = model(inputs, training=False)
            return logits, *loss(targets, logits)

        self.step = step

    def __call__(self, tick: Callable[[], None]) -> tuple[np.ndarray, float]:
        """Returns logits [N, C] and the mean loss; `tick` is called between batches."""
        total, count, computed = 0.0, 0.0, []
        for inputs, targets in batches.dataset(self.examples, self.plan):
            logits, loss_of_batch, size = self.step(inputs, targets)
            computed.append(logits.numpy())
            total, count = total + float(loss_of_batch), count + float(size)
            tick()
        order = np.argsort(np.concatenate(self.plan))
        return np.concatenate(computed)[order], total / count
