"""Vectors of words in files, as word2vec and GloVe write them.

text     a line a word: the word, then its numbers, spaces between; word2vec's first line says how many words, how many numbers
binary   that first line, then for each word: the word, a space, its numbers as float32, little-endian (files that end in .bin)
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from trainer import writing
from trainer.errors import Mistake
from trainer.writing import AnyPath

BINARY = ".bin"


def write(path: AnyPath, words: list[str], vectors: np.ndarray) -> None:
    """Writes vectors [V, D], in the binary form if the path ends in .bin.

    Raises:
        OSError: It cannot be written; an existing file is as it was.
    """
    lines = [f"{len(words)} {vectors.shape[1]}\n".encode()]
    for word, vector in zip(words, vectors, strict=True):
        if str(path).endswith(BINARY):
            lines.append(word.encode() + b" " + vector.astype("<f4").tobytes() + b"\n")
        else:
            lines.append(f"{word} {' '.join(f'{number:.6g}' for number in vector)}\n".encode())
    writing.write(path, b"".join(lines))


def read(path: str | Path) -> Iterator[tuple[str, np.ndarray]]:
    """Yields (word, vector float32 [D]) of a file of any of the forms.

    Raises:
        Mistake: It cannot be read, or is none of them; names file and line.
    """
    try:
        with open(path, "rb") as file:
            yield from _binary(path, file) if str(path).endswith(BINARY) else _text(path, file)
    except OSError as error:
        raise Mistake(f"{path}: cannot be read ({error.strerror})") from None


def _text(path, file):
    width = None
    for number, line in enumerate(file, 1):
        word, *numbers = line.decode("utf-8", errors="replace").rstrip("\n").rstrip(" ").split(" ")
        if number == 1 and len(numbers) == 1 and word.isdecimal() and numbers[0].isdecimal():
            continue  # word2vec's first line
        try:
            vector = np.array(numbers, np.float32)
        except ValueError:
            vector = np.zeros(0, np.float32)
        if not len(vector) or len(vector) != (width or len(vector)):
            raise Mistake(f"{path}:{number}: expected a word and {width or 'its'} numbers, found {line[:60]!r}")
        width = len(vector)
        yield word, vector


def _binary(path, file):
    head = file.readline().split()
    if len(head) != 2 or not all(field.isdigit() for field in head):
        raise Mistake(f"{path}:1: expected how many words and how many numbers, found {head[:2]}")
    count, width = map(int, head)
    for number in range(count):
        word = bytearray()
        while (byte := file.read(1)) not in (b" ", b""):
            word += byte
        content = file.read(4 * width)
        if len(content) < 4 * width:
            raise Mistake(f"{path}: expected {count} words with {width} numbers, found the end behind {number}")
        yield word.decode("utf-8", errors="replace").lstrip("\n"), np.frombuffer(content, "<f4").astype(np.float32)
