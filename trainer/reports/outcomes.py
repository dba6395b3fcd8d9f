"""What a scorer saw at its last call, in the one form that all reports read: a kind of task gives this and gets them all.

Glossary of shapes: N examples, K statistics of an example, D draws.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from trainer.data.schema import Row

Scores = dict[str, np.ndarray]  # {name: score of each of the sums that were given}


@dataclass(frozen=True)
class Classes:
    """What is of which class, and what was said to be: a mark is a pair (example, class), one for each word, span, label.

    Args:
        names: Of the classes, in order.
        gold: int [any, 2], the marks that are right.
        predicted: int [any, 2], those that were made.
        right: int [any, 2], those that are both.
        paired: The i-th gold and the i-th predicted mark are of the same thing, so one class was taken for another.
    """

    names: Sequence[str]
    gold: np.ndarray
    predicted: np.ndarray
    right: np.ndarray
    paired: bool = False

    @classmethod
    def of_labels(
        cls, names: Sequence[str], golds: Sequence[str], predicted: Sequence[str], examples: np.ndarray | None = None
    ) -> "Classes":
        """Makes them of things that have one label each; labels that `names` lack come behind them.

        Args:
            names: Labels in order.
            golds: The right label of each thing.
            predicted: The one that it was given.
            examples: int, the example to which each thing belongs; None: every thing is an example.
        """
        names = list(dict.fromkeys([*names, *sorted({*golds, *predicted}.difference(names))]))
        number = {name: i for i, name in enumerate(names)}
        places = np.arange(len(golds)) if examples is None else examples
        gold, guess = (np.array([number[label] for label in labels], int) for labels in (golds, predicted))
        marks, marked = (np.stack([places, labels], axis=1) for labels in (gold, guess))
        return cls(names, marks, marked, marks[gold == guess], paired=True)

    @classmethod
    def of_sets(cls, golds: Iterable[Iterable[Any]], predicted: Iterable[Iterable[Any]], name: Callable) -> "Classes":
        """Makes them of a set of things for each example: what stands in both sets is right.

        Args:
            golds: For each example, the things that are there, as spans.
            predicted: For each example, those that were seen.
            name: Thing -> name of its class.
        """
        pairs = [({*gold}, {*guess}) for gold, guess in zip(golds, predicted, strict=True)]
        names = sorted({name(thing) for pair in pairs for things in pair for thing in things})
        number = {label: i for i, label in enumerate(names)}
        of_sets = lambda sets: np.array(
            [(i, number[name(thing)]) for i, things in enumerate(sets) for thing in things], int
        ).reshape(-1, 2)
        gold, guess = zip(*pairs, strict=True)
        return cls(names, of_sets(gold), of_sets(guess), of_sets([a & b for a, b in pairs]))


class Wrong(NamedTuple):
    """A wrong answer."""

    surety: float  # how sure the model was, or how far off it is: those with most come first
    row: Row  # what `--errors` writes of it


@dataclass(frozen=True, kw_only=True)
class Outcomes:
    """What a scorer saw at its last call.

    Every score is a function of sums over examples, so that it can be had of any draw of them (`bootstrap`), and of any group
    of them (`groups`).

    Args:
        unit: What an example is, in the plural: `sentences`.
        statistics: float [N, K], of each example.
        scores: Sums of statistics [..., K] -> {name: score [...]}, the names those of the scorer where it has them; 0.0, not
            NaN, where there is nothing to divide by.
        percent: The scores are percents, not of 0 to 1.
        shown: Names of the scores that are given for each group.
        lengths: {what is counted: int [N]}, as {"characters": ...}.
        groups: {what examples may have in common: which group each of them belongs to [N]}.
        classes: {name: classes}; `classes` is the one of which a terminal shows what was taken for what.
        wrong: Yields the wrong answers, in any order.
    """

    unit: str
    statistics: np.ndarray
    scores: Callable[[np.ndarray], Scores]
    shown: Sequence[str]
    lengths: Mapping[str, np.ndarray]
    wrong: Callable[[], Iterable[Wrong]]
    groups: Mapping[str, Sequence[str]] = field(default_factory=dict)
    classes: Mapping[str, Classes] = field(default_factory=dict)
    percent: bool = False

    def errors(self) -> list[Row]:
        """Returns the wrong answers, the surest first; of equal ones, as they stand in the file."""
        return [wrong.row for wrong in sorted(self.wrong(), key=lambda wrong: -wrong.surety)]


def ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    """Returns above / below, 0.0 where `below` is 0."""
    above, below = np.asarray(above, float), np.asarray(below, float)
    return np.divide(above, below, out=np.zeros(np.broadcast_shapes(above.shape, below.shape)), where=below != 0)
