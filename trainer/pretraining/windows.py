"""The text of language models: a stream of units, read in windows that follow each other.

Glossary of shapes: B rows of a batch, S length of a window, N units of a stream.
"""

from bisect import bisect_right
from itertools import accumulate

import numpy as np
import tensorflow as tf

from models.elmo import BACKWARD
from trainer.corpora.shards import Corpus
from trainer.pretraining.masking import NOTHING  # here the target of a place behind the end of the text
from trainer.training import batches


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


class BothWays:
    """Windows of a stream in both directions at once, for ELMo; a `trainer.training.batches.Source`.

    Args:
        forward, backward: `Windows` of one stream, the second one reversed.
    """

    asked: float | None = None

    def __init__(self, forward: "Windows", backward: "Windows") -> None:
        self.forward, self.backward = forward, backward
        self.stream, self.length, self.rows, self.carried = (
            forward.stream,
            forward.length,
            forward.rows,
            forward.carried,
        )
        self.number, self.steps, self.plan = forward.number, forward.steps, forward.plan

    def batch(self, rows: tf.Tensor, epoch: tf.Tensor) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
        """See `Windows.batch`; also `backward_token_ids`, and targets int32 [2, B, S]."""
        inputs, targets = self.forward.batch(rows, epoch)
        turned, of_turned = self.backward.batch(rows, epoch)
        return inputs | {BACKWARD + "token_ids": turned["token_ids"]}, tf.concat([targets, of_turned], 0)


class Windows:
    """Windows of a stream, each of them one behind the other: what stands in a row, and what follows it; a
    `trainer.training.batches.Source`.

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
        shifted: In each pass the windows begin elsewhere, at random.
        reversed: Read from the end to the beginning.
        seed: Of all draws.
    """

    asked: float | None = None

    def __init__(
        self,
        stream: Stream,
        length: int,
        rows: int,
        *,
        carried: bool,
        end: int,
        padding: int,
        shifted: bool = False,
        reversed: bool = False,
        seed: int = 0,
    ) -> None:
        self.stream, self.length, self.rows, self.carried = stream, length, rows, carried
        self.end, self.padding, self.shifted, self.reversed, self.seed = end, padding, shifted, reversed, seed
        self.number = -(-len(stream) // length)
        self.steps = -(-self.number // rows)  # of a pass

    def plan(self, batch_size: int, *, seed: int, epoch: int) -> batches.Plan:
        """See `batches.Source`."""
        if self.carried:
            row = np.arange(self.rows) * self.steps
            return [row + step for step in range(self.steps)]
        order = np.random.default_rng([seed, epoch]).permutation(self.number)
        return [order[i : i + batch_size] for i in range(0, len(order), batch_size)]

    def batch(self, rows: tf.Tensor, epoch: tf.Tensor) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
        """See `batches.Source`: ({`token_ids` int32 [B, S], `begins` bool [], whether a pass begins}, targets int32 [1, B, S])."""
        ids = tf.numpy_function(self._windows, [rows, epoch], tf.int32, stateful=False)  # [2, B, S]
        ids.set_shape([2, None, self.length])
        return {"token_ids": ids[0], "begins": rows[0] == 0}, ids[1:]

    def _windows(self, rows, epoch):
        shift = int(np.random.default_rng([self.seed, int(epoch)]).integers(self.length)) if self.shifted else 0
        return np.stack([self._window(int(row) * self.length - shift) for row in rows], axis=1)

    def _window(self, start):
        """Returns what is read from a place on, and what follows each, int32 [2, S]."""
        first, last = max(start - 1, 0), min(start + self.length, len(self.stream))
        if self.reversed:
            ids = self.stream[len(self.stream) - last : len(self.stream) - first][::-1]
        else:
            ids = self.stream[first:last]
        row = np.full(self.length + 1, NOTHING, np.int32)  # the unit before the place, and those behind it
        place = first - (start - 1)
        row[place : place + len(ids)] = ids
        read = np.where(row[:-1] == NOTHING, self.padding, row[:-1])
        if place:
            read[place - 1] = self.end  # before the first unit of all
        return np.stack([read, row[1:]])
