"""What a model is trained on, and the plan of its batches: a pure function of seed, epoch and data.

Glossary of shapes: B batch, P pieces of a text, S sequence length of a batch, N examples.
"""

from collections.abc import Iterator
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import tensorflow as tf

from trainer.text.reader import Reader
from trainer.training.step import Batch
from trainer.training.workers import ALONE, Workers

POOL = 16  # batches that are sorted by length together: little padding, and still nearly random batches

Plan = list[np.ndarray]  # indices of examples, an array for each batch


def plan_training(
    lengths: np.ndarray, batch_size: int, *, seed: int, epoch: int, pool: int = POOL, equal: bool = False
) -> Plan:
    """Returns the batches of an epoch: a pure function of its arguments.

    Rows are shuffled, sorted by length within pools of `pool` batches (length buckets whose borders follow the data), cut
    into batches, and the batches shuffled. With `equal`, a pool is cut into as many batches as without, of equal sums of
    lengths instead of equal numbers of rows.
    """
    random = np.random.default_rng([seed, epoch])
    order = random.permutation(len(lengths))
    batches = []
    for start in range(0, len(order), pool * batch_size):
        rows = order[start : start + pool * batch_size]
        rows = rows[np.argsort(lengths[rows], kind="stable")]
        places = range(batch_size, len(rows), batch_size)
        batches += np.split(rows, equal_places(lengths[rows], len(places) + 1) if equal else places)
    return [batches[i] for i in random.permutation(len(batches))]


def equal_places(lengths: np.ndarray, parts: int) -> np.ndarray:
    """Returns the places at which rows [N] are cut into so many parts, of one row or more, with about equal sums of lengths."""
    sums, number = np.cumsum(lengths), np.arange(1, parts)
    places = np.searchsorted(sums, sums[-1] * number / parts)  # the row that goes beyond a part's share begins the next
    places = np.maximum.accumulate(np.clip(places - number, 0, len(lengths) - parts))
    return places + number


def plan_evaluation(lengths: np.ndarray, batch_size: int) -> Plan:
    """Returns every row once, longest first: what does not fit in memory fails at once."""
    order = np.argsort(-lengths, kind="stable")
    return [order[i : i + batch_size] for i in range(0, len(order), batch_size)]


class Source(Protocol):
    """Examples that batches are made of: in memory as `Examples`, or read only when a batch asks for them."""

    number: int
    """Examples of an epoch."""
    asked: float | None
    """Targets that an example has on average; None: each is one."""

    def plan(self, batch_size: int, *, seed: int, epoch: int) -> Plan:
        """Returns the batches of an epoch: a pure function of its arguments and of the examples."""

    def batch(self, rows: tf.Tensor, epoch: tf.Tensor) -> Any:
        """Returns (inputs of the model, targets) of examples [B], as they are in an epoch; runs in a graph of tf.data."""


class Measured(Source, Protocol):
    """A source that knows how long its examples are."""

    lengths: np.ndarray
    """Places of each."""


def dataset(source: Source, plan: Plan, epoch: int = 0) -> tf.data.Dataset:
    """Returns what `source.batch` gives for each planned batch, made in the background, a few batches ahead."""
    rows = tf.RaggedTensor.from_row_lengths(np.concatenate(plan), [len(batch) for batch in plan])
    options = tf.data.Options()
    # Nothing here to tune; and its thread sleeps for up to 60 s, which 5 of 22 epochs waited for at their end.
    options.autotune.enabled = False
    return (
        tf.data.Dataset.from_tensor_slices(rows)
        .map(lambda batch: source.batch(batch, tf.constant(epoch, tf.int64)), num_parallel_calls=2)
        .prefetch(2)
        .with_options(options)
    )


