"""Names of labels: which one a file means, and which ones its rows have. Imports no framework."""

from collections.abc import Iterable, Sequence

from trainer.data.schema import Row
from trainer.errors import Mistake, short
from trainer.tasks.table import Task

ANY: tuple[str, ...] = ()  # labels are whatever the file says


def label_of(value: str, labels: Sequence[str], place: str) -> str:
    """Returns the label that a value names: exactly, in other capitals, or by its number.

    Args:
        value: As the file has it.
        labels: Names in the order of their numbers; `ANY`: the value is the name.
        place: For messages.

    Raises:
        Mistake: None of the labels; with `ANY`, an empty value.
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


def labels_of(rows: Iterable[Row], task: Task) -> list[str]:
    """Returns the labels that rows read with `ANY` have: numbers in their order, otherwise names alphabetically."""
    labels = {row[task.target] for row in rows}
    numbers = all(label.isdecimal() for label in labels)
    return sorted(labels, key=lambda label: (int(label), label) if numbers else label)
