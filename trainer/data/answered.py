"""Rows with their answers to a file: JSON lines, or a table of cells as spreadsheets read it. Imports no framework.

All columns of the input come back: those that are fields of the row under the field's name in JSON, under their own in a
table; a column that has the name of a part of the answer is called NAME_given.
"""

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TextIO

from trainer.data.files import Given
from trainer.data.rows import Columns
from trainer.data.schema import Row
from trainer.data.source import AnyPath
from trainer.data.table import Sheet
from trainer.writing import print_json

TABLES = {".csv": ",", ".tsv": "\t"}  # ending of a file's name: what separates its cells
MARK = "\ufeff"


def is_table(path: AnyPath | None) -> bool:
    """Says whether a file is to be a table of cells, by its name."""
    return path is not None and Path(path).suffix.lower() in TABLES


def write(file: TextIO | None, path: AnyPath | None, given: Given, answers: Iterable[Row]) -> None:
    """Writes answers, each beside the columns of its row.

    Args:
        file: To write to; None: standard output.
        path: Of the file; one that ends in .csv or .tsv becomes a table, written once all answers are there.
        given: The rows.
        answers: For each row, its fields and its answer.
    """
    pairs = zip(given.columns, answers, strict=True)
    if path is not None and file is not None and is_table(path):
        separator = TABLES[Path(path).suffix.lower()]
        sheet = given.sheet or Sheet(separator)
        if separator == "\t" or sheet.separator == "\t":
            sheet = Sheet(separator, sheet.line_end, sheet.marked, False, sheet.header)
        for line in _lines(sheet, [_cells(columns, answer) for columns, answer in pairs]):
            file.write(line)
        return
    for columns, answer in pairs:
        print_json(beside(columns, answer), file)


def beside(columns: Columns | None, answer: Row) -> Row:
    """Returns a row's fields, then the other columns of its file, then its answer."""
    if columns is None:
        return answer
    fields = {field: value for field, value in answer.items() if field in columns.names}
    taken = {columns.names[field] for field in fields}
    others = {name: value for name, value in columns.values.items() if name not in taken}
    return fields | _renamed(others, answer) | {name: value for name, value in answer.items() if name not in fields}


def _cells(columns: Columns | None, answer: Row) -> tuple[dict[str, str], Row]:
    """Returns ({column: what it is called beside this answer}, {name: value} of the whole row of a table)."""
    names = columns.names if columns else {}
    flat = dict(_flat({name: value for name, value in answer.items() if name not in names}))
    values = columns.values if columns else {}
    renamed = _renamed(values, flat)
    return dict(zip(values, renamed, strict=True)), renamed | flat


def _renamed(values: Mapping[str, Any], answer: Mapping[str, Any]) -> Row:
    """Returns columns, those that have the name of a part of the answer under another."""
    renamed = {}
    for name, value in values.items():
        new = name
        while new in answer or (new != name and (new in values or new in renamed)):
            new += "_given"
        renamed[new] = value
    return renamed


def _flat(answer: Row) -> Iterator[tuple[str, Any]]:
    for name, value in answer.items():
        if isinstance(value, dict):
            of_one = {"probabilities": "probability"}.get(name, name)
            yield from ((f"{of_one}_{key}", member) for key, member in value.items())
        else:
            yield name, value


def _lines(sheet: Sheet, rows: list[tuple[dict[str, str], Row]]) -> Iterator[str]:
    """Yields the lines of a table: names of all columns, the file's own first, then a row each."""
    header = dict(sheet.header)
    calls = {name: new for names, _ in reversed(rows) for name, new in names.items()}
    own = [calls.get(name, name) for name in header]
    others = [new for names, _ in rows for new in names.values()]  # objects may differ in their names
    names = list(dict.fromkeys([*own, *others, *(name for _, row in rows for name in row)]))
    spelled = {calls.get(name, name): raw for name, raw in header.items() if calls.get(name, name) == name}
    joined = lambda cells: (
        sheet.separator.join(_cell(cell, sheet.separator, len(names)) for cell in cells) + sheet.line_end
    )
    if sheet.marked:
        yield MARK
    if sheet.announced:
        yield f"sep={sheet.separator}{sheet.line_end}"
    yield joined(spelled.get(name, name) for name in names)
    for _, row in rows:
        yield joined(row.get(name, "") for name in names)


def _cell(value: Any, separator: str, width: int) -> str:
    """Returns a cell by RFC 4180; what is no string, as JSON."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        value = ""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    special = any(character in text for character in (separator, '"', "\r", "\n")) or text != text.strip()
    return '"' + text.replace('"', '""') + '"' if special or (width == 1 and not text) else text
