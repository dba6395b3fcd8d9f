"""A file that was read, of whatever form: its bytes, unpacked, and its lines, decoded. Imports no framework."""

import gzip
import os
import sys
import zlib
from dataclasses import dataclass
from pathlib import Path

from trainer.errors import Mistake

STANDARD_INPUT, STANDARD_INPUT_NAME = "-", "standard input"  # as a path, in messages
BOM = b"\xef\xbb\xbf"

AnyPath = str | os.PathLike[str]
Lines = list[tuple[int, str]]  # (line number, line), from 1


@dataclass(frozen=True)
class Source:
    """The content of a file.

    Args:
        path: As messages name it.
        content: Its bytes, unpacked.
    """

    path: AnyPath
    content: bytes

    @classmethod
    def read(cls, path: AnyPath) -> "Source":
        """Reads a file, or standard input.

        Raises:
            Mistake: See `content`.
        """
        return cls(STANDARD_INPUT_NAME if str(path) == STANDARD_INPUT else path, content(path))

    def lines(self, *, blank: bool = False) -> Lines:
        """Returns (line number, line) of every line, from 1; only line feeds end lines.

        Args:
            blank: Keep empty lines. Otherwise those at the end are dropped and any other is refused.

        Raises:
            Mistake: A line is not UTF-8, or is empty.
        """
        if not self.content:
            return []
        encoded = self.content.removeprefix(BOM).removesuffix(b"\n").split(b"\n")
        lines = [(number, self._decoded(line, number)) for number, line in enumerate(encoded, 1)]
        if blank:
            return lines
        while lines and not lines[-1][1].strip():
            lines.pop()
        for number, line in lines:
            if not line.strip():
                raise Mistake(f"{self.path}:{number}: expected a row, found an empty line")
        return lines

    def _decoded(self, line, number):
        line = line.removesuffix(b"\r")
        try:
            return line.decode("utf-8")
        except UnicodeDecodeError as error:
            raise Mistake(
                f"{self.path}:{number}: expected UTF-8, found byte 0x{line[error.start]:02x} at {error.start}"
            ) from None


def content(path: AnyPath) -> bytes:
    """Returns the bytes of a file, unpacked if its name ends in .gz; of standard input, if the path is `-`.

    Raises:
        Mistake: It cannot be read, or cannot be unpacked.
    """
    if str(path) == STANDARD_INPUT:
        return sys.stdin.buffer.read()
    try:
        raw = Path(path).read_bytes()
    except OSError as error:
        raise Mistake(f"{path}: cannot be read ({error.strerror}); expected a file of rows") from None
    try:
        return gzip.decompress(raw) if str(path).endswith(".gz") else raw
    except (OSError, EOFError, zlib.error) as error:
        raise Mistake(f"{path}: expected a file packed by gzip, found another or a damaged one ({error})") from None


def suffix(path: AnyPath) -> str:
    """Returns what a file's name ends in, in lower case and without .gz: `.jsonl`."""
    return Path(str(path).removesuffix(".gz")).suffix.lower()