def steps(
    source: Source,
    plan: Plan,
    batch_size: int,
    epoch: int,
    *,
    most: int | None = None,
    workers: Workers = ALONE,
) -> Iterator[tuple[list[Batch], int]]:
    """Yields, for each step of a plan, (batches of `batch_size` rows each, number of examples); where the plan has more rows in a
    step than `most` such batches, as of short rows, there are `most` of more rows each. Of several workers each gets its share
    of every batch, and the number of examples is that of its shares."""
    sizes = [max(batch_size, -(-len(rows) // (most or len(rows)))) for rows in plan]
    micro_batches = [
        [workers.share(rows[i : i + size]) for i in range(0, len(rows), size)]
        for rows, size in zip(plan, sizes, strict=True)
    ]
    batches = iter(dataset(source, [rows for step in micro_batches for rows, _ in step], epoch)) if plan else iter(())
    for step in micro_batches:
        number = sum(len(rows) for rows, counts in step if counts)
        yield (
            [Batch(inputs, targets, counts) for (_, counts), (inputs, targets) in zip(step, batches, strict=False)],
            number,
        )


class InMemory:
    """What sources share whose examples are held in memory, and are the same in every epoch."""

    def batch(self, rows: tf.Tensor, epoch: tf.Tensor) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
        """Returns (inputs of the model, targets) of examples [B], the same in every epoch."""
        return self._traced(rows)

    @cached_property
    def _traced(self):
        """`_batch` as one graph, traced once, not anew for each epoch."""
        return tf.function(self._batch, input_signature=[tf.TensorSpec([None], tf.int64)], autograph=False)

    def _batch(self, rows: tf.Tensor) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
        raise NotImplementedError


class Examples(InMemory):
    """Rows tokenised once, by the exported model's own functions, and held in memory; a `Source`.

    Args:
        reader: Frames them.
        ids: int32 [N, (P)].
        targets: int32 [N, ...], or ragged [N, (P)], one for each piece: -1 where none is asked for.
        second: int32 [N, (P)], of second texts.
        forms: Where a row has several forms, a list of rows: each a list of forms, each a list of examples. Every epoch takes
            each row in one of its forms, in turn; all forms of a row have the same number of examples.
        pool: Batches that are sorted by length together; 1: rows come at random.
        about: What the examples were made of, for `str`.
    """

    def __init__(
        self,
        reader: Reader,
        ids: tf.RaggedTensor,
        targets: tf.Tensor | tf.RaggedTensor,
        *,
        second: tf.RaggedTensor | None = None,
        forms: list[list[Any]] | None = None,
        pool: int = POOL,
        about: str = "",
    ) -> None:
        self.reader, self.ids, self.targets, self.second = reader, ids, targets, second
        self.forms, self.pool, self.about = forms, pool, about
        uncut = reader.lengths(ids, second)
        self.lengths = np.minimum(uncut, reader.max_length)
        self.truncated = int(np.sum(uncut > reader.max_length))
        self.number = sum(len(row[0]) for row in forms) if forms else len(uncut)
        self.asked = None
        if isinstance(targets, tf.RaggedTensor):
            self.asked = max(
                float(np.mean(targets.flat_values.numpy() >= 0)) * self.ids.flat_values.shape[0] / len(uncut), 1.0
            )

    def plan(self, batch_size: int, *, seed: int, epoch: int) -> Plan:
        """Returns the batches of an epoch: a pure function of its arguments and of the examples."""
        if not self.forms:
            return plan_training(self.lengths, batch_size, seed=seed, epoch=epoch, pool=self.pool)
        # Not the same form of all rows at once
        first = np.random.default_rng(seed).integers(2**20, size=len(self.forms))
        chosen = np.array([i for row, k in zip(self.forms, first + epoch, strict=True) for i in row[k % len(row)]])
        plan = plan_training(self.lengths[chosen], batch_size, seed=seed, epoch=epoch, pool=self.pool)
        return [chosen[batch] for batch in plan]

    def _batch(self, rows):
        second = None if self.second is None else tf.gather(self.second, rows)
        inputs = self.reader.frame(tf.gather(self.ids, rows), second)
        targets = tf.gather(self.targets, rows)
        if isinstance(targets, tf.RaggedTensor):
            targets = self.reader.align(targets, inputs, empty=-1)  # [B, S]
        return inputs, targets

    def __str__(self) -> str:
        return (
            f"{self.about}{self.number:,} examples, {self.lengths.mean():.1f} pieces on average, {self.lengths.max()} at most; "
            f"{self.truncated} cut at {self.reader.max_length}"
        )
