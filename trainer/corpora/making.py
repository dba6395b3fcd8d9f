"""From plain text to shards of tokens: once for the same text, vocabulary and settings, by all cores, and where it was stopped
it goes on."""

import fcntl
import json
import os
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from hashlib import blake2b
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import tensorflow as tf

from trainer.corpora import documents, shards
from trainer.corpora.shards import COUNTS, INDEX, Corpus, Shard, Size
from trainer.data import datasets
from trainer.data.plain_text import PlainText
from trainer.progress import say
from trainer.text import groups
from trainer.text.counted import Segment
from trainer.text.sentences import sentences
from trainer.text.tokenizer import Tokenizer
from trainer.text.vocabulary import SEPARATOR
from trainer.writing import write_json

FORM = 3  # of the shards; another one is made anew
BATCH = 128  # paragraphs that are cut at once
COUNTED = (
    *("documents", "documents_cut", "paragraphs", "sentences", "words", "groups", "disagreements", "pieces", "unknown"),
    "characters",
)
X = TypeVar("X")


def corpus(
    text: PlainText,
    tokenizer: Tokenizer,
    segment: Segment | None = None,
    *,
    stream: bool = False,
    cores: int | None = None,
) -> Corpus:
    """Returns the corpus of a text: from the cache, or made now. What it is does not depend on `cores`.

    Args:
        text: The files.
        tokenizer: Cuts them.
        segment: Finds Chinese words, which are then groups; None: each Chinese character is one.
        stream: All of the text in a row, see `trainer.corpora.shards`.
        cores: Threads that make shards; by default all that this process may use.

    Raises:
        Mistake: A file cannot be read.
        OSError: The cache cannot be written.
    """
    folder = folder_of(text, tokenizer, segmented=segment is not None, stream=stream)
    folder.mkdir(parents=True, exist_ok=True)
    with _owned(folder):  # another process that makes it is waited for
        if not (folder / INDEX).is_file():
            maker = Maker(folder, tokenizer, segment, stream=stream)
            _make(folder, text, maker, cores or len(os.sched_getaffinity(0)))
    return Corpus(folder)


def _make(folder, text, maker, cores):
    """Makes the shards that are missing, then the index."""
    for path in (*folder.glob(".*.part"), *folder.glob("tmp*")):  # of a process that was killed
        shutil.rmtree(path, ignore_errors=True)
    size, unit = f"{len(text.paths):,} files, {text.size / 1e6:.1f} MB", maker.tokenizer.unit
    dropped, repeated = None, 0
    if not maker.stream:
        say(f"corpus    {size}: looking for paragraphs that are repeated")
        dropped, repeated = documents.duplicates(text, folder)
    say(
        f"corpus    {size}: {repeated:,} repeated paragraphs are left out; cutting into {unit} on {cores} cores, {folder}"
    )
    totals = dict.fromkeys(COUNTED, 0)
    names, sizes = [], []
    for name, counts in _in_order(maker, documents.parts(text, dropped), cores):
        names.append(name)
        sizes.append([counts[field] for field in Size._fields])
        totals |= {what: totals[what] + counts.get(what, 0) for what in COUNTED}
    facts = {"files": [str(path) for path in text.paths], "unit": unit}
    facts |= {"segmented": maker.segment is not None, "stream": maker.stream}
    write_json(folder / INDEX, facts | {"shards": names, "sizes": sizes, "repeated_paragraphs": repeated} | totals)


