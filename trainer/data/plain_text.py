"""Plain text to lines, read once from its beginning to its end, however large: a text a line. Imports no framework."""

import glob
import gzip
import lzma
import os
import zlib
from collections.abc import Iterator, Sequence
from typing import IO, Any

from backports import zstd

from trainer.data.source import BOM
from trainer.errors import Mistake
from trainer.progress import Bytes

# What a name ends in -> whose form, reader
PACKED: dict[str, tuple[str, Any]] = {
    ".gz": ("gzip", gzip.open),
    ".xz": ("xz", lzma.open),
    ".zst": ("zstd", zstd.open),
}
UNKNOWN = {".bz2": "bzip2 -dc", ".zip": "unzip -p"}  # what to unpack other forms with
SHOW = 1024  # lines between looks at the clock


class PlainText:
    """The lines of text files, one file after the other.

    Args:
        patterns: Paths, or patterns of paths such as `part-*.txt.gz`; a name that ends in .gz, .xz or .zst is that of a packed file.
        option: For messages: what they were given by.

    Raises:
        Mistake: There is no such file, or it is packed in another form.
    """

    def __init__(self, patterns: Sequence[str], option: str = "--text") -> None:
        self.paths = [*dict.fromkeys(path for pattern in patterns for path in _paths(pattern, option))]
        self.size = sum(os.path.getsize(path) for path in self.paths)  # bytes, packed

    def __iter__(self) -> Iterator[str]:
        """Yields the lines that are not blank; see `lines`."""
        return (line for line in self.lines() if line.strip())

    def lines(self) -> Iterator[str]:
        """Yields all lines, and a blank one behind each file; shows how far this is.

        Raises:
            Mistake: A file cannot be read or unpacked, or is not UTF-8.
        """
        progress, before = Bytes(), 0
        for path in self.paths:
            with _opened(path) as raw:
                for number, line in enumerate(_unpacked(path, raw), 1):
                    if number % SHOW == 0:
                        progress.step(before + raw.tell(), self.size)
                    yield _decoded(path, number, line)
            yield ""
            before += os.path.getsize(path)
        progress.end()


def _paths(pattern, option):
    paths = [pattern] if os.path.exists(pattern) else sorted(glob.glob(pattern, recursive=True))
    if not paths:
        raise Mistake(f"{option} {pattern}: no such file")
    for path in paths:
        ending = os.path.splitext(path)[1].lower()
        if os.path.isdir(path):
            raise Mistake(
                f"{option} {path}: expected a file, found a folder ('{os.path.join(path, '*')}' stands for its files)"
            )
        if ending in UNKNOWN:
            raise Mistake(
                f"{option} {path}: expected plain text, or such packed as .gz, .xz or .zst, received {ending}; {UNKNOWN[ending]} unpacks it"
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
    except (gzip.BadGzipFile, lzma.LZMAError, zlib.error, zstd.ZstdError, EOFError) as error:
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
