"""Vocabularies: the pieces of a `vocab.txt`, one a line; special tokens. Imports no framework."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

UNKNOWN, PADDING, START, SEPARATOR, MASK = "[UNK]", "[PAD]", "[CLS]", "[SEP]", "[MASK]"
SPECIAL = (PADDING, UNKNOWN, START, SEPARATOR, MASK)  # the first ids of a vocabulary that is made here


def read_vocabulary(path: str | Path, content: bytes | None = None) -> list[str]:
    """Returns the pieces of a `vocab.txt`, one a line; the line number is the id.

    Args:
        path: Its path.
        content: Its bytes, if they were read already.

    Raises:
        ValueError: a special token is missing, or a piece stands twice.
    """
    content = Path(path).read_bytes() if content is None else content
    pieces = content.decode("utf-8").removesuffix("\n").split("\n")
    pieces = [piece.removesuffix("\r") for piece in pieces]
    missing = [token for token in (PADDING, UNKNOWN, START, SEPARATOR) if token not in pieces]
    if missing:
        raise ValueError(f"{path}: expected a vocabulary with {' '.join(missing)}, found {len(pieces)} pieces without")
    first_line: dict[str, int] = {}
    for number, piece in enumerate(pieces, 1):
        if first_line.setdefault(piece, number) != number:
            raise ValueError(f"{path}:{number}: piece {piece!r} stands already in line {first_line[piece]}")
    return pieces


def letters_of_entries(vocabulary: Sequence[str], count: int, size: int) -> np.ndarray:
    """Returns the first letters of the entries of a vocabulary, int32 [V, L]; see `trainer.text.letters`.

    Args:
        vocabulary: The entries; special tokens have none.
        count: L.
        size: V.
    """
    table = np.zeros([size, count], np.int32)
    for number, entry in enumerate(vocabulary):
        if entry not in SPECIAL:
            content = np.frombuffer(entry.encode()[:count], np.uint8)
            table[number, : len(content)] = 1 + content.astype(np.int32)
    return table
