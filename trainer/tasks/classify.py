"""One of several labels for a text, or for two.

Glossary of shapes: B batch, C classes.
"""

import json
from dataclasses import replace

import keras
import numpy as np
import tensorflow as tf

from trainer.data import files
from trainer.metrics import METRICS
from trainer.text import frame, windows
from trainer.training import batches

ENCODER = {"pooled_only": True}
LAYERS = ("classifier",)
ARCHITECTURE = "BertForSequenceClassification"
TARGETS = tf.TensorSpec([None], tf.int32)


def build(encoder, classes, *, dropout, seed):
    dropout_seed = 1000 * seed + 999  # the encoder counts its own from 1000 * seed
    x = keras.layers.Dropout(dropout, seed=dropout_seed, name="classifier_dropout")(encoder.output["pooled"])  # [B, D]
    initializer = keras.initializers.TruncatedNormal(stddev=0.02, seed=seed)
    logits = keras.layers.Dense(classes, kernel_initializer=initializer, name="classifier")(x)  # [B, C]
    return keras.Model(encoder.input, logits, name="classify")


def examples(rows, task, reading, path=None):
    reading = replace(reading, labels=reading.labels or files.labels_of(rows, task))
    first, *second = [batches.tokenize([row[field] for row in rows], reading.tokenizer) for field in reading.fields]
    targets = tf.constant([reading.labels.index(row[task.target]) for row in rows], tf.int32)
    second = second[0] if second else None
    return reading, batches.Examples(first, targets, reading.tokenizer, reading.max_length, second=second)


def loss(targets, logits):
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(targets, logits)  # [B]
    return tf.reduce_sum(losses), tf.cast(tf.size(losses), tf.float32)


def decode(logits, labels):
    """Returns label [B] string, score [B], probabilities [B, C], labels [B, C] string."""
    probabilities = tf.nn.softmax(logits)
    names = tf.constant(labels)
    return {
        "label": tf.gather(names, tf.argmax(logits, axis=-1)),
        "score": tf.reduce_max(probabilities, axis=-1),
        "probabilities": probabilities,
        "labels": tf.tile(names[None], [tf.shape(logits)[0], 1]),
    }


def functions(model, reading):
    """Returns {"serving_default"}: a text [B], or two, -> what `decode` returns; `windows.WINDOWS` rows are read at once."""
    tokenizer = reading.tokenizer

    def answer(*texts):
        # A session does not look at shapes.
        ids = [tokenizer(tf.ensure_shape(strings, [None])).ids for strings in texts]

        def read(i, logits):
            first, *second = (rows[i : i + windows.WINDOWS] for rows in ids)
            inputs = frame.pack(first, tokenizer, reading.max_length, second=second[0] if second else None)
            return i + windows.WINDOWS, tf.concat([logits, model(inputs, training=False)], axis=0)

        number, classes = ids[0].nrows(tf.int32), len(reading.labels)
        shapes = (tf.TensorShape([]), tf.TensorShape([None, classes]))
        loop = (tf.constant(0), tf.zeros([0, classes]))
        _, logits = tf.while_loop(lambda i, _: i < number, read, loop, shape_invariants=shapes, parallel_iterations=1)
        return decode(logits, reading.labels)

    signature = [tf.TensorSpec([None], tf.string, name=field) for field in reading.fields]
    return {"serving_default": tf.function(answer, input_signature=signature, autograph=False)}


class Scorer:
    """Scores a model as it is when called, on rows tokenised once: () -> {metric, loss, examples}.

    Args:
        model: Built, weights as they are at each call.
        reading: Of the run.
        rows: With gold values.
        task: A `Task`.
        batch_size: Rows at once.
        tune: Of question answering.
    """

    def __init__(self, model, reading, rows, task, batch_size, *, tune=False):
        self.rows, self.task, self.labels, self.batch_size = rows, task, reading.labels, batch_size
        self.metric = task.metric  # by which epochs are compared
        _, self.examples = examples(rows, task, reading)

        @tf.function(input_signature=[frame.INPUTS, TARGETS], autograph=False)
        def step(inputs, targets):
            logits = model(inputs, training=False)
            return tf.argmax(logits, axis=-1), *loss(targets, logits)

        self.step = step

    def __call__(self, tick=lambda: None):
        """`tick` is called between batches."""
        predicted, total, number = np.empty(len(self.rows), np.int64), 0.0, 0.0
        for inputs, targets, places in self.examples.batches(self.examples.plan_evaluation(self.batch_size)):
            predicted[places.numpy()], sum_of_batch, count = self.step(inputs, targets)
            total, number = total + float(sum_of_batch), number + float(count)
            tick()
        self.predicted = [self.labels[i] for i in predicted]
        score = METRICS[self.task.metric]([row[self.task.target] for row in self.rows], self.predicted)
        return {self.task.metric: round(score, 6), "loss": round(total / number, 6), "examples": len(self.rows)}

    def predictions(self, path, column=None):
        """Returns {ending: content} of files of what was predicted: JSON lines."""
        lines = [row | {"predicted": label} for row, label in zip(self.rows, self.predicted, strict=True)]
        return {"": "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)}

    def variants(self):
        """Returns {name: scores} of other forms of the rows; there are none."""
        return {}

    def __str__(self):
        return str(self.examples)
