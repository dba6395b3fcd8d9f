"""The report of a scored file, and of two runs on it, as JSON holds it.

Glossary of shapes: N examples, K statistics of an example.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from trainer.reports import bootstrap, classes, groups
from trainer.reports.outcomes import Outcomes, Scores

MOST_CONFUSIONS = 20  # in metrics.json


def report(outcomes: Outcomes, *, seed: int = 0, confusions: int | None = None) -> dict[str, Any]:
    """Returns the report of a scored file.

    Args:
        outcomes: Of a scorer that was called.
        seed: Of the draws of the bootstrap.
        confusions: At most so many pairs of classes; None: all.

    Returns:
        {unit, percent, intervals: {score: {value, low, high}}, classes: {name: {precision, recall, f1, support, predicted, right}}, averages:
        {macro, weighted}, confusion: [[gold, predicted, count], ...], lengths: {what is counted: [{from, to, examples,
        scores}]}, and by name: further classes, {classes, averages}, and groups, [{group, examples, scores}]}; what a task
        has not is left out.
    """
    result: dict[str, Any] = {"unit": outcomes.unit} | ({"percent": True} if outcomes.percent else {})
    result["intervals"] = intervals(outcomes, seed=seed)
    for name, of_kind in outcomes.classes.items():
        table = classes.report(of_kind)
        entry: dict[str, Any] = {"classes": table["by_class"]}
        entry["averages"] = {average: table[average] for average in ("macro", "weighted")}
        if "confusion" in table:
            entry["confusion"] = table["confusion"][:confusions]
        result |= entry if name == "classes" else {name: entry}
    result["lengths"] = {name: groups.by_length(outcomes, lengths) for name, lengths in outcomes.lengths.items()}
    if outcomes.groups:
        result["groups"] = {name: groups.by_group(outcomes, of_all) for name, of_all in outcomes.groups.items()}
    return result


def intervals(outcomes: Outcomes, *, seed: int = 0) -> dict[str, dict[str, float]]:
    """Returns {score: {value, low, high}}, see `bootstrap.intervals`."""
    return bootstrap.intervals(*all_scores(outcomes), seed=seed)


def differences(first: Outcomes, second: Outcomes, *, seed: int = 0) -> dict[str, dict[str, float]]:
    """Returns {score: {value, low, high, other_sign}} of two runs on the same examples, see `bootstrap.differences`."""
    return bootstrap.differences(all_scores(first), all_scores(second), seed=seed)


def all_scores(outcomes: Outcomes) -> tuple[np.ndarray, Callable[[np.ndarray], Scores]]:
    """Returns (statistics [N, K], sums -> scores): those of the kind, and the mean F1 of each of its sets of classes."""
    examples, size = outcomes.statistics.shape
    columns, places = [outcomes.statistics], {}
    for name, of_kind in outcomes.classes.items():
        more = classes.statistics(of_kind, examples)
        if more is not None:
            places["macro_f1" if name == "classes" else f"{name}_macro_f1"] = slice(size, size + more.shape[1])
            columns.append(more)
            size += more.shape[1]

    def scores(sums):
        of_kind = outcomes.scores(sums[..., : outcomes.statistics.shape[1]])
        means = {name: classes.macro_f1(sums[..., place]) for name, place in places.items() if name not in of_kind}
        return of_kind | means

    return np.concatenate(columns, axis=1), scores
