"""Shards of tokens on disk, memory-mapped: what pretraining draws its examples from.

A shard is a folder of arrays: the ids of its pieces; which of them begin a group (a word, of Chinese as the segmenter has
it): groups are masked as a whole; where sentences end, in pieces; where documents end, in sentences.

A corpus may also be a stream, the text as a language model reads it: nothing is left out, each paragraph ends with [SEP] (the end
of its line), each document with one more (the blank line), and paragraphs stand where else sentences do.

Glossary of shapes: N pieces of a shard, T sentences, D documents.
"""

import json
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from functools import lru_cache
from itertools import accumulate
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from trainer.writing import new_folder, write_json

INDEX = "index.json"
OPEN = 32  # shards that are open at once: each holds a file an array
COUNTS = "counts.json"


class Shard(NamedTuple):
    """A part of a corpus as tokens."""

    ids: np.ndarray  # uint16 or int32 [N]
    begins: np.ndarray  # bool [N]: a group begins
    sentences: np.ndarray  # int64 [T]: their ends, in pieces
    documents: np.ndarray  # int64 [D]: their ends, in sentences
    lengths: np.ndarray = np.zeros([0, 2], np.int32)
    """Of a stream, int32 [T, 2]: characters and words (between white space) of each paragraph, the end of its line included."""


class Size(NamedTuple):
    """How much a shard has."""

    documents: int
    sentences: int
    pieces: int


def write(folder: Path, shard: Shard, counts: Mapping[str, int]) -> None:
    """Writes a shard as a folder that appears whole or not at all; `counts`: what else is known of it."""
    with new_folder(folder) as part:
        for name, array in shard._asdict().items():
            np.save(part / f"{name}.npy", array)
        write_json(part / COUNTS, dict(counts))


class Corpus:
    """The shards of a folder as one row of documents, sentences and pieces, of which memory holds what is looked at.

    Raises:
        FileNotFoundError: The folder holds no corpus, or one that was not finished.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.index: dict[str, Any] = json.loads((folder / INDEX).read_text())
        self.sizes = [Size(*size) for size in self.index["sizes"]]
        self._documents = [0, *accumulate(size.documents for size in self.sizes)]  # before each shard
        self.shard = lru_cache(OPEN)(self._shard)
        self.documents, self.sentences, self.pieces = (
            sum(getattr(size, name) for size in self.sizes) for name in Size._fields
        )

    def _shard(self, number: int) -> Shard:
        """Returns a shard, memory-mapped."""
        folder = self.folder / self.index["shards"][number]
        # Plain arrays over the mapped memory: slices of `np.memmap` cost much more
        return Shard(*(np.asarray(np.load(folder / f"{name}.npy", mmap_mode="r")) for name in Shard._fields))

    @property
    def shards(self) -> Iterator[Shard]:
        """All shards, one after the other."""
        return (self.shard(number) for number in range(len(self.sizes)))

    def frequencies(self, size: int) -> np.ndarray:
        """Returns how often each of so many ids stands in the text, int64 [V]."""
        return sum((np.bincount(shard.ids, minlength=size) for shard in self.shards), np.zeros(size, np.int64))

    def document(self, number: int) -> tuple[Shard, np.ndarray]:
        """Returns (the shard of a document, where its sentences end there in pieces, behind where the first begins)."""
        i = bisect_right(self._documents, number) - 1
        shard, place = self.shard(i), number - self._documents[i]
        first = int(shard.documents[place - 1]) if place else 0
        start = shard.sentences[first - 1 : first] if first else np.zeros(1, np.int64)
        return shard, np.concatenate([start, shard.sentences[first : shard.documents[place]]])

    def __iter__(self) -> Iterator[tuple[Shard, np.ndarray]]:
        """Yields what `document` gives of each, in order."""
        return (self.document(number) for number in range(self.documents))


def shares(counts: np.ndarray) -> np.ndarray:
    """Returns the share of each id, of how often it stands in a text [V]; one is added to each, so that none is 0."""
    return (counts + 1) / np.sum(counts + 1)


def describe(corpus: Corpus) -> list[str]:
    """Returns lines that say what is in a corpus."""
    index: dict[str, Any] = corpus.index
    unknown = index["unknown"] / max(index["pieces"], 1)
    if index["stream"]:
        return [
            f"text      {index['documents']:,} documents, {index['paragraphs']:,} paragraphs, {index['pieces']:,} {index['unit']} "
            f"with the ends of lines, {unknown:.2%} of them unknown"
        ]
    lines = [
        f"text      {index['documents']:,} documents, {index['paragraphs']:,} paragraphs "
        f"({index['repeated_paragraphs']:,} repeated ones left out), {index['sentences']:,} sentences, {index['words']:,} words, "
        f"{index['pieces']:,} {index['unit']}, {unknown:.2%} of them unknown",
    ]
    if index["documents_cut"]:
        lines.append(
            f"documents {index['documents_cut']:,} were longer than a shard and are cut in two (a blank line ends a document)"
        )
    if index["segmented"]:
        lines.append(
            f"segmented {index['groups']:,} words with Chinese ones joined; the segmenter disagrees with the tokenizer "
            f"{index['disagreements']:,} times, where the tokenizer's words are kept"
        )
    return lines
