"""A file that was read, of whatever form: its bytes, unpacked, and its text and lines, decoded. Imports no framework.

Files are UTF-8, or UTF-16 with a mark at their beginning, as spreadsheets write it; of any other encoding where the user says
which: `--encoding gb18030`. A file that is UTF-8 all the same is read as such.
"""

import codecs
import gzip
import sys
import zlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from trainer.errors import Mistake
from trainer.writing import AnyPath

STANDARD_INPUT, STANDARD_INPUT_NAME = "-", "standard input"  # as a path, in messages
BOM = codecs.BOM_UTF8
NULS = b"\0\0"
UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)

Lines = list[tuple[int, str]]  # (line number, line), from 1


@dataclass(frozen=True)
class Source:
    """The content of a file.

    Args:
        path: As messages name it.
        content: Its bytes, unpacked, in UTF-8.
        encoding: That it was read in.
    """

    path: AnyPath
    content: bytes
    encoding: str = "utf-8"

    @classmethod
    def read(cls, path: AnyPath, encoding: str | None = None) -> "Source":
        """Reads a file, or standard input.

        Args:
            path: Of the file; `-` for standard input.
            encoding: Of a file that is not UTF-8 and does not begin with a mark of UTF-16.

        Raises:
            Mistake: See `content`; or the bytes are none of the encoding.
        """
        name, raw = STANDARD_INPUT_NAME if str(path) == STANDARD_INPUT else path, content(path)
        if raw.startswith(UTF_16):
            encoding = "utf-16"
        elif not encoding and NULS in (raw[0:4:2], raw[1:4:2]):
            raise Mistake(
                f"{name}: expected UTF-8, found what looks like UTF-16 without a mark; --encoding utf-16-le or utf-16-be reads it"
            )
        elif not encoding or _is_utf_8(raw):
            return cls(name, raw)
        try:
            return cls(name, raw.decode(encoding).encode("utf-8"), encoding)
        except UnicodeError as error:
            place = (
                f"byte 0x{raw[error.start]:02x} at {error.start}" if isinstance(error, UnicodeDecodeError) else error
            )
            raise Mistake(f"{name}: expected {encoding.upper()}, found {place}") from None

    @property
    def marked(self) -> bool:
        """Says whether a spreadsheet wants a mark at the beginning of a like file in UTF-8."""
        return self.encoding != "utf-8" or self.content.startswith(BOM)

    @cached_property
    def text(self) -> str:
        """Returns the whole text, its line ends as they are.

        Raises:
            Mistake: It is not UTF-8.
        """
        try:
            return self.content.removeprefix(BOM).decode("utf-8")
        except UnicodeDecodeError:
            for number, line in enumerate(self.content.removeprefix(BOM).split(b"\n"), 1):
                self._decoded(line, number)
            raise

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
                f"{self.path}:{number}: expected UTF-8, found byte 0x{line[error.start]:02x} at {error.start}; --encoding NAME "
                "reads another, such as gb18030 or latin-1"
            ) from None


def _is_utf_8(raw):
    """Says whether bytes are surely UTF-8; plain ASCII may be another encoding that is made of it."""
    try:
        return raw.startswith(BOM) or (raw.decode("utf-8") != "" and not raw.isascii())
    except UnicodeDecodeError:
        return False


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