@contextmanager
def _owned(folder):
    """Holds a folder; the lock ends with the process, however that ends."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):  # some file systems have no locks
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                say(f"corpus    another process makes it, {folder}: waiting")
                fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def folder_of(text: PlainText, tokenizer: Tokenizer, *, segmented: bool, stream: bool = False) -> Path:
    """Returns the folder of a corpus in the cache: named after all that decides what is in it."""
    files = [(os.path.realpath(path), os.path.getsize(path), os.stat(path).st_mtime_ns) for path in text.paths]
    how = (FORM, tokenizer.unit, tokenizer.lower_case, str(tokenizer.fallback), segmented, stream, documents.PART)
    digest = blake2b(json.dumps([files, how, tokenizer.vocabulary]).encode(), digest_size=10).hexdigest()
    return datasets.cache() / "corpora" / digest


def _in_order(make, items: Iterable[X], cores: int) -> Iterator[Any]:
    """Yields what `make` gives of each item, in order, made by so many threads; twice as many items wait at most."""
    items = iter(items)
    with ThreadPoolExecutor(cores) as pool:
        waiting: list[Future] = [pool.submit(make, item) for item in islice(items, 2 * cores)]
        while waiting:
            yield waiting.pop(0).result()
            waiting += [pool.submit(make, item) for item in islice(items, 1)]


class Maker:
    """Makes shards; a call makes one, unless it is there already.

    Args:
        folder: Of the corpus.
        tokenizer, segment, stream: See `corpus`.
    """

    def __init__(self, folder: Path, tokenizer: Tokenizer, segment: Segment | None, *, stream: bool = False) -> None:
        self.folder, self.tokenizer, self.segment, self.stream = folder, tokenizer, segment, stream
        self.end = np.array([tokenizer.vocabulary.index(SEPARATOR)])
        self.dtype = np.uint16 if tokenizer.size <= 2**16 else np.int32

    def __call__(self, part: documents.Part) -> tuple[str, dict[str, int]]:
        """Returns (its name, what it has)."""
        name = f"{part.number:06d}"
        if not (self.folder / name).is_dir():
            shards.write(self.folder / name, *self.shard(part))
        return name, json.loads((self.folder / name / COUNTS).read_text())

    def shard(self, part: documents.Part) -> tuple[Shard, dict[str, int]]:
        """Returns (the shard of a part, what it has)."""
        paragraphs = [paragraph for document in part.documents for paragraph in document]
        pieces: list[np.ndarray] = []
        begins: list[np.ndarray] = []
        sentence_ends: list[int] = []
        document_ends: list[int] = []
        lengths: list[tuple[int, int]] = []
        size = 0
        counts = Counter(paragraphs=len(paragraphs), documents_cut=int(part.cut))
        cut = self._cut(paragraphs)
        for number, document in enumerate(part.documents, 1):
            goes_on = part.cut and number == len(part.documents)
            for place, paragraph in enumerate(islice(cut, len(document)), 1):
                if self.stream:
                    lengths.append(paragraph.end(self.end, twice=place == len(document) and not goes_on))
                pieces.append(paragraph.ids)
                begins.append(paragraph.begins)
                sentence_ends += [size + end for end in paragraph.sentences]
                size += len(paragraph.ids)
                counts.update(paragraph.counts)
            if len(sentence_ends) > (document_ends[-1] if document_ends else 0):
                document_ends.append(len(sentence_ends))
        empty = np.zeros(0, np.int32)
        shard = Shard(
            np.concatenate([empty, *pieces]).astype(self.dtype),
            np.concatenate([empty, *begins]).astype(bool),
            np.array(sentence_ends, np.int64),
            np.array(document_ends, np.int64),
            np.array(lengths, np.int32).reshape(-1, 2),
        )
        sizes = {"pieces": len(shard.ids), "sentences": len(sentence_ends), "documents": len(document_ends)}
        return shard, dict(counts) | sizes | {"unknown": int(np.sum(shard.ids == self.tokenizer.unknown))}

    def _cut(self, paragraphs):
        for i in range(0, len(paragraphs), BATCH):
            batch = paragraphs[i : i + BATCH]
            pieces = self.tokenizer.traced(tf.constant(batch))
            fields = (pieces.ids, pieces.starts, pieces.ends)
            flat = [*(field.flat_values.numpy() for field in fields), pieces.begins().numpy()]
            splits = pieces.ids.row_splits.numpy()
            for paragraph, start, end in zip(batch, splits[:-1], splits[1:], strict=True):
                ids, starts, ends, begins = (values[start:end] for values in flat)
                yield Paragraph(paragraph, ids, starts, ends, begins, self.segment)


class Paragraph:
    """A paragraph as tokens.

    Args:
        text: As it was written, without white space at its ends.
        ids: Of its pieces [P].
        starts, ends: Where the words of the pieces are [P].
        begins: Which pieces begin a word [P].
        segment: See `corpus`.
    """

    def __init__(
        self,
        text: str,
        ids: np.ndarray,
        starts: np.ndarray,
        ends: np.ndarray,
        begins: np.ndarray,
        segment: Segment | None,
    ) -> None:
        self.text, self.ids = text, ids
        words = np.flatnonzero(begins)
        self.counts = Counter(characters=len(text), words=len(words))
        self.begins = begins
        if segment:
            joined, disagreements = groups.joined(text, starts[words], ends[words], segment)
            self.begins = begins.copy()
            self.begins[words[joined]] = False
            self.counts["disagreements"] = disagreements
        self.counts["groups"] = int(np.sum(self.begins))
        borders = np.searchsorted(starts, [end for _, end in sentences(text)])
        self.sentences = [int(end) for end in np.unique(borders) if end]  # of those of which pieces are left

    def end(self, separator: np.ndarray, *, twice: bool) -> tuple[int, int]:
        """Makes it one sentence with the end of its line, `twice` also a blank one; returns its characters and words."""
        ends = [separator] * (1 + twice)
        self.ids = np.concatenate([self.ids, *ends])
        self.begins = np.concatenate([self.begins, [True] * len(ends)])
        self.sentences = [len(self.ids)]
        return len(self.text) + len(ends), len(self.text.split()) + len(ends)
