"""Tables of the data sets and weights that are known by name."""

import io
import os
import sys
from collections.abc import Sequence
from typing import Any, cast

from trainer.writing import print_json


def print_all(rows: Sequence[dict[str, Any]]) -> None:
    """Prints rows, dicts of the same keys: as a table on a terminal, elsewhere as JSON lines."""
    if not sys.stdout.isatty():
        for row in rows:
            print_json(row)
        return
    cast(io.TextIOWrapper, sys.stdout).reconfigure(errors="replace")  # a terminal may lack Chinese characters
    table = [list(rows[0]), *([_cell(value) for value in row.values()] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for cells in table:
        print("  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip())


def _cell(value):
    if not isinstance(value, dict):
        return str(value or "-")
    if all(isinstance(number, int) for number in value.values()):
        return ", ".join(f"{name} {number:,}" for name, number in value.items()) or "-"
    folders: dict[str, list[str]] = {}  # folder -> names of the files in it
    for name, path in value.items():
        folders.setdefault(os.path.dirname(path), []).append(name)
    return "; ".join(f"{', '.join(names)} in {folder}" for folder, names in folders.items())
