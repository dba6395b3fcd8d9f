"""The batches that fine-tuning is measured on: real rows, as training reads them."""

from trainer import quiet  # noqa: F401  isort: skip  before anything else imports TensorFlow

import numpy as np

from trainer.data import datasets, files
from trainer.runs.blueprint import Blueprint
from trainer.tasks.kinds import kind_of
from trainer.tasks.setup import Setup
from trainer.tasks.table import TASKS
from trainer.training.batches import dataset, plan_training


def read(folder, task, name, length, *, labels=(), limit=None, **setup):
    """Returns examples of a data set by name, read as a model in a folder reads them, at most `length` pieces."""
    rows = files.read(datasets.path_of(name, "train", task), TASKS[task], list(labels) or files.ANY, limit=limit)
    reader = Blueprint.of_weights(folder).reader(length)
    fields = TASKS[task].fields_of(rows[0])
    return kind_of(TASKS[task]).examples(rows, Setup(TASKS[task], reader, fields, list(labels), **setup), None)[1]


def plans(examples, batch_size, batches):
    """Returns {"planned", "random"}: batches of the same examples, planned by length as training does it, and at random."""
    chosen = np.random.default_rng(0).permutation(examples.number)[: batch_size * batches]
    planned = plan_training(examples.lengths[chosen], batch_size, seed=0, epoch=1)
    return {"planned": [chosen[batch] for batch in planned], "random": list(chosen.reshape(-1, batch_size))}


def batches_of(examples, plan):
    """Returns [(inputs, targets)], numpy."""
    return [*dataset(examples, plan).as_numpy_iterator()]


def padding(batches):
    """Returns the share of padding."""
    return 1 - sum(inputs["mask"].sum() for inputs, _ in batches) / sum(inputs["mask"].size for inputs, _ in batches)


def flops(config, lengths, *, training=False, pooled=False):
    """Returns the floating-point operations of an encoder on sequences of so many real pieces: its products, no more.

    A step of training computes each product, and two of its size for the gradients. For the pooled output alone, the last layer
    needs keys and values of all pieces, and the rest of the first ones.

    Args:
        config: `trainer.architectures.bert.Config`.
        lengths: [N].
        training: Of a step, not of the encoder alone.
        pooled: Only what the pooled output needs.
    """
    lengths = np.asarray(lengths, float)
    products = 2 * weights(config) * lengths.sum()
    attention = 4 * config.layers * config.width * np.square(lengths).sum()  # scores, and the mean by them
    if pooled:
        rest = weights(config) / config.layers - 2 * config.width**2
        products -= 2 * rest * (lengths - 1).sum()
        attention -= 4 * config.width * (np.square(lengths) - lengths).sum()
    return float((3 if training else 1) * (products + attention))


def weights(config):
    """Returns how many numbers the matrices of an encoder's layers have."""
    return config.layers * config.width * (4 * config.width + 2 * (config.feed_forward or 4 * config.width))
