"""Names of labels: which one a file means, and which ones its rows have. Imports no framework."""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from trainer.data.schema import Row
from trainer.errors import Mistake, short
from trainer.tasks.table import Task

ANY: tuple[str, ...] = ()  # labels are whatever the file says
SEPARATOR = "|"  # between the labels of a row that has several


def label_of(value: str, labels: Sequence[str], place: str) -> str:
    """Returns the label that a value names: exactly, in other capitals, or by its number.

    Args:
        value: As the file has it.
        labels: Names in the order of their numbers; `ANY`: the value is the name.
        place: For messages.

    Raises:
        Mistake: None of the labels; with `ANY`, an empty value.

    Example:
        >>> label_of("1", ["negative", "positive"], "a.tsv:2"), label_of("Negative", ["negative", "positive"], "a.tsv:3")
        ('positive', 'negative')
    """
    value = value.strip()
    if value in labels or (labels == ANY and value):
        return value
    same = [label for label in labels if label.casefold() == value.casefold()]  # SICK says ENTAILMENT
    if len(same) == 1:
        return same[0]
    numbers = not any(label.isdecimal() for label in labels)  # else a number is a name
    if numbers and value.isdecimal() and int(value) < len(labels):
        return labels[int(value)]
    if labels == ANY:
        raise Mistake(f"{place}: expected a label, found none")
    choices = ", ".join(f"{label} (or {number})" if numbers else label for number, label in enumerate(labels))
    raise Mistake(f"{place}: expected a label of {choices}, found {short(value)}")


def label_set_of(value: str | list[str], labels: Sequence[str], place: str) -> list[str]:
    """Returns the labels that a value names: a list, or names with `|` between; none is a set, too.

    Raises:
        Mistake: See `label_of`.

    Example:
        >>> label_set_of("sports|money", ANY, "a.tsv:2")
        ['sports', 'money']
    """
    names = value.split(SEPARATOR) if isinstance(value, str) else value
    return list(dict.fromkeys(label_of(name, labels, place) for name in names if name.strip()))


def number_of(value: str | float, labels: Sequence[str], place: str) -> float:
    """Returns the number that a value is.

    Raises:
        Mistake: It is none, or not finite.
    """
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise Mistake(f"{place}: expected a number as the score, found {short(str(value)) or 'none'}")
    return number


def text_of(value: str, labels: Sequence[str], place: str) -> str:
    """Returns a text to write, as it stands.

    Raises:
        Mistake: It is empty.
    """
    if not value.strip():
        raise Mistake(f"{place}: expected a text as the target, found none")
    return value


# How a file's value of each target is read: (value, labels as in `files.read`, place for messages) -> gold value
GOLD: dict[str, Callable[[Any, Sequence[str], str], Any]] = {
    "label": label_of,
    "labels": label_set_of,
    "score": number_of,
    "target": text_of,
}


def labels_of(rows: Iterable[Row], task: Task) -> list[str]:
    """Returns the labels that rows read with `ANY` have: numbers in their order, otherwise names alphabetically."""
    golds = (row[task.target] for row in rows)
    labels = {label for gold in golds for label in (gold if isinstance(gold, list) else [gold])}
    numbers = all(label.isdecimal() for label in labels)
    return sorted(labels, key=lambda label: (int(label), label) if numbers else label)
