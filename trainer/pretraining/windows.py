"""The text of language models: a stream of units, read in windows that follow each other. Imports no framework.

Glossary of shapes: K directions, B rows of a batch, S length of a window, N units of a stream.
"""

import math
from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from typing import Any, Self

import numpy as np

from trainer.corpora.shards import Corpus
from trainer.pretraining.masking import NOTHING  # here the target of a place behind the end of the text
from trainer.text.vocabulary import PADDING, SEPARATOR

WORDLESS = 20  # characters a word on average, above which a text has no spaces between its words


class Stream:
    """Units of a corpus in a row, of which memory holds what is looked at.

    Args:
        corpus: A stream, see `trainer.corpora.shards`.
        first, last: Its first paragraph, and the one behind its last.
    """

    def __init__(self, corpus: Corpus, first: int = 0, last: int | None = None) -> None:
        self.corpus = corpus
        self.before = [0, *accumulate(size.pieces for size in corpus.sizes)]  # units before each shard
        last = corpus.sentences if last is None else last
        self.start, self.stop, self.characters, self.words = 0, 0, 0, 0
        place = 0  # paragraphs before a shard
        for number, size in enumerate(corpus.sizes):
            a, b = max(first - place, 0), min(last - place, size.sentences)
            place += size.sentences
            if a < b:
                shard = corpus.shard(number)
                if not self.stop:
                    self.start = self.before[number] + (int(shard.sentences[a - 1]) if a else 0)
                self.stop = self.before[number] + int(shard.sentences[b - 1])
                characters, words = shard.lengths[a:b].sum(axis=0, dtype=np.int64).tolist()
                self.characters, self.words = self.characters + characters, self.words + words

    def __len__(self) -> int:
        return self.stop - self.start

    def __getitem__(self, place: slice) -> np.ndarray:
        """Returns the units from a place until before another, int32."""
        start, stop = self.start + place.start, min(self.start + place.stop, self.stop)
        found = []
        while start < stop:
            number = bisect_right(self.before, start) - 1
            ids = self.corpus.shard(number).ids[start - self.before[number] : stop - self.before[number]]
            found.append(ids.astype(np.int32))
            start += len(ids)
        return np.concatenate(found) if found else np.zeros(0, np.int32)


def divided(corpus: Corpus, share: float) -> tuple[Stream, Stream]:
    """Returns (all of a corpus but its end, its end: the paragraphs that end in the last `share` of its units)."""
    border = corpus.pieces * (1 - share)
    paragraph = place = 0
    for shard, size in zip(corpus.shards, corpus.sizes, strict=True):
        paragraph += int(np.searchsorted(shard.sentences, border - place))
        place += size.pieces
    paragraph = min(paragraph, corpus.sentences) if share else corpus.sentences
    return Stream(corpus, 0, paragraph), Stream(corpus, paragraph)


def streams_of(corpora: Sequence[Corpus], share: float) -> tuple[Stream, Stream]:
    """Returns (what is trained on, what is scored): of one corpus see `divided`; of two, all of each."""
    if len(corpora) == 1:
        return divided(corpora[0], share)
    train, held_out = map(Stream, corpora)
    return train, held_out


