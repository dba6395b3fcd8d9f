"""Plain text to lines, read once from its beginning to its end, however large: a text a line. Imports no framework."""

import glob
import gzip
import lzma
import os
import zlib
from collections.abc import Iterator, Sequence
from typing import IO, Any

from trainer.data.source import BOM
from trainer.errors import Mistake
from trainer.progress import Bytes

# What a name ends in -> whose form, reader
PACKED: dict[str, tuple[str, Any]] = {".gz": ("gzip", gzip.open), ".xz": ("xz", lzma.open)}
UNKNOWN = {".zst": "zstd -dc", ".bz2": "bzip2 -dc", ".zip": "unzip -p"}  # what to unpack other forms with
SHOW = 1024  # lines between looks at the clock


class PlainText:
    """The lines of text files, one file after the other; blank ones are left out.

    Args:
        patterns: Paths, or patterns of paths such as `part-*.txt.gz`; a name that ends in .gz or .xz is that of a packed file.

    Raises:
        Mistake: There is no such file, or it is packed in another form.
    """

    def __init__(self, patterns: Sequence[str]) -> None:
        self.paths = [*dict.fromkeys(path for pattern in patterns for path in _paths(pattern))]
        self.size = sum(os.path.getsize(path) for path in self.paths)  # bytes, packed

    def __iter__(self) -> Iterator[str]:
        """Yields the lines, and shows how far this is.

        Raises:
            Mistake: A file cannot be read or unpacked, or is not UTF-8.
        """
        progress, before = Bytes(), 0
        for path in self.paths:
            with _opened(path) as raw:
                for number, line in enumerate(_unpacked(path, raw), 1):
                    if number % SHOW == 0:
                        progress.step(before + raw.tell(), self.size)
                    text = _decoded(path, number, line)
                    if text.strip():
                        yield text
            before += os.path.getsize(path)
        progress.end()


def _paths(pattern):
    paths = [pattern] if os.path.exists(pattern) else sorted(glob.glob(pattern, recursive=True))
    if not paths:
        raise Mistake(f"--text {pattern}: no such file")
    for path in paths:
        ending = os.path.splitext(path)[1].lower()
        if os.path.isdir(path):
            raise Mistake(
                f"--text {path}: expected a file, found a folder ('{os.path.join(path, '*')}' stands for its files)"
            )
        if ending in UNKNOWN:
            raise Mistake(
                f"--text {path}: expected plain text, or such packed as .gz or .xz, received {ending}; {UNKNOWN[ending]} unpacks it"
            )
    return paths


def _opened(path):
    try:
        return open(path, "rb")
    except OSError as error:
        raise Mistake(f"{path}: cannot be read ({error.strerror})") from None


def _unpacked(path: str, raw: IO[bytes]) -> Iterator[bytes]:
    """Yields the lines of an open file, unpacked."""
    ending = os.path.splitext(path)[1].lower()
    if ending not in PACKED:
        yield from raw
        return
    name, reader = PACKED[ending]
    try:
        yield from reader(raw, "rb")
    except (gzip.BadGzipFile, lzma.LZMAError, zlib.error, EOFError) as error:
        raise Mistake(f"{path}: expected a file packed by {name}, found another or a damaged one ({error})") from None


def _decoded(path, number, line):
    if number == 1:
        line = line.removeprefix(BOM)
    line = line.removesuffix(b"\n").removesuffix(b"\r")
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Mistake(
            f"{path}:{number}: expected UTF-8, found byte 0x{line[error.start]:02x} at {error.start}"
        ) from None
