"""Pairs of texts as examples to learn from, in batches of equal numbers of units.

Glossary of shapes: B batch, P pieces of a text, T target length, N examples.
"""

from pathlib import Path

import numpy as np
import tensorflow as tf

from trainer.data.schema import Row
from trainer.tasks.setup import Setup
from trainer.text.writing_reader import WritingReader
from trainer.training import batches


def examples(rows: list[Row], setup: Setup, path: str | Path | None = None) -> tuple[Setup, batches.Measured]:
    """See `trainer.tasks.kind.Kind`."""
    return setup, pairs(rows, setup)


def pairs(rows: list[Row], setup: Setup) -> "Pairs":
    """Returns the pairs of rows that have a target."""
    reader = reader_of(setup)
    sources, targets = (reader.ids([row[name] for row in rows]) for name in (*setup.fields, setup.task.target))
    return Pairs(reader, sources, targets)


def reader_of(setup: Setup) -> WritingReader:
    """Returns the reader of a setup, as architectures that write have it."""
    assert isinstance(setup.reader, WritingReader)
    return setup.reader


class Pairs(batches.InMemory):
    """Pairs of texts, tokenised once and held in memory; a `trainer.training.batches.Source`.

    Args:
        reader: Frames them.
        sources, targets: int32 [N, (P)].
    """

    asked: float | None = None  # batches have about as many units each: they are divided by those that they have

    def __init__(self, reader: WritingReader, sources: tf.RaggedTensor, targets: tf.RaggedTensor) -> None:
        self.reader, self.sources, self.targets = reader, sources, targets
        uncut = np.stack([ids.row_lengths().numpy() + 1 for ids in (sources, targets)])  # [2, N]
        self.truncated = int(np.sum(np.any(uncut > reader.max_length, axis=0)))
        self.of_each = np.minimum(uncut, reader.max_length)
        self.lengths = self.of_each.sum(axis=0)
        self.number = len(self.lengths)

    def plan(self, batch_size: int, *, seed: int, epoch: int) -> batches.Plan:
        """Returns the batches of an epoch, as many as of `batch_size` rows each, but of equal numbers of units."""
        return batches.plan_training(self.lengths, batch_size, seed=seed, epoch=epoch, equal=True)

    def _batch(self, rows):
        inputs, targets = self.reader.frame_target(tf.gather(self.targets, rows))
        return self.reader.frame(tf.gather(self.sources, rows)) | inputs, targets

    def __str__(self) -> str:
        (source, target), most = self.of_each.mean(axis=1), self.of_each.max()
        return (
            f"{self.number:,} pairs, {source:.1f} units of the source and {target:.1f} of the target on average, {most} at most; "
            f"{self.truncated} cut at {self.reader.max_length}"
        )
