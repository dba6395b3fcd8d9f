"""What a tagger did, as reports read it: an example is a sentence, whatever number of words it has.

Glossary of shapes: N sentences.
"""

from collections.abc import Sequence

import numpy as np

from trainer import metrics
from trainer.data.schema import Row
from trainer.reports.outcomes import Classes, Outcomes, Scores, Wrong, ratio


def outcomes(
    rows: Sequence[Row],
    tags: Sequence[Sequence[str]],
    surety: Sequence[Sequence[float]],
    in_text: Sequence[Sequence[tuple[int, int, str]]],
    known: Sequence[str],
    *,
    are_bio: bool,
) -> Outcomes:
    """Returns the outcomes of sentences.

    Args:
        rows: With gold `words`, `tags`, `text` and `spans`.
        tags: Of the given words of each row.
        surety: Of each of these tags, from 0 to 1.
        in_text: The words found in the raw text of each row, see `metrics.aligned`.
        known: Tags of the run, in order.
        are_bio: The tags mark spans, which are scored, too.
    """
    golds = [row["tags"] for row in rows]
    flat = lambda lists: [tag for tags_of_row in lists for tag in tags_of_row]
    sizes = np.array([len(tags_of_row) for tags_of_row in golds])
    right = [sum(a == b for a, b in zip(*pair, strict=True)) for pair in zip(golds, tags, strict=True)]
    aligned = [metrics.aligned_counts(row, words) for row, words in zip(rows, in_text, strict=True)]
    statistics = np.column_stack([sizes, right, aligned])
    classes = {"classes": Classes.of_labels(known, flat(golds), flat(tags), np.repeat(np.arange(len(rows)), sizes))}
    if are_bio:
        gold, guess = ([metrics.spans_of(tags_of_row) for tags_of_row in lists] for lists in (golds, tags))
        spans = classes["spans"] = Classes.of_sets(gold, guess, name=lambda span: span[2])
        counts = [np.bincount(marks[:, 0], minlength=len(rows)) for marks in (spans.gold, spans.predicted, spans.right)]
        statistics = np.column_stack([statistics, *counts])
    return Outcomes(
        unit="sentences",
        statistics=statistics.astype(float),
        scores=_scores,
        shown=("accuracy", "spans_f1") if are_bio else ("accuracy",),
        lengths={"words": sizes},
        classes=classes,
        wrong=lambda: _wrong(rows, tags, surety),
    )


def _scores(sums: np.ndarray) -> Scores:
    """Returns the scores of sums [..., 6], of BIO tags [..., 9], by the names that the scorer gives them."""
    words, right, golds, count, right_words, right_tags, *of_spans = np.moveaxis(sums, -1, 0)
    scores = {"accuracy": ratio(right, words)}
    if of_spans:
        gold, predicted, right = of_spans
        scores["spans_f1"] = ratio(2 * right, gold + predicted)
    for name, right in (("words", right_words), ("tags", right_tags)):
        scores |= {f"{name}_precision": ratio(right, count), f"{name}_recall": ratio(right, golds)}
        scores[f"{name}_f1"] = ratio(2 * right, count + golds)
    return scores


def _wrong(rows, tags, surety):
    """Yields a row for each word whose tag is wrong."""
    for row, tags_of_row, sureties in zip(rows, tags, surety, strict=True):
        words = zip(row["words"], row["tags"], tags_of_row, sureties, strict=True)
        for i, (word, gold, tag, sure) in enumerate(words):
            if gold != tag:
                answer = {"gold": gold, "predicted": tag, "confidence": round(sure, 6)}
                yield Wrong(sure, {"text": row["text"], "word": word, "index": i} | answer)
