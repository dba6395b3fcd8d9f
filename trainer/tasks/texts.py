"""What the kinds of tasks share whose answer is of a whole text, or of two.

Glossary of shapes: B batch, C outputs of the head, N rows.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from trainer.data.schema import Row
from trainer.reports.outcomes import Wrong
from trainer.tasks.kind import Transformers
from trainer.tasks.setup import Setup
from trainer.text import windows
from trainer.training import batches
from trainer.training.step import Loss, in_float32

SNIPPET = """\
import torch
from transformers import AutoTokenizer, {class_name}

tokenizer, model = AutoTokenizer.from_pretrained("{name}"), {class_name}.from_pretrained("{name}")
inputs = tokenizer("a text", return_tensors="pt", truncation=True)  # of two texts: tokenizer("one", "other", ...)
"""
Decode = Callable[[tf.Tensor], dict[str, tf.Tensor]]


def examples(rows: list[Row], setup: Setup, targets: tf.Tensor) -> batches.Examples:
    """Returns rows of texts with their targets [N, ...] as examples."""
    first, *second = [setup.reader.ids([row[field] for row in rows]) for field in setup.fields]
    return batches.Examples(setup.reader, first, targets, second=second[0] if second else None)


class Parts:
    """See `trainer.tasks.parts.Parts`: a text [B], or two, and what `decode` makes of logits [B, C]."""

    def __init__(self, setup: Setup, decode: Decode) -> None:
        self.reader, self._decode = setup.reader, decode
        self.signature = [tf.TensorSpec([None], tf.string, name=field) for field in setup.fields]

    def read(self, *texts: tf.Tensor) -> list[tf.RaggedTensor]:
        """Returns the pieces of each text [B, (P)]."""
        # A session does not look at shapes.
        return [self.reader.tokenizer(tf.ensure_shape(strings, [None])).ids for strings in texts]

    def frame(self, ids: list[tf.RaggedTensor]) -> dict[str, tf.Tensor]:
        """Returns the inputs of the model."""
        return self.reader.frame(*ids)

    def decode(self, ids: list[tf.RaggedTensor], logits: tf.Tensor) -> dict[str, tf.Tensor]:
        """Returns the answers to logits [B, C]."""
        return self._decode(logits)


def function(model: keras.Model, parts: Parts) -> Any:
    """Returns a tf.function from the strings of `parts` to their answers; `windows.WINDOWS` rows are read at once."""
    outputs = model.output.shape[-1]

    def answer(*texts):
        ids = parts.read(*texts)

        def read(i, logits):
            inputs = parts.frame([rows[i : i + windows.WINDOWS] for rows in ids])
            return i + windows.WINDOWS, tf.concat([logits, model(inputs, training=False)], axis=0)

        rows = ids[0].nrows(tf.int32)
        shapes = (tf.TensorShape([]), tf.TensorShape([None, outputs]))
        start = (tf.constant(0), tf.zeros([0, outputs]))
        _, logits = tf.while_loop(lambda i, _: i < rows, read, start, shape_invariants=shapes, parallel_iterations=1)
        return parts.decode(ids, logits)

    return tf.function(answer, input_signature=parts.signature, autograph=False)


def functions(parts: Callable[[Setup], dict[str, Parts]]) -> Callable[[keras.Model, Setup], dict[str, Any]]:
    """Returns `trainer.tasks.kind.Kind.functions` of a kind's `parts`."""
    return lambda model, setup: {name: function(model, each) for name, each in parts(setup).items()}


def transformers(ending: str, problem_type: str | None = None) -> Transformers:
    """Returns what transformers calls a classifier of texts, whatever its loss; `ending`: the program's lines that print."""
    return Transformers("ForSequenceClassification", "text-classification", SNIPPET + ending, problem_type)


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
        loss: Loss,
        signature: list[Any],
        examples: batches.Examples,
        batch_size: int,
    ) -> None:
        self.examples, self.plan = examples, batches.plan_evaluation(examples.lengths, batch_size)

        @tf.function(input_signature=signature, autograph=False)
        def step(inputs, targets):
            logits = in_float32(model(inputs, training=False))
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


class TextScorer:
    """What the scorers of texts share: rows tokenised once, logits, files of what was predicted.

    Args:
        model: Built, weights as they are at each call.
        setup: Of the run.
        rows: With gold values.
        batch_size: Rows at once.
        examples: Of the rows.
        loss, targets: See `trainer.tasks.kind.Kind`.
    """

    predicted: list[Any]  # of each row, at the last call

    def __init__(
        self,
        model: keras.Model,
        setup: Setup,
        rows: list[Row],
        batch_size: int,
        *,
        examples: batches.Examples,
        loss: Loss,
        targets: tf.TensorSpec,
    ) -> None:
        self.setup, self.rows, self.metric, self.examples = setup, rows, setup.task.metric, examples
        self.golds = [row[setup.task.target] for row in rows]
        self.logits = Logits(model, loss, [setup.reader.inputs(len(setup.fields)), targets], examples, batch_size)

    def lengths(self) -> dict[str, np.ndarray]:
        """Returns what the length of a row is, for reports: the characters of its texts [N]."""
        return {"characters": np.array([sum(len(row[field]) for field in self.setup.fields) for row in self.rows])}

    def wrong(self, place: int, surety: float, **answer: Any) -> Wrong:
        """Returns a wrong answer to the row at a place, for `--errors`."""
        return Wrong(surety, {field: self.rows[place][field] for field in self.setup.fields} | answer)

    def predictions(self, path: str | Path, column: str | int | None = None) -> dict[str, list[Row]]:
        """Returns {ending: rows} of what was predicted."""
        return {"": [row | {"predicted": value} for row, value in zip(self.rows, self.predicted, strict=True)]}

    def variants(self) -> dict[str, Any]:
        """Returns {name: scores} of other forms of the rows; there are none."""
        return {}

    def __str__(self) -> str:
        return str(self.examples)
