"""What every form of file is read into: records of named values. Imports no framework."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple


class Record(NamedTuple):
    """What a file says in one row."""

    place: str  # for messages: path:line
    values: dict[str, Any]  # {name in the file: value}


@dataclass(frozen=True)
class Table:
    """The records of a file, read as they are asked for.

    Args:
        records: In the file's order; each may have names of its own.
        one_line: Every value is a string that stands in one line of the file: nothing about it needs a check.
    """

    records: Iterable[Record]
    one_line: bool
