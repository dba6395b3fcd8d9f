"""Scores by class are scikit-learn's, of spans seqeval's."""

import numpy as np
import pytest

from tests.trainer.reports.cases import GOLD, NAMES, PREDICTED, labelled
from trainer import metrics
from trainer.reports import classes
from trainer.reports.outcomes import Classes
from trainer.reports.report import report

# precision_recall_fscore_support(GOLD, PREDICTED, labels=NAMES, zero_division=0), scikit-learn 1.9.1
BY_CLASS = {
    "a": (0.823529, 0.666667, 0.736842, 21),
    "b": (0.714286, 0.714286, 0.714286, 14),
    "c": (0.333333, 0.333333, 0.333333, 3),
    "d": (0.0, 0.0, 0.0, 2),
    "e": (0.0, 0.0, 0.0, 0),
}
# the same with average="macro" and "weighted"
AVERAGES = {"macro": (0.37423, 0.342857, 0.356892), "weighted": (0.707353, 0.625, 0.661842)}
# confusion_matrix(GOLD, PREDICTED, labels=NAMES)
MATRIX = [[14, 4, 1, 0, 2], [0, 10, 1, 0, 3], [1, 0, 1, 0, 1], [2, 0, 0, 0, 0], [0, 0, 0, 0, 0]]


@pytest.mark.parametrize("names", [NAMES, NAMES[:2], [*NAMES, "never"]], ids=["all", "unknown ones", "more"])
def test_equal_scikit_learn(names):
    """Also where labels of the file are not among the names, or names not in the file."""
    table = classes.report(Classes.of_labels(names, GOLD, PREDICTED))
    measures = ("precision", "recall", "f1")
    assert {
        name: (*[values[key] for key in measures], values["support"]) for name, values in table["by_class"].items()
    } == BY_CLASS
    assert {name: tuple(table[name][key] for key in measures) for name in AVERAGES} == AVERAGES
    matrix = np.zeros([5, 5], int)
    for gold, predicted, count in table["confusion"]:
        matrix[NAMES.index(gold), NAMES.index(predicted)] = count
    matrix += np.diag([values["right"] for values in table["by_class"].values()])
    assert matrix.tolist() == MATRIX
    assert [values["predicted"] for values in table["by_class"].values()] == np.sum(MATRIX, axis=0).tolist()
    assert table["confusion"][:3] == [["a", "b", 4], ["b", "e", 3], ["a", "e", 2]]


def test_words_belong_to_sentences():
    """The statistics of sentences add up to those of their words."""
    of_words = Classes.of_labels(NAMES, GOLD, PREDICTED, np.repeat(np.arange(8), 5))
    statistics = classes.statistics(of_words, 8)
    assert statistics.shape == (8, 15) and statistics[0, :5].tolist() == [3, 1, 1, 0, 0]  # a a c b a
    assert classes.report(of_words) == classes.report(Classes.of_labels(NAMES, GOLD, PREDICTED))
    assert classes.macro_f1(statistics.sum(axis=0)) == pytest.approx(AVERAGES["macro"][2], abs=1e-6)


def test_spans_by_kind():
    """classification_report of seqeval 1.2.2 (mode default) on these sentences: LOC 0.5, 1.0, 0.6667; PER 0.5, 0.5, 0.5."""
    golds = [["B-PER", "I-PER", "O", "B-LOC"], ["O", "B-PER", "O"], ["O"]]
    guesses = [["B-PER", "I-PER", "O", "B-LOC"], ["O", "B-LOC", "B-PER"], ["O"]]
    sets = [[metrics.spans_of(tags) for tags in lists] for lists in (golds, guesses)]
    spans = Classes.of_sets(*sets, name=lambda span: span[2])
    table = classes.report(spans)
    assert table["by_class"] == {
        "LOC": {"precision": 0.5, "recall": 1.0, "f1": 0.666667, "support": 1, "predicted": 2, "right": 1},
        "PER": {"precision": 0.5, "recall": 0.5, "f1": 0.5, "support": 2, "predicted": 2, "right": 1},
    }
    assert "confusion" not in table
    right, counts = len(spans.right), len(spans.gold) + len(spans.predicted)
    assert 2 * right / counts == metrics.spans_f1(golds, guesses)


def test_nothing_there_is_0():
    table = classes.report(Classes.of_sets([["x"], []], [[], []], name=str))
    assert table["by_class"]["x"] == {"precision": 0, "recall": 0, "f1": 0, "support": 1, "predicted": 0, "right": 0}
    empty = classes.report(Classes.of_sets([[]], [[]], name=str))
    assert empty["by_class"] == {} and empty["macro"] == {"precision": 0, "recall": 0, "f1": 0}


def test_many_classes_stay_small(monkeypatch):
    names = [f"c{i}" for i in range(300)]
    golds, guesses = names * 2, [*names, *names[1:], names[0]]
    content = report(labelled(golds, guesses, names), confusions=7)
    assert len(content["classes"]) == 300 and len(content["confusion"]) == 7 and "macro_f1" in content["intervals"]
    monkeypatch.setattr(classes, "MOST_CELLS", 1000)
    assert [*report(labelled(golds, guesses, names))["intervals"]] == ["accuracy"]
