"""Parallel text: two files whose lines belong together, named as one path, `train.{de,en}`; what the first says is written
as the second has it. Imports no framework."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

from trainer.data.schema import Schema
from trainer.data.source import AnyPath, Source
from trainer.data.table import Record, Table
from trainer.errors import Mistake

PAIR = re.compile(r"(.*)\{([^{},]+),([^{},]+)\}(.*)", re.DOTALL)
FIELDS = ("source", "target")


def names_of(name: AnyPath) -> list[str]:
    """Returns the names that a name stands for: itself, or two.

    Example:
        >>> names_of("train.{de,en}.gz"), names_of("train.tsv")
        (['train.de.gz', 'train.en.gz'], ['train.tsv'])
    """
    match = PAIR.fullmatch(str(name))
    if not match or os.path.exists(name):
        return [str(name)]
    before, first, second, behind = match.groups()
    return [before + each + behind for each in (first, second)]


def is_pair(name: AnyPath) -> bool:
    """Says whether a name stands for two."""
    return len(names_of(name)) > 1


def joined(first: AnyPath, second: AnyPath) -> Path:
    """Returns the one path of two files, the way back from `names_of`."""
    one, other = str(first), str(second)
    before = _shared(one, other)
    one, other = one[before:], other[before:]
    end = -_shared(one[::-1], other[::-1]) or None
    behind = one[end:] if end else ""
    return Path(f"{str(first)[:before]}{{{one[:end]},{other[:end]}}}{behind}")


def _shared(one: str, other: str) -> int:
    """Returns how many characters two strings begin with alike."""
    return next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


def table(path: AnyPath, schema: Schema, encoding: str | None = None) -> Table:
    """Returns a record of `source` and `target` for each line of two files.

    Args:
        path: Of both.
        schema: The fields that are asked for.
        encoding: See `Source.read`.

    Raises:
        Mistake: A file cannot be read, or has an empty line; they have not as many lines; other fields are asked for.
    """
    if ("source",) not in schema.inputs:
        raise Mistake(f"{path}: expected one file of {schema.expected}, received two, as translation reads them")
    names = names_of(path)
    first, second = (Source.read(name, encoding).lines() for name in names)
    if len(first) != len(second):
        counts = " and ".join(f"{len(lines):,} in {name}" for lines, name in zip((first, second), names, strict=True))
        raise Mistake(f"{path}: expected as many lines in both files, found {counts}")

    def records() -> Iterator[Record]:
        for (number, source), (_, target) in zip(first, second, strict=True):
            yield Record(f"{path}:{number}", {"source": source, "target": target})

    return Table(records(), one_line=True)
