"""The fields of a task's rows, and the names that files use for them. Imports no framework."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

Row = dict[str, Any]  # {field: value}

# Fields of an input -> names that files use for them; the first that are all there are taken
COLUMNS = {
    ("text",): (("text",), ("sentence",), ("text_a",)),
    ("words",): (("words",), ("tokens",)),
    ("text", "text_b"): (
        ("text", "text_b"), ("text_a", "text_b"), ("sentence1", "sentence2"), ("question1", "question2"),
        ("question", "sentence"), ("premise", "hypothesis"), ("sentence_A", "sentence_B"),
    ),
    ("premise", "hypothesis"): (
        ("premise", "hypothesis"), ("sentence1", "sentence2"), ("sentence_A", "sentence_B"), ("text_a", "text_b"),
    ),
}  # fmt: skip
TARGETS = {  # likewise, of the gold value
    "label": ("label", "gold_label", "entailment_judgment", "entailment_label"),
    "labels": ("labels", "label"),
    "score": ("score", "relatedness_score", "similarity_score", "similarity", "label"),
    "tags": ("tags", "upos"),
}


class Match(NamedTuple):
    """Under which names a file has the fields of a row."""

    fields: tuple[str, ...]  # of the input that matched
    names: dict[str, str]  # {field: the file's name for it}, the target's included


@dataclass(frozen=True)
class Schema:
    """The fields that the rows of a file may have.

    Args:
        inputs: Alternatives, [(field, ...), ...]; the first that a file has is taken.
        target: Field of the gold value; None: inputs alone.
    """

    inputs: Sequence[tuple[str, ...]]
    target: str | None = None

    @property
    def expected(self) -> str:
        """Returns the fields that messages ask for: those of the last input, which is the simplest, and the target."""
        return ", ".join(_with(self.inputs[-1], self.target))

    @property
    def single(self) -> str | None:
        """Returns the field of the first input that consists of a single one; None if there is none."""
        return next((fields[0] for fields in self.inputs if len(fields) == 1), None)

    def match(self, names: Sequence[str]) -> Match | None:
        """Finds the first input, and the target, among the names of a file's columns, in capitals or not.

        Args:
            names: As the file spells them; of two that differ in capitals alone, the first counts.

        Returns:
            None where no input matches, or the target is missing.
        """
        spellings = {name.strip().casefold(): name for name in reversed(names)}
        targets = TARGETS.get(self.target, (self.target,)) if self.target else (None,)
        for fields in self.inputs:
            for aliases in COLUMNS.get(fields, (fields,)):
                for target in targets:
                    keys = [name.casefold() for name in _with(aliases, target)]
                    if all(key in spellings for key in keys):
                        columns = dict(zip(_with(fields, self.target), [spellings[key] for key in keys], strict=True))
                        # The text in which the words stand is read, too, where there is one.
                        text = {"text": "text"} if "words" in fields and "text" in names else {}
                        return Match(fields, columns | text)
        return None


def _with(fields, target):
    return (*fields, target) if target else fields
