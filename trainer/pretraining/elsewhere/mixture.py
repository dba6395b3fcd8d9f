"""Batches of one shape, drawn from several corpora: what a model is pretrained on where batches are not made by tf.data.

A batch is a pure function of the seed and of its number, whoever makes it. Imports no framework.

Glossary of shapes: B batch, S sequence length, P places of a row that are predicted at most.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate
from typing import NamedTuple

import numpy as np

from trainer.pretraining.masking import NOTHING
from trainer.pretraining.passages import Example, Passages


class Batch(NamedTuple):
    """Sequences in the fewest bytes; see `trainer.pretraining.elsewhere.masked.Masked.inputs`."""

    ids: np.ndarray  # uint16 or int32 [B, S]: what is read; 0 behind the end of a row
    lengths: np.ndarray  # int32 [B]
    seconds: np.ndarray  # int32 [B]: where the second text begins
    places: np.ndarray  # int32 [B, P]: of what is predicted
    words: np.ndarray  # int32 [B, P]: what stood there, `NOTHING` behind the last
    next: np.ndarray  # int32 [B]: 1 where the second text comes from elsewhere, `NOTHING` in rows that fill the batch

    @property
    def rows(self) -> int:
        """B."""
        return len(self.ids)


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
