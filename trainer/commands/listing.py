"""Tables of what is known by name."""

import os
import sys

from trainer.writing import print_json


def print_all(rows):
    """Prints rows, dicts of the same keys: a table for a person's terminal, else JSON lines."""
    if not sys.stdout.isatty():
        for row in rows:
            print_json(row)
        return
    sys.stdout.reconfigure(errors="replace")  # a terminal may know no Chinese
    cells = [list(rows[0]), *([_cell(value) for value in row.values()] for row in rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(cells[0]))]
    for row in cells:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _cell(value):
    if not isinstance(value, dict):
        return str(value or "-")
    if all(isinstance(one, int) for one in value.values()):
        return ", ".join(f"{name} {one:,}" for name, one in value.items()) or "-"
    folders = {}  # of paths
    for name, path in value.items():
        folders.setdefault(os.path.dirname(path), []).append(name)
    return "; ".join(f"{', '.join(names)} in {folder}" for folder, names in folders.items())
