"""Precision, recall and F1 by class, and what was taken for what.

Glossary of shapes: N examples, C classes.
"""

from typing import Any

import numpy as np

from trainer.reports.outcomes import Classes, ratio

MOST_CELLS = 5_000_000  # of the statistics of all classes, 40 MB and three seconds: beyond, their mean has no interval


def report(classes: Classes) -> dict[str, Any]:
    """Returns the scores by class, their averages, and the confusions.

    As scikit-learn's `precision_recall_fscore_support` with its defaults: 0.0 where there is nothing to divide by, classes
    that neither stand in the file nor were predicted left out of the table and of the averages.

    Returns:
        {by_class: {name: {precision, recall, f1, support, predicted, right}}, macro, weighted: {precision, recall, f1},
        confusion: [[gold, predicted, count], ...], the most frequent first}; confusion only where every thing has one label.
    """
    gold, predicted, right = _counts(classes)
    precision, recall, f1 = _scores(gold, predicted, right)
    present = np.flatnonzero(gold + predicted).tolist()
    by_class = {
        classes.names[i]: _rounded(precision=precision[i], recall=recall[i], f1=f1[i])
        | {"support": int(gold[i]), "predicted": int(predicted[i]), "right": int(right[i])}
        for i in present
    }
    columns = {"precision": precision, "recall": recall, "f1": f1}
    average = lambda weights: _rounded(
        **{name: float(ratio(values @ weights, weights.sum())) for name, values in columns.items()}
    )
    result = {"by_class": by_class, "macro": average((gold + predicted > 0) * 1.0), "weighted": average(gold * 1.0)}
    return result | ({"confusion": confusion(classes)} if classes.paired else {})


def confusion(classes: Classes) -> list[list[Any]]:
    """Returns [gold, predicted, count] of what was taken for another class, the most frequent first, then as classes stand."""
    number = len(classes.names)
    codes = classes.gold[:, 1] * number + classes.predicted[:, 1]
    pairs, counts = np.unique(codes[classes.gold[:, 1] != classes.predicted[:, 1]], return_counts=True)
    order = np.argsort(-counts, kind="stable")
    name = lambda i: classes.names[int(i)]
    return [[name(pairs[i] // number), name(pairs[i] % number), int(counts[i])] for i in order]


def statistics(classes: Classes, examples: int) -> np.ndarray | None:
    """Returns how many marks of each class an example has, gold, predicted and right: float [N, 3 C]; None if that is too much."""
    number = len(classes.names)
    if 3 * examples * number > MOST_CELLS:
        return None
    of_examples = lambda marks: np.bincount(marks[:, 0] * number + marks[:, 1], minlength=examples * number)
    columns = [
        of_examples(marks).reshape(examples, number) for marks in (classes.gold, classes.predicted, classes.right)
    ]
    return np.concatenate(columns, axis=1).astype(float)


def macro_f1(sums: np.ndarray) -> np.ndarray:
    """Returns the mean F1 of the classes that are there, of sums of `statistics` [..., 3 C]."""
    gold, predicted, right = np.split(sums, 3, axis=-1)
    return ratio(_scores(gold, predicted, right)[2].sum(axis=-1), (gold + predicted > 0).sum(axis=-1))


def _counts(classes):
    number = len(classes.names)
    return [np.bincount(marks[:, 1], minlength=number) for marks in (classes.gold, classes.predicted, classes.right)]


def _scores(gold, predicted, right):
    return ratio(right, predicted), ratio(right, gold), ratio(2 * right, gold + predicted)


def _rounded(**values):
    return {name: round(float(value), 6) for name, value in values.items()}
