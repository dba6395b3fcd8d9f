"""Scores of predictions against gold values."""

import re
from collections import Counter

BIO = re.compile(r"O|[BI]-.+")


def accuracy(golds, predicted):
    """Share of equal entries of two sequences of equal length."""
    return sum(gold == guess for gold, guess in zip(golds, predicted, strict=True)) / len(golds)


def aligned(rows, found):
    """Scores words found in raw text, as the CoNLL 2018 shared task's scorer does: a word is right if it is a gold word.

    Reference: Zeman et al. 2018, https://universaldependencies.org/conll18/evaluation.html, metrics `Words` and `UPOS`.

    Args:
        rows: With `spans` and `tags`, see `trainer.conll`.
        found: For each row, the (start, end, tag) of the words found in its text.

    Returns:
        {words_precision, words_recall, words_f1, tags_precision, tags_recall, tags_f1}; for the tags a word counts as right
        if its tag is right, too.
    """
    golds = right_words = right_tags = 0
    for row, words in zip(rows, found, strict=True):
        spans = [tuple(span) for span in row["spans"]]
        number_of = Counter(spans)  # words that share a span (French `du`, two words) are no word of the text
        gold = {span: tag for span, tag in zip(spans, row["tags"], strict=True) if number_of[span] == 1}
        golds += len(spans)
        right_words += sum((start, end) in gold for start, end, _ in words)
        right_tags += sum(gold.get((start, end)) == tag for start, end, tag in words)
    number = sum(map(len, found))
    scores = {}
    for name, right in (("words", right_words), ("tags", right_tags)):
        scores |= {f"{name}_precision": right / max(number, 1), f"{name}_recall": right / max(golds, 1)}
        scores[f"{name}_f1"] = 2 * right / max(number + golds, 1)
    return scores


def are_bio(tags):
    """Says whether tags mark spans: `B-` their first word, `I-` the others, `O` all else."""
    return all(map(BIO.fullmatch, tags)) and any(tag != "O" for tag in tags)


def spans_of(tags):
    """Returns the spans of a sentence as (first word, end, kind), as conlleval reads BIO: `I-` after another kind begins one.

    Reference: Tjong Kim Sang and Buchholz 2000, the script `conlleval` of the CoNLL shared tasks.
    """
    spans, start, kind = [], 0, None
    for i, tag in enumerate([*tags, "O"]):
        mark, _, name = tag.partition("-")
        if kind is not None and (mark != "I" or name != kind):
            spans.append((start, i, kind))
            kind = None
        if mark == "B" or (mark == "I" and kind is None):
            start, kind = i, name
    return spans


def spans_f1(golds, predicted):
    """F1 of the spans of all sentences: one is right if its words and its kind are."""
    gold, guess = ([{*spans_of(tags)} for tags in lists] for lists in (golds, predicted))
    right = sum(len(a & b) for a, b in zip(gold, guess, strict=True))
    return 2 * right / max(sum(map(len, gold)) + sum(map(len, guess)), 1)


METRICS = {"accuracy": accuracy}