class Windows:
    """Windows of a stream, each of them one behind the other: what stands in a row, and what follows it.

    A window is read behind what stands before it, the first one of all behind the end of a line. What goes beyond the end of the
    stream is padding, of which nothing is asked.

    Args:
        stream: Of units.
        length: S.
        rows: B, of a batch.
        carried: Each row of a batch goes on where that of the batch before ended, so that a state can pass from one to the
            next; else batches are windows at random.
        end: Id of the end of a line.
        padding: Id of what stands behind the end.
        directions: K: 1; or 2, for ELMo: the second one reads from the end to the beginning.
        shifted: In each pass the windows begin elsewhere, at random.
        seed: Of all draws.
    """

    def __init__(
        self,
        stream: Stream,
        length: int,
        rows: int,
        *,
        carried: bool,
        end: int,
        padding: int,
        directions: int = 1,
        shifted: bool = False,
        seed: int = 0,
    ) -> None:
        self.stream, self.length, self.rows, self.carried = stream, length, rows, carried
        self.end, self.padding, self.directions, self.shifted, self.seed = end, padding, directions, shifted, seed
        self.number = -(-len(stream) // length)
        self.steps = -(-self.number // rows)  # of a pass

    @classmethod
    def of(
        cls,
        stream: Stream,
        vocabulary: list[str],
        settings: dict[str, Any],
        rows: int,
        *,
        carried: bool,
        directions: int,
        shifted: bool = False,
    ) -> Self:
        """Returns the windows of a stream, as a run with these options reads them: `shifted` what it learns from; of what is scored
        fewer rows, where there are fewer windows."""
        length = settings["max_length"]
        return cls(
            stream,
            length,
            rows if shifted else max(min(rows, -(-len(stream) // length)), 1),
            carried=carried,
            end=vocabulary.index(SEPARATOR),
            padding=vocabulary.index(PADDING),
            directions=directions,
            shifted=shifted,
            seed=settings["seed"],
        )

    def scored(self, limit: int | None = None) -> list[np.ndarray]:
        """Returns the windows of each batch that is scored: of all, or of so many at most."""
        plan = self.plan(self.rows, seed=0, epoch=0)
        return plan[: None if limit is None else max(limit // self.rows, 1)]

    def scores(self, loss: float, right: float, count: int, unigram: float | None = None) -> dict[str, Any]:
        """Returns scores by name, see `trainer.pretraining.next_units.Scorer`.

        Args:
            loss: Sum of the nats of all targets.
            right: How many of them were the most likely.
            count: Of the targets.
            unigram: Sum of the nats by how often each unit is.
        """
        stream, mean = self.stream, loss / count
        scores = {"loss": mean, "perplexity": _e(mean), "accuracy": right / count}
        scores["bits_per_character"] = mean * len(stream) / stream.characters / math.log(2)
        if stream.characters / stream.words < WORDLESS:
            scores["word_perplexity"] = _e(mean * len(stream) / stream.words)
        if unigram is not None:
            scores["unigram_loss"] = unigram / count
        rounded = {name: round(value, 6) for name, value in scores.items()}
        return rounded | {"units": round(count / self.directions)}

    def plan(self, batch_size: int, *, seed: int, epoch: int) -> list[np.ndarray]:
        """Returns the windows of each batch of a pass, see `trainer.training.batches.Source`."""
        if self.carried:
            row = np.arange(self.rows) * self.steps
            return [row + step for step in range(self.steps)]
        order = np.random.default_rng([seed, epoch]).permutation(self.number)
        return [order[i : i + batch_size] for i in range(0, len(order), batch_size)]

    def arrays(self, rows: np.ndarray, epoch: int) -> np.ndarray:
        """Returns windows as they are in a pass, int32 [2, K, B, S]: what is read, and what follows each."""
        shift = int(np.random.default_rng([self.seed, int(epoch)]).integers(self.length)) if self.shifted else 0
        starts = [int(row) * self.length - shift for row in rows]
        directions = [[self._window(start, turned) for start in starts] for turned in range(self.directions)]
        return np.array(directions, np.int32).transpose(2, 0, 1, 3)

    def _window(self, start, turned):
        """Returns what is read from a place on, and what follows each, int32 [2, S]; `turned`: from the end to the beginning."""
        first, last = max(start - 1, 0), min(start + self.length, len(self.stream))
        size = len(self.stream)
        ids = self.stream[size - last : size - first][::-1] if turned else self.stream[first:last]
        row = np.full(self.length + 1, NOTHING, np.int32)  # the unit before the place, and those behind it
        place = first - (start - 1)
        row[place : place + len(ids)] = ids
        read = np.where(row[:-1] == NOTHING, self.padding, row[:-1])
        if place:
            read[place - 1] = self.end  # before the first unit of all
        return np.stack([read, row[1:]])


def _e(nats):
    return math.exp(min(nats, 700.0))  # JSON has no infinity
