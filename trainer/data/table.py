"""What every form of file is read into: records of named values. Imports no framework."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

from trainer.data.schema import Match


class Record(NamedTuple):
    """What a file says in one row."""

    place: str  # for messages: path:line
    values: dict[str, Any]  # {name in the file: value}


@dataclass(frozen=True)
class Sheet:
    """How a table of cells was written, so that another can be written alike."""

    separator: str = ","
    line_end: str = "\r\n"
    marked: bool = False  # a mark of UTF-8 at the beginning
    announced: bool = False  # a first line `sep=,`
    header: tuple[tuple[str, str], ...] = ()  # (name in records, name as the file has it) of every column


@dataclass(frozen=True)
class Table:
    """The records of a file, read as they are asked for.

    Args:
        records: In the file's order; each may have names of its own.
        one_line: Every value is a string that stands in one line of the file: nothing about it needs a check.
        match: Of names that all records have; None: each record's own.
        sheet: Of a table of cells, whose values are strings, lists too.
        named: The columns are the user's, worth to be returned with the answers.
        notes: What to say of the columns once all rows are read.
    """

    records: Iterable[Record]
    one_line: bool
    match: Match | None = None
    sheet: Sheet | None = None
    named: bool = True
    notes: tuple[str, ...] = ()
