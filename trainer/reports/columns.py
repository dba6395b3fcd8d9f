"""Lines of columns for a terminal, on which Chinese characters take two columns."""

import unicodedata
from collections.abc import Sequence

NAME, NUMBER = "left", "right"  # how a column is set


def width(text: str) -> int:
    """Returns how many columns of a terminal a text takes."""
    return sum(_width(character) for character in text)


def shortened(text: str, most: int) -> str:
    """Returns a text that takes at most so many columns, with an ellipsis where something was left out; no line breaks."""
    text = " ".join(text.split())
    if width(text) <= most:
        return text
    kept, room = "", most - 1
    for character in text:
        room -= _width(character)
        if room < 0:
            break
        kept += character
    return f"{kept}…"


def lines(rows: Sequence[Sequence[str]], names: int = 1) -> list[str]:
    """Returns rows of cells as lines; all rows have as many cells.

    Args:
        rows: Cells; the first row may be the heads.
        names: So many columns, the first ones, are set to the left, the others, numbers, to the right.
    """
    widths = [max(map(width, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(_set(cell, widths[i], i < names) for i, cell in enumerate(row)).rstrip() for row in rows]


def _set(cell, columns, left):
    space = " " * (columns - width(cell))
    return cell + space if left else space + cell


def _width(character):
    if unicodedata.east_asian_width(character) in "WF":
        return 2
    return 0 if unicodedata.category(character) in ("Mn", "Me", "Cf", "Cc") else 1
