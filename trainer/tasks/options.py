"""What a row may say beside its text, and what counts where it does not. Imports no framework.

The same names are flags of `trainer predict` and of the client, keys of rows, and inputs of an exported signature.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from trainer.errors import Mistake


class Option(NamedTuple):
    """One input of a signature, a number a row."""

    name: str
    dtype: str  # of NumPy
    default: float
    least: float
    most: float
    help: str
    above: bool = False  # `least` itself is too little

    @property
    def expected(self) -> str:
        """Returns in words what it may be."""
        kind = "a number" if self.dtype == "float32" else "a whole number"
        least = f"above {self.least:g}" if self.above else f"{self.least:g} or more"
        return f"{kind}, {least}" + (f", {self.most:g} at most" if self.most < 10**6 else "")

    @property
    def type(self) -> type:
        """Returns that of Python."""
        return float if self.dtype == "float32" else int


SAMPLING = (  # how text is drawn
    Option("temperature", "float32", 1.0, 0, 1000, "what logits are divided by: below 1 more probable units are drawn more often, above 1 less; 0: always the most probable one"),
    Option("top_k", "int32", 0, 0, 2**31 - 1, "draw among so many most probable units; 0: among all"),
    Option("top_p", "float32", 1.0, 0, 1, "draw among the fewest most probable units that have this probability together; 1: among all", above=True),
    Option("seed", "int64", 0, 0, 2**63 - 1, "of what is drawn: the same text, options and seed give the same continuation, whatever other rows there are"),
    Option("max_new_units", "int32", 100, 1, 4096, "units to write (characters, words or pieces, as the model has them), at most"),
)  # fmt: skip
FILLING = (  # what is put in the place of masks
    Option("top_k", "int32", 5, 1, 100, "so many best fillings"),
)  # fmt: skip


def checked(values: Mapping[str, Any], options: Sequence[Option], *, before: str = "") -> dict[str, float]:
    """Returns those of some options that have a value, as numbers; a text is read as one, as cells of tables are.

    Args:
        values: By name; None and "" are none.
        options: The options.
        before: Their names in messages, as `--`, or the place of a row.

    Raises:
        Mistake: A value is none that an option may have.
    """
    return {
        option.name: _checked(values[option.name], option, before) for option in options if _is_given(values, option)
    }


def _is_given(values, option):
    return values.get(option.name) not in (None, "")


def _checked(value, option, before):
    try:
        number = option.type(value) if isinstance(value, str) else value
        is_number = isinstance(number, int | float) and not isinstance(number, bool) and math.isfinite(number)
        if is_number and (option.type is float or number == int(number)):
            enough = number > option.least if option.above else number >= option.least
            if enough and number <= option.most:
                return option.type(number)
    except ValueError:
        pass
    shown = " ".join(str(value).split())[:60]
    raise Mistake(f"{before}{option.name}: expected {option.expected}, received {shown}")
