"""Checks of single options, which return the value that the command uses; all raise `Mistake`, which names the option."""

import os
from collections.abc import Sequence

from trainer.errors import Mistake
from trainer.tasks.table import Task
from trainer.text.layout import room, specials
from trainer.text.vocabulary import SPECIAL

LARGEST_SEED = 2**32 - 1
MOST_BEAMS, LARGEST_PENALTY = 100, 10


def one_of(option: str, value: str | None, expected: Sequence[str | None]) -> None:
    """Refuses a value that is none of those expected; a None among them is left out of the message."""
    if value not in expected:
        *names, last = (name for name in expected if name)
        choices = f"{', '.join(names)} or {last}" if names else last
        raise Mistake(f"--{option}: expected {choices}, received {value}")


def positive(**options: float | None) -> None:
    """Refuses options, by name, that are given and not above 0."""
    for name, value in options.items():
        if value is not None and not value > 0:
            raise Mistake(f"--{name}: expected more than 0, received {value}")


def more_than_special(option: str, size: int | None) -> None:
    """Refuses a size of a vocabulary that has no room for more than the special tokens."""
    if size is not None and size <= len(SPECIAL):
        raise Mistake(f"--{option}: expected more than the {len(SPECIAL)} special tokens, received {size}")


def within_seeds(seed: int) -> None:
    """Refuses a --seed that generators of random numbers do not take."""
    if not 0 <= seed <= LARGEST_SEED:
        raise Mistake(f"--seed: expected 0 to {LARGEST_SEED}, received {seed}")


def search(beams: int | None, length_penalty: float | None) -> None:
    """Refuses a number of hypotheses, or a penalty of their lengths, by which no text can be searched for."""
    if beams is not None and not 1 <= beams <= MOST_BEAMS:
        raise Mistake(f"--beams: expected 1 to {MOST_BEAMS}, received {beams}")
    if length_penalty is not None and not 0 <= length_penalty <= LARGEST_PENALTY:
        raise Mistake(f"--length_penalty: expected 0 to {LARGEST_PENALTY}, received {length_penalty:g}")


def length_of(max_length: int | None, task: Task) -> int:
    """Returns --max_length, by default the task's; each text must have room for a piece."""
    texts = max(len(fields) for _, fields in task.inputs)
    shortest = specials(texts) + texts
    if max_length is not None and max_length < shortest:
        raise Mistake(f"--max_length: expected {shortest} or more, received {max_length}")
    return max_length or task.max_length


def within(option: str, value: int | None, default: int, max_length: int) -> int:
    """Returns a number of pieces of a context, which must fit into a window beside a piece of the question."""
    largest = room(max_length, 2) - 1
    if value is not None and value > largest:
        raise Mistake(f"--{option}: expected {largest} at most in windows of {max_length}, received {value}")
    return value or min(default, largest)


def labels_of(names: list[str]) -> list[str]:
    """Returns --labels: the names as given, or those in the file if a single one is given."""
    source = "--labels"
    if len(names) == 1 and os.path.isfile(names[0]):
        source = f"--labels {names[0]}"
        with open(names[0], "rb") as file:
            content = file.read()
        try:
            names = content.decode("utf-8").removesuffix("\n").splitlines()
        except UnicodeDecodeError as error:
            raise Mistake(
                f"{source}: expected UTF-8, found byte 0x{content[error.start]:02x} at {error.start}"
            ) from None
    if len(set(names)) != len(names) or len(names) < 2 or not all(name.strip() for name in names):
        raise Mistake(f"{source}: expected two or more different names, received {', '.join(names) or 'none'}")
    return names


def column_of(column: str | int) -> str | int:
    """Returns --column: the name of a CoNLL-U column, or the number of another file's."""
    if str(column) in ("upos", "xpos"):
        return column
    if not str(column).isdecimal() or int(column) < 2:
        raise Mistake(f"--column: expected upos, xpos or a number from 2, received {column}")
    return int(column)
