"""Passages of documents, full length, one or a pair: what BERT is pretrained on.

Reference: Devlin et al. 2018, appendix A.2; `create_instances_from_document` of google-research/bert. There the second text of
half the pairs is drawn once, and what a drawn one leaves of its passage is read again; here texts and masks are drawn anew for
each pass over the data, and what is left is not read in that pass: so every pass has the same number of examples. A sentence that fills more than half a sequence is cut; a pair has two sentences or more, so that
only documents of one need a second text from elsewhere, which the others make up for. Imports no framework: see
`trainer.pretraining.source` and `trainer.pretraining.elsewhere.mixture` for what reads it.

Glossary of shapes: B batch, S sequence length of a batch, E examples.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from trainer.corpora.shards import Corpus, Shard
from trainer.pretraining.masking import NOTHING, Masking
from trainer.text import layout
from trainer.text.vocabulary import PADDING, SEPARATOR, START

OPEN = 2**14  # documents whose ends of sentences are held: a book has many, and is drawn from often

PASS_OF_SCORES = 2**31  # the pass over the data whose draws are scored: none that is trained on


@dataclass(frozen=True)
class Example:
    """A sequence as the model reads it."""

    ids: np.ndarray  # int32 [P]: what is read
    targets: np.ndarray  # int32 [P]: what is predicted, `NOTHING` elsewhere
    second: int  # where the second text begins; P: there is none
    random: bool  # whether the second text comes from elsewhere


class Passages:
    """The passages of a corpus.

    Args:
        corpus: Of documents.
        vocabulary: By which it was cut.
        masking: Of the sequences.
        max_length: Longest sequence in pieces, special tokens included.
        pairs: Two texts a sequence.
        whole_words: Mask groups of the corpus, not single pieces.
        short: Share of the passages that are shorter, by a random length (google-research/bert draws one a document).
        documents: Which of the corpus's, their numbers in order.
        seed: Of all draws.
    """

    def __init__(
        self,
        corpus: Corpus,
        vocabulary: Sequence[str],
        masking: Masking,
        *,
        max_length: int,
        pairs: bool,
        whole_words: bool,
        short: float,
        documents: np.ndarray,
        seed: int,
    ) -> None:
        self.corpus, self.masking, self.pairs, self.seed, self.max_length = corpus, masking, pairs, seed, max_length
        self.whole_words = whole_words
        self.start, self.separator, self.padding = (vocabulary.index(token) for token in (START, SEPARATOR, PADDING))
        self.room = layout.room(max_length, 2 if pairs else 1)
        self.documents = documents
        self._document = lru_cache(OPEN)(self._cut_document)
        # Of a document, the first and the one behind the last of its sentences (of one text: of its pieces), the wanted length
        self.passages: np.ndarray = np.fromiter(self._passages(short), np.dtype((np.int32, 4)))
        self.number = len(self.passages)
        # A passage of one sentence cannot be divided: its second text always comes from elsewhere, that of others so much less.
        alone = int(np.sum(self.passages[:, 2] - self.passages[:, 1] < 2))
        self.share = max(0.0, (self.number / 2 - alone) / max(self.number - alone, 1))

    def _passages(self, short: float) -> Iterator[tuple[int, int, int, int]]:
        """Yields (document, first, the one behind the last, wanted length) of passages one after the other."""
        draw = np.random.default_rng(self.seed)
        for number in map(int, self.documents):
            _, ends = self._document(number)
            ends = (ends - ends[0]).tolist()
            if not self.pairs:
                start = 0
                while start < ends[-1]:
                    wanted = self._wanted(draw, short)
                    yield number, start, min(start + wanted, ends[-1]), wanted
                    start += wanted
                continue
            first, last, wanted = 0, len(ends) - 1, self._wanted(draw, short)
            for sentence in range(1, last + 1):
                full = ends[sentence] - ends[first] >= wanted and sentence - first > 1
                if full or sentence == last:
                    if sentence - first > 1 or len(self.documents) > 1:  # else there is no second text
                        yield number, first, sentence, wanted
                    first, wanted = sentence, self._wanted(draw, short)

    def _cut_document(self, number: int) -> tuple[Shard, np.ndarray]:
        """Returns what `Corpus.document` does, sentences that fill more than half a sequence cut: so all of them are read."""
        shard, ends = self.corpus.document(number)
        most, lengths = self.room // 2, np.diff(ends)
        if not self.pairs or np.all(lengths <= most):
            return shard, ends
        long = lengths > most
        cut = [
            np.arange(end - length + most, end, most) for end, length in zip(ends[1:][long], lengths[long], strict=True)
        ]
        return shard, np.unique(np.concatenate([ends, *cut]))

    def _wanted(self, draw, short):
        return int(draw.integers(2, self.room + 1)) if short and draw.random() < short else self.room

    def arrays(self, rows: Sequence[int], epoch: int) -> tuple[np.ndarray, ...]:
        """Returns examples as they are in a pass over the data: ids int32 [B, S], segments int32 [B, S], mask bool [B, S], targets
        int32 [B, S], and int32 [B], 1 where the second text comes from elsewhere."""
        examples = [self.example(row, epoch) for row in rows]
        shape = (len(examples), max(len(example.ids) for example in examples))
        ids, segments = np.full(shape, self.padding, np.int32), np.zeros(shape, np.int32)
        mask, targets = np.zeros(shape, bool), np.full(shape, NOTHING, np.int32)
        for i, example in enumerate(examples):
            length = len(example.ids)
            ids[i, :length], targets[i, :length], mask[i, :length] = example.ids, example.targets, True
            segments[i, example.second : length] = 1
        return ids, segments, mask, targets, np.array([example.random for example in examples], np.int32)

    def example(self, row: int, epoch: int) -> Example:
        """Returns a passage as it is in a pass over the data: a pure function of seed, pass and row."""
        draw = np.random.default_rng([self.seed, int(epoch), int(row)])
        document, first, stop, wanted = self.passages[row].tolist()
        texts, random = self._texts(document, first, stop, wanted, draw)
        self._truncate(texts, draw)
        ids, groups, last = [np.array([self.start])], [np.zeros(1, np.int64)], 0
        for text_ids, begins in texts:
            numbered = (np.cumsum(begins) if self.whole_words else np.arange(1, len(text_ids) + 1)) + last
            last = numbered[-1] if len(numbered) else last
            ids += [text_ids, np.array([self.separator])]
            groups += [numbered, np.zeros(1, np.int64)]
        whole = np.concatenate(ids).astype(np.int32)
        read, targets = self.masking(whole, np.concatenate(groups), draw)
        second = len(texts[0][0]) + 2 if self.pairs else len(whole)
        return Example(read, targets, second, random)

    def _texts(self, document, first, last, wanted, draw):
        """Returns ([(ids, begins)] of one text or two, whether the second comes from elsewhere)."""
        shard, ends = self._document(document)
        text = lambda a, b: [self._slice(shard, ends[a], ends[b])]
        if not self.pairs:
            return [self._slice(shard, ends[0] + first, ends[0] + last)], False
        if last - first < 2:
            middle, random = last, True
        else:
            middle, random = int(draw.integers(first + 1, last)), bool(draw.random() < self.share)
        if not random or len(self.documents) < 2:
            return text(first, middle) + text(middle, last), False
        place = int(draw.integers(len(self.documents) - 1))
        other = self.documents[place + (self.documents[place] >= document)]  # any but this one
        shard_of_other, ends_of_other = self._document(int(other))
        start = int(draw.integers(len(ends_of_other) - 1))
        length = max(wanted - int(ends[middle] - ends[first]), 1)
        stop = min(int(np.searchsorted(ends_of_other, ends_of_other[start] + length)), len(ends_of_other) - 1)
        second = self._slice(shard_of_other, ends_of_other[start], ends_of_other[stop])
        return [*text(first, middle), second], True

    @staticmethod
    def _slice(shard, start, end):
        begins = shard.begins[start:end].copy()
        begins[:1] = True
        return shard.ids[start:end].astype(np.int32), begins

    def _truncate(self, texts, draw):
        """Cuts two texts to the room there is: the longer one, piece by piece, at its start or its end, as it is drawn."""
        if len(texts) == 1:
            return
        lengths = [len(ids) for ids, _ in texts]
        kept = min(lengths[0], max(self.room - lengths[1], (self.room + 1) // 2))
        for i, most in enumerate((kept, self.room - kept)):
            lost = max(lengths[i] - most, 0)
            start = int(draw.binomial(lost, 0.5)) if lost else 0
            end = lengths[i] - (lost - start)
            ids, begins = (values[start:end] for values in texts[i])
            begins[:1] = True
            texts[i] = ids, begins


def divided(number: int, share: float, least: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns (the documents that are scored, evenly spaced, so many at least; those that are trained on)."""
    count = min(max(round(number * share), least), number - least) if share else 0
    held_out = np.linspace(0, number - 1, max(count, 0) + 2)[1:-1].round().astype(np.int64)
    return np.unique(held_out), np.setdiff1d(np.arange(number), held_out)
