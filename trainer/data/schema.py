"""The fields of a task's rows, and the names that files use for them. Imports no framework."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from trainer.data import guesses

Row = dict[str, Any]  # {field: value}

# Fields of an input -> names that files use for them; the first that are all there are taken
COLUMNS = {
    ("text",): (("text",), ("sentence",), ("text_a",)),
    ("words",): (("words",), ("tokens",)),
    ("source",): (("source",), ("src",)),
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
    "target": ("target", "translation", "tgt"),
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
        named: {field: name of its column}, as a user says it: they must be there.
        usual: Likewise, as the data had it that a run was trained on: taken where they are there.
    """

    inputs: Sequence[tuple[str, ...]]
    target: str | None = None
    named: Mapping[str, str] = dataclasses.field(default_factory=dict)
    usual: Mapping[str, str] = dataclasses.field(default_factory=dict)

    @property
    def expected(self) -> str:
        """Returns the fields that messages ask for: those of the last input, which is the simplest, and the target."""
        return ", ".join(self.named.get(field, field) for field in self._simplest(self.named))

    @property
    def single(self) -> str | None:
        """Returns the field of the first input that consists of a single one; None if there is none."""
        return next((fields[0] for fields in self.inputs if len(fields) == 1), None)

    def match(self, names: Sequence[str], *, guess: bool = False) -> Match | None:
        """Finds the first input, and the target, among the names of a file's columns, in capitals or not.

        Args:
            names: As the file spells them; of two that differ in capitals alone, the first counts.
            guess: Take names that people use, too, where a single one can be meant; see `trainer.data.guesses`.

        Returns:
            None where no input matches, or the target is missing.
        """
        given = self._given(names)
        if None in given.values():
            return None
        for fields in self._inputs(given):
            columns = self._columns(fields, names, given, guess)
            if all(field in columns for field in _with(fields, self.target)):
                # The text in which the words stand is read, too, where there is one.
                text = {"text": "text"} if "words" in fields and "text" in names else {}
                return Match(fields, columns | text)
        return None

    def missing(self, names: Sequence[str]) -> dict[str, list[str]]:
        """Returns {field: names that can be meant by it} of the simplest input and the target, where not exactly one can."""
        said = self._given(names)
        given = {field: name for field, name in said.items() if name is not None}
        fields = self._simplest(self.named)
        columns = self._columns(fields[: -1 if self.target else None], names, given, guess=True)
        missing = [field for field in fields if field not in columns or (field in said and field not in given)]
        return {field: [] if field in self.named else guesses.candidates(field, names, columns) for field in missing}

    def _columns(self, fields, names, given, guess):
        """Returns {field: column} of those fields, and of the target, that are there, in their order."""
        spellings = {name.strip().casefold(): name for name in reversed(names)}
        asked = _with(fields, self.target)
        columns = {field: given[field] for field in asked if field in given}
        for part, aliases in ((fields, COLUMNS.get(fields, (fields,))), *self._targets()):
            columns |= _known(part, aliases, spellings, columns) or (_guessed(part, names, columns) if guess else {})
        return {field: columns[field] for field in asked if field in columns}

    def _simplest(self, given):
        """Returns the fields of the simplest input that has every field for which a column is given, and the target."""
        return _with(min(reversed(self._inputs(given)), key=len), self.target)

    def _targets(self):
        return [((self.target,), [(name,) for name in TARGETS.get(self.target, (self.target,))])] if self.target else []

    def _inputs(self, given):
        """Returns the inputs that have every field for which a column is given, then the simplest first."""
        asked = {field for fields in self.inputs for field in fields if field in given}
        inputs = [fields for fields in self.inputs if asked <= {*fields}] or self.inputs
        return sorted(inputs, key=len) if asked else inputs

    def _given(self, names):
        """Returns {field: column} of those that are given; None for one that a user names and that is not there."""
        spellings = {name.strip().casefold(): name for name in reversed(names)}
        spelled = lambda name: name if name in names else spellings.get(name.strip().casefold())
        usual = {field: spelled(name) for field, name in self.usual.items()}
        given = {field: name for field, name in usual.items() if name is not None}
        return given | {field: spelled(name) for field, name in self.named.items()}


def _with(fields, target):
    return (*fields, target) if target else fields


def _known(fields, aliases, spellings, taken):
    """Returns {field: column} of the fields that are not taken, by the first names that are all there."""
    for names in aliases:
        columns = {
            field: spellings.get(name.casefold())
            for field, name in zip(fields, names, strict=True)
            if field not in taken
        }
        if not {None, *taken.values()} & {*columns.values()}:
            return columns
    return {}


def _guessed(fields, names, taken):
    """Returns {field: column} of the fields that are not taken and for which a single column can be meant."""
    columns: dict[str, str] = {}
    for field in fields:
        meant = [] if field in taken else guesses.candidates(field, names, taken | columns)
        if len(meant) == 1:
            columns[field] = meant[0]
    return columns
