"""Two files that are named as one path, `train.{de,en}`, as those of parallel text. Imports no framework."""

import os
import re
from pathlib import Path

PAIR = re.compile(r"(.*)\{([^{},]+),([^{},]+)\}(.*)", re.DOTALL)


def names_of(name: str | os.PathLike[str]) -> list[str]:
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


def is_pair(name: str | os.PathLike[str]) -> bool:
    """Says whether a name stands for two."""
    return len(names_of(name)) > 1


def joined(first: str | os.PathLike[str], second: str | os.PathLike[str]) -> Path:
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
