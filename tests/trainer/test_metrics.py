"""Scores: against values worked out by hand."""

import pytest

from trainer import metrics
from trainer.data import conll


def test_aligned():
    row = conll.row_of(["do", "n't", "go"], ["AUX", "PART", "VERB"], "don't go")
    correct = [(0, 2, "AUX"), (2, 5, "PART"), (6, 8, "VERB")]
    assert set(metrics.aligned([row], [correct]).values()) == {1.0}
    predicted = [(0, 5, "AUX"), (6, 8, "NOUN")]
    scores = metrics.aligned([row, row], [predicted, correct])
    assert scores["words_precision"] == 4 / 5 and scores["words_recall"] == 4 / 6 and scores["words_f1"] == 8 / 11
    assert scores["tags_precision"] == 3 / 5 and scores["tags_recall"] == 3 / 6 and scores["tags_f1"] == 6 / 11


def test_words_that_share_a_span_are_not_found():
    row = {"text": "du pain", "spans": [[0, 2], [0, 2], [3, 7]], "tags": ["ADP", "DET", "NOUN"]}
    scores = metrics.aligned([row], [[(0, 2, "ADP+DET"), (3, 7, "NOUN")]])
    assert scores["words_precision"] == 1 / 2 and scores["words_recall"] == 1 / 3


@pytest.mark.parametrize(
    "tags, spans",
    [
        ("O B-A I-A O", [(1, 3, "A")]),
        ("B-A B-A I-B I-B", [(0, 1, "A"), (1, 2, "A"), (2, 4, "B")]),
        ("I-A I-A O I-A", [(0, 2, "A"), (3, 4, "A")]),
        ("O", []),
        ("B-X-Y I-X-Y", [(0, 2, "X-Y")]),
    ],
)
def test_spans(tags, spans):
    assert metrics.spans_of(tags.split()) == spans


def test_spans_f1():
    golds = [["B-A", "I-A", "O"], ["B-B", "O", "B-A"]]
    predicted = [["B-A", "O", "O"], ["B-B", "O", "B-A"]]
    assert metrics.spans_f1(golds, golds) == 1
    assert metrics.spans_f1(golds, predicted) == pytest.approx(4 / 6)
    assert metrics.are_bio(["O", "B-A"]) and not metrics.are_bio(["O", "NOUN"]) and not metrics.are_bio(["O"])
