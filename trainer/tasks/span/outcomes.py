"""What was answered to questions, as reports read it.

Glossary of shapes: N questions.
"""

import re
from collections.abc import Sequence

import numpy as np

from trainer import metrics
from trainer.data.conll import CJK
from trainer.data.schema import Row
from trainer.reports.outcomes import Outcomes, Scores, Wrong, ratio

FIRST_WORD = re.compile(r"\w+(?:'\w+)*")
HAS = {True: "has an answer", False: "has none"}


def outcomes(
    rows: Sequence[Row],
    given: Sequence[str],
    confidences: Sequence[float],
    given_scores: metrics.Scores,
    always_scores: metrics.Scores,
) -> Outcomes:
    """Returns the outcomes of questions.

    Args:
        rows: With `question`, `context` and `answers`.
        given: The answer to each question, empty where it was said that there is none.
        confidences: How sure the model was, of each of these, from 0 to 1.
        given_scores: (exact, f1) of each of these, from 0 to 1.
        always_scores: Likewise, had every question been answered.
    """
    answerable = [bool(row["answers"]) for row in rows]
    has = np.array(answerable, float)[:, None]
    pairs, always = np.array(given_scores, float), np.array(always_scores, float)
    columns = [np.ones([len(rows), 1]), pairs]
    groups = {}
    if not all(answerable):
        columns += [has, has * pairs, 1 - has, (1 - has) * pairs, always]
        groups["answer"] = [HAS[answer] for answer in answerable]
    if words := _first_words([row["question"] for row in rows]):
        groups["first word of the question"] = words
    lengths = {
        f"characters of the {name}": np.array([len(row[name]) for row in rows]) for name in ("question", "context")
    }
    return Outcomes(
        unit="questions",
        percent=True,
        statistics=np.concatenate(columns, axis=1),
        scores=_scores,
        shown=("exact", "f1"),
        lengths=lengths,
        groups=groups,
        wrong=lambda: _wrong(rows, given, confidences, pairs),
    )


def _scores(sums: np.ndarray) -> Scores:
    """Returns the scores in percent of sums [..., 3], or [..., 11] where some questions have no answer."""
    number, exact, f1, *more = np.moveaxis(sums, -1, 0)
    scores = {"exact": ratio(100 * exact, number), "f1": ratio(100 * f1, number)}
    if more:
        for name, (of_kind, *both) in (("HasAns", more[:3]), ("NoAns", more[3:6])):
            scores |= {f"{name}_{key}": ratio(100 * v, of_kind) for key, v in zip(("exact", "f1"), both, strict=True)}
        scores |= {f"AlwaysAns_{key}": ratio(100 * v, number) for key, v in zip(("exact", "f1"), more[6:], strict=True)}
    return scores


def _first_words(questions):
    """Returns the first word of each question; nothing where most are Chinese, whose question words stand anywhere."""
    if sum(bool(CJK.search(question)) for question in questions) > len(questions) / 2:
        return []
    words = [FIRST_WORD.search(question) for question in questions]
    return [word[0].lower() if word else "" for word in words]


def _wrong(rows, given, confidences, scores):
    """Yields a row for each answer that is not exactly right."""
    for row, answer, sure, (exact, f1) in zip(rows, given, confidences, scores, strict=True):
        if not exact:
            answer_row = {"predicted": answer, "f1": round(100 * f1, 6), "confidence": round(sure, 6)}
            yield Wrong(sure, row | answer_row)
