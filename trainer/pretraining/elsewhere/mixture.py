"""Batches of one shape, drawn from several corpora: what a model is pretrained on where batches are not made by tf.data.

A batch is a pure function of the seed and of its number, whoever makes it: processes that each make every so many-th one give
the same as one alone. Imports no framework.

Glossary of shapes: B batch, S sequence length, P places of a row that are predicted at most.
"""

import multiprocessing
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate, cycle, islice
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Generic, NamedTuple, TypeVar

import numpy as np

from trainer.errors import Failure
from trainer.pretraining.masking import NOTHING
from trainer.pretraining.passages import Example, Passages

AHEAD = 4  # batches that a process is asked for at once
X = TypeVar("X")


class Batch(NamedTuple):
    """Sequences in the fewest bytes; see `trainer.pretraining.elsewhere.steps.unfolded`."""

    ids: np.ndarray  # uint16 or int32 [B, S]: what is read; 0 behind the end of a row
    lengths: np.ndarray  # int32 [B]
    seconds: np.ndarray  # int32 [B]: where the second text begins
    places: np.ndarray  # int32 [B, P]: of what is predicted
    words: np.ndarray  # int32 [B, P]: what stood there, `NOTHING` behind the last
    next: (
        np.ndarray
    )  # int32 [B]: 1 where the second text comes from elsewhere, `NOTHING` in rows that only fill the batch


@dataclass(frozen=True)
class Part:
    """Passages of a mixture.

    Args:
        name: Parts of one name are scored together.
        passages: Of a corpus, each with its own second texts from elsewhere.
        times: How often a pass over the data reads them, each time with other masks and pairs.
    """

    name: str
    passages: Passages
    times: int = 1


class Mixture:
    """Passages of several corpora in one random order, endlessly.

    Args:
        parts: Of which it is made.
        max_length: S.
        most: P.
        seed: Of the order.
    """

    def __init__(self, parts: Sequence[Part], *, max_length: int, most: int, seed: int) -> None:
        self.parts, self.max_length, self.most, self.seed = parts, max_length, most, seed
        self.number = sum(part.passages.number * part.times for part in parts)  # of a pass
        self._starts = [*accumulate((part.passages.number * part.times for part in parts), initial=0)]
        self._order = lru_cache(2)(lambda number: np.random.default_rng([seed, number]).permutation(self.number))

    def batch(self, number: int, size: int) -> Batch:
        """Returns a batch by its number, counted over all passes, of which none is cut short."""
        places = range(number * size, (number + 1) * size)
        return self.of([self._example(*divmod(place, self.number)) for place in places], size)

    def _example(self, number, place):
        row = int(self._order(number)[place])
        i = int(np.searchsorted(self._starts, row, side="right")) - 1
        part = self.parts[i]
        turn, row = divmod(row - self._starts[i], part.passages.number)
        return part.passages.example(row, number * part.times + turn)

    def of(self, examples: Sequence[Example], size: int) -> Batch:
        """Returns examples as a batch of so many rows, the last of them empty."""
        ids = np.zeros((size, self.max_length), np.int32)
        lengths, seconds = np.ones(size, np.int32), np.full(size, self.max_length, np.int32)
        places, words = np.zeros((size, self.most), np.int32), np.full((size, self.most), NOTHING, np.int32)
        follows = np.full(size, NOTHING, np.int32)
        for i, example in enumerate(examples):
            lengths[i], seconds[i], follows[i] = len(example.ids), example.second, example.random
            ids[i, : lengths[i]] = example.ids
            chosen = np.flatnonzero(example.targets != NOTHING)
            places[i, : len(chosen)], words[i, : len(chosen)] = chosen, example.targets[chosen]
        return Batch(ids, lengths, seconds, places, words, follows)


class Makers(Generic[X]):
    """Processes that make things by their numbers; a context manager.

    They are forked: start them before a framework starts its threads.

    Args:
        make: number -> what is made.
        processes: How many; 0: this one makes it.

    Raises:
        Failure: When called: one of them is gone.
    """

    def __init__(self, make: Callable[[int], X], processes: int) -> None:
        self.make = make
        context = multiprocessing.get_context("fork")
        self._ends: list[Connection] = []
        for _ in range(processes):
            here, there = context.Pipe()
            context.Process(target=_serve, args=(make, there, here, *self._ends), daemon=True).start()
            there.close()
            self._ends.append(here)

    def __enter__(self) -> "Makers[X]":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for end in self._ends:
            end.close()  # by which the process ends

    def __call__(self, numbers: Iterable[int]) -> Iterator[X]:
        """Yields what is made of numbers, in their order."""
        if not self._ends:
            yield from map(self.make, numbers)
            return
        asked: deque = deque()
        pairs = zip(numbers, cycle(self._ends), strict=False)
        for number, end in islice(pairs, AHEAD * len(self._ends)):
            end.send(number)
            asked.append(end)
        while asked:
            try:
                made = asked.popleft().recv()
            except (EOFError, OSError):
                raise Failure("a process that draws batches ended (out of memory?); the same command goes on") from None
            for number, end in islice(pairs, 1):
                with suppress(OSError):  # it ended: said when it is its turn
                    end.send(number)
                asked.append(end)
            yield made


def _serve(make, end, *others):
    """Makes what is asked for, until nobody asks."""
    for other in others:  # as long as it is open here, too, another process would wait for ever
        other.close()
    try:
        while True:
            end.send(make(end.recv()))
    except (EOFError, OSError):
        pass
