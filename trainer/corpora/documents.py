"""Documents of plain text: a paragraph a line, a blank line between documents. Imports no framework."""

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

import numpy as np

from trainer.data.plain_text import PlainText

PART = 8_000_000  # characters of text that become one shard
DIGEST = 16  # bytes
PARTITIONS = 256  # files that the digests of paragraphs are dealt to, each sorted by itself: memory holds one


@dataclass
class Part:
    """Documents that follow each other in a text, about `PART` characters of them."""

    number: int
    documents: list[list[str]]  # paragraphs
    cut: bool = False  # whether the last document goes on in the next part: it was too long


def paragraphs(text: PlainText) -> Iterator[tuple[str, bool]]:
    """Yields (paragraph, whether a document begins with it)."""
    begins = True
    for line in text.lines():
        if paragraph := line.strip():
            yield paragraph, begins
            begins = False
        else:
            begins = True


def parts(text: PlainText, dropped: np.ndarray | None, size: int = PART) -> Iterator[Part]:
    """Yields the documents of a text in parts of about `size` characters.

    Args:
        text: To read, in order.
        dropped: bits, see `duplicates`; what is left of a document without them stays one document. None: nothing is.
        size: A part ends with the document that reaches it; a document that is longer by itself is cut between paragraphs.
    """
    part, characters = Part(0, []), 0
    for number, (paragraph, begins) in enumerate(paragraphs(text)):
        if begins and characters >= size:
            yield part
            part, characters = Part(part.number + 1, []), 0
        elif characters >= 2 * size:
            part.cut = True
            yield part
            part, characters = Part(part.number + 1, []), 0
        if begins or not part.documents:
            part.documents.append([])
        if dropped is None or not dropped[number // 8] >> number % 8 & 1:
            part.documents[-1].append(paragraph)
            characters += len(paragraph)
    if part.documents:
        yield part


def duplicates(text: PlainText, folder: Path) -> tuple[np.ndarray, int]:
    """Finds the paragraphs that stand in a text before, to the letter.

    Args:
        text: Read once.
        folder: For temporary files, 24 bytes a paragraph: memory holds a small part of them at any time.

    Returns:
        (a bit for each paragraph, the first the lowest of its byte: 1 if it is a duplicate; how many there are).
    """
    record = np.dtype([("high", ">u8"), ("low", ">u8"), ("number", "<u8")])
    number = found = 0
    with tempfile.TemporaryDirectory(dir=folder) as temporary:
        paths = [Path(temporary) / f"{i:02x}" for i in range(PARTITIONS)]
        with ExitStack() as stack:
            files = [stack.enter_context(open(path, "wb")) for path in paths]
            for number, (paragraph, _) in enumerate(paragraphs(text), 1):
                digest = blake2b(paragraph.encode(), digest_size=DIGEST).digest()
                files[digest[0]].write(digest + (number - 1).to_bytes(8, "little"))
        bits = np.zeros(number // 8 + 1, np.uint8)
        for path in paths:
            records = np.sort(np.fromfile(path, record))  # by digest, then by number
            same = (records["high"][1:] == records["high"][:-1]) & (records["low"][1:] == records["low"][:-1])
            repeated = records["number"][1:][same].astype(np.int64)
            np.bitwise_or.at(bits, repeated // 8, (1 << repeated % 8).astype(np.uint8))
            found += len(repeated)
    return bits, found
