"""Scores of predictions against gold values."""

import re
import string
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from difflib import SequenceMatcher
from typing import Any

import numpy as np

Scores = list[tuple[float, float]]  # (exact, f1) of each answer, both of 0 to 1

BIO = re.compile(r"O|[BI]-.+")
ARTICLES = re.compile(r"\b(a|an|the)\b")
NO_PUNCTUATION = str.maketrans("", "", string.punctuation)
NO_CMRC_PUNCTUATION = str.maketrans("", "", "-:_*^/\\~`+=，。：？！“”；’《》·、「」（）－～『』")
HAN = re.compile("[一-龥]")
# What nltk's tokenizer cuts off: marks, a comma unless a digit follows, the last period before Chinese or the end, runs of
# periods, English endings such as n't, and single quotes but not the one of o'clock.
LATIN = re.compile(
    r"""[][(){}<>;@#$%&?!"«»‘„‒–—―]|,(?!\d)|\.{2,}|\.(?=[])}>"'»\s]*(?:[一-龥]|$))"""
    r"""|n't\b|'(?:s|m|d|ll|re|ve)\b|''|\B'|'\B"""
)


def accuracy(golds: Sequence[str], predicted: Sequence[str]) -> float:
    """Returns the share of equal entries of two sequences of equal length.

    Example:
        >>> accuracy(["a", "b", "b", "a"], ["a", "b", "a", "a"])
        0.75
    """
    return sum(gold == guess for gold, guess in zip(golds, predicted, strict=True)) / len(golds)


def aligned(rows: Sequence[dict[str, Any]], predicted: Sequence[Sequence[tuple[int, int, str]]]) -> dict[str, float]:
    """Scores words found in raw text, as the CoNLL 2018 shared task's scorer does: a word is right if it is a gold word.

    Reference: Zeman et al. 2018, https://universaldependencies.org/conll18/evaluation.html, metrics `Words` and `UPOS`.

    Args:
        rows: With `spans` and `tags`, see `trainer.data.conll`.
        predicted: For each row, the (start, end, tag) of the words found in its text.

    Returns:
        {words_precision, words_recall, words_f1, tags_precision, tags_recall, tags_f1}, each of 0 to 1; for the tags a word
        counts as right if its tag is right, too.
    """
    counts = [aligned_counts(row, words) for row, words in zip(rows, predicted, strict=True)]
    golds, count, right_words, right_tags = (sum(column) for column in zip(*counts, strict=True))
    scores: dict[str, float] = {}
    for name, right in (("words", right_words), ("tags", right_tags)):
        scores |= {f"{name}_precision": right / max(count, 1), f"{name}_recall": right / max(golds, 1)}
        scores[f"{name}_f1"] = 2 * right / max(count + golds, 1)
    return scores


def aligned_counts(row: dict[str, Any], words: Sequence[tuple[int, int, str]]) -> tuple[int, int, int, int]:
    """Returns, of one row of `aligned`, how many words it has, were found, are right, and are right with their tags."""
    spans = [tuple(span) for span in row["spans"]]
    count_of = Counter(spans)  # words that share a span (French `du`, two words) are no word of the text
    gold = {span: tag for span, tag in zip(spans, row["tags"], strict=True) if count_of[span] == 1}
    right_words = sum((start, end) in gold for start, end, _ in words)
    return len(spans), len(words), right_words, sum(gold.get((start, end)) == tag for start, end, tag in words)


def are_bio(tags: Iterable[str]) -> bool:
    """Says whether tags mark spans: `B-` their first word, `I-` the others, `O` all else."""
    return all(map(BIO.fullmatch, tags)) and any(tag != "O" for tag in tags)


def spans_of(tags: Sequence[str]) -> list[tuple[int, int, str]]:
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


def spans_f1(golds: Iterable[Sequence[str]], predicted: Iterable[Sequence[str]]) -> float:
    """Returns the F1 of the spans of all sentences: a span is right if its words and its kind are.

    Args:
        golds: For each sentence, the tags of its words.
        predicted: Likewise.
    """
    gold, guess = ([{*spans_of(tags)} for tags in lists] for lists in (golds, predicted))
    right = sum(len(a & b) for a, b in zip(gold, guess, strict=True))
    return 2 * right / max(sum(map(len, gold)) + sum(map(len, guess)), 1)


def answered(golds: Sequence[Sequence[str]], answers: Sequence[str]) -> dict[str, float]:
    """Scores answers to questions that all have one, as the script `evaluate-v1.1.py` of SQuAD does.

    Reference: Rajpurkar et al. 2016, https://arxiv.org/abs/1606.05250.

    Args:
        golds: For each question, its right answers, at least one.
        answers: For each question, the text to score, empty if there is none.

    Returns:
        {exact, f1} in percent, each with the gold answer that fits best; f1 is of the words that both have, in any order.
    """
    return percents(answer_scores(golds, answers))


def answered_or_not(
    golds: Sequence[Sequence[str]],
    answers: Sequence[str],
    null_scores: Sequence[float] | None = None,
    *,
    chinese: bool = False,
) -> dict[str, float]:
    """Scores answers to questions of which some have none, as the script `evaluate-v2.0.py` of SQuAD does.

    Reference: Rajpurkar et al. 2018, https://arxiv.org/abs/1806.03822.

    Args:
        golds: For each question, its right answers, none if it has no answer. Those without words (`the`, `-`) are left
            out; where that leaves none, the empty answer is right.
        answers: For each question, the text to score, empty to say that it has no answer.
        null_scores: For each question, the higher the less it seems to have an answer; `answers` are given regardless of it.
        chinese: Compare answers as CMRC 2018 does, which has no such questions of its own.

    Returns:
        {exact, f1} in percent; the same as `HasAns_` of the questions with gold answers and as `NoAns_` of the others, if
        there are any; with null scores also `best_exact` and `best_f1`, reached if questions with a null score above
        `best_exact_thresh` and `best_f1_thresh` are left unanswered.
    """
    scores = scores_or_not(golds, answers, chinese=chinese)
    result = percents(scores)
    for name, has_answer in (("HasAns", True), ("NoAns", False)):
        if subset := [score for score, texts in zip(scores, golds, strict=True) if bool(texts) == has_answer]:
            result |= {f"{name}_{key}": value for key, value in percents(subset).items()}
    if null_scores is not None:
        for key, values in zip(("exact", "f1"), zip(*scores, strict=True), strict=True):
            best, result[f"best_{key}_thresh"] = best_threshold(golds, answers, values, null_scores)
            result[f"best_{key}"] = 100 * best / len(golds)
    return result


def scores_or_not(golds: Sequence[Sequence[str]], answers: Sequence[str], *, chinese: bool = False) -> Scores:
    """Returns the scores of each answer, as `answered_or_not` compares them."""
    known = [[text for text in texts if words_of(text)] or [""] for texts in golds]
    scores = (cmrc_scores if chinese else answer_scores)(known, answers)
    return [(exact, max(exact, f1)) for exact, f1 in scores]  # two empty answers are equal


def best_threshold(
    golds: Sequence[Sequence[str]], answers: Sequence[str], scores: Sequence[float], null_scores: Sequence[float]
) -> tuple[float, float]:
    """Answers questions one by one, the lowest null score first; returns (best sum of scores, null score that reached it).

    As in the official script, the first of equal sums wins, equal null scores are taken one by one in the order of the
    questions, and the threshold is 0.0 if no answer is better than none.
    """
    total: float = sum(not texts for texts in golds)
    best = total
    threshold = 0.0
    rows = zip(null_scores, golds, answers, scores, strict=True)
    for null_score, texts, answer, score in sorted(rows, key=lambda row: row[0]):
        total += score if texts else -bool(answer)
        if total > best:
            best, threshold = total, null_score
    return best, threshold


def answered_in_chinese(golds: Sequence[Sequence[str]], answers: Sequence[str]) -> dict[str, float]:
    """Scores answers to questions that all have one, as the script `cmrc2018_evaluate.py` of CMRC 2018 does.

    It differs in a few words that nltk finds in what is not Chinese: nltk tells an opening `"` from a closing one, cuts off
    periods that end an English sentence amid the answer, and divides `cannot`, `gonna` and their like.

    Reference: Cui et al. 2019, https://arxiv.org/abs/1810.07366.

    Args:
        golds: For each question, its right answers, at least one.
        answers: For each question, the text to score, empty if there is none.

    Returns:
        {exact, f1} in percent, each with the gold answer that fits best; f1 is of the longest run of words that both have.
    """
    return percents(cmrc_scores(golds, answers))


def cmrc_scores(golds: Sequence[Sequence[str]], answers: Sequence[str]) -> Scores:
    """Returns the scores of each answer, as CMRC 2018 compares them."""
    scores: Scores = []
    for texts, answer in zip(golds, answers, strict=True):
        guess, *known = (text.lower().strip().translate(NO_CMRC_PUNCTUATION) for text in (answer, *texts))
        f1 = best_f1([cmrc_words_of(text) for text in known], cmrc_words_of(guess), longest_run)
        scores.append((guess in known, f1))
    return scores


def answer_scores(golds: Sequence[Sequence[str]], answers: Sequence[str]) -> Scores:
    """Returns the scores of each answer, as SQuAD compares them."""
    scores: Scores = []
    for texts, answer in zip(golds, answers, strict=True):
        known, guess = [words_of(text) for text in texts], words_of(answer)
        scores.append((guess in known, best_f1(known, guess, shared)))
    return scores


def words_of(text: str) -> list[str]:
    """Returns the words of an English answer that SQuAD compares: lower case, no punctuation, no articles."""
    return ARTICLES.sub(" ", text.lower().translate(NO_PUNCTUATION)).split()


def cmrc_words_of(text: str) -> list[str]:
    """Returns the words of an answer that CMRC 2018 compares: each Chinese character, the rest as nltk divides English."""
    return LATIN.sub(r" \g<0> ", HAN.sub(r" \g<0> ", text)).split()


def shared(gold: list[str], guess: list[str]) -> int:
    """Returns how many words two answers share."""
    return (Counter(gold) & Counter(guess)).total()


def longest_run(gold: list[str], guess: list[str]) -> int:
    """Returns the length of the longest run of words that both answers have."""
    return SequenceMatcher(None, gold, guess, autojunk=False).find_longest_match().size


def best_f1(golds: Iterable[list[str]], guess: list[str], count: Callable[[list[str], list[str]], int]) -> float:
    """Returns the best F1 of an answer's words over the gold answers; `count` says how many words are right."""
    best: float = 0
    for gold in golds:
        if right := count(gold, guess):
            precision, recall = right / len(guess), right / len(gold)
            best = max(best, 2 * precision * recall / (precision + recall))  # rounded as in the official scripts
    return best


def percents(scores: Sequence[tuple[float, float]]) -> dict[str, float]:
    """Returns the means of (exact, f1) in percent."""
    exact, f1 = (100 * sum(column) / len(scores) for column in zip(*scores, strict=True))
    return {"exact": exact, "f1": f1}


METRICS = {"accuracy": accuracy}


def pearson(golds: Sequence[float] | np.ndarray, predicted: Sequence[float] | np.ndarray) -> float:
    """Returns the correlation of two sequences of numbers, -1 to 1; 0 where one of them is constant."""
    return _correlation(np.asarray(golds, np.float64), np.asarray(predicted, np.float64))


def spearman(golds: Sequence[float] | np.ndarray, predicted: Sequence[float] | np.ndarray) -> float:
    """Returns the correlation of the ranks of two sequences of numbers; equal numbers share the mean of their ranks.

    Example:
        >>> round(spearman([1, 2, 2, 4], [1, 3, 2, 9]), 6)
        0.948683
    """
    return _correlation(_ranks(golds), _ranks(predicted))


CORRELATIONS = {"pearson": pearson, "spearman": spearman}


def _correlation(x, y):
    x, y = x - x.mean(), y - y.mean()
    norm = np.sqrt(np.sum(x**2) * np.sum(y**2))
    return float(np.sum(x * y) / norm) if norm > 0 else 0.0


def _ranks(values):
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)  # rank of the last of equal numbers, from 1
    return (last - (counts - 1) / 2)[place]


def of_label_sets(golds: np.ndarray, predicted: np.ndarray) -> dict[str, float]:
    """Scores sets of labels.

    Args:
        golds, predicted: Which labels each row has, bool [N, C].

    Returns:
        {micro_f1, macro_f1, accuracy}: F1 over all labels of all rows; the mean of F1 by label, 0 for one that is neither in
        the gold sets nor predicted; the share of rows with exactly the gold labels.
    """
    right, sizes = (golds & predicted).sum(axis=0), golds.sum(axis=0) + predicted.sum(axis=0)  # [C]
    by_label = 2 * right / np.maximum(sizes, 1)
    return {
        "micro_f1": float(2 * right.sum() / max(sizes.sum(), 1)),
        "macro_f1": float(by_label.mean()),
        "accuracy": float((golds == predicted).all(axis=1).mean()),
    }


def best_label_threshold(golds: np.ndarray, probabilities: np.ndarray) -> float:
    """Returns the threshold of probabilities that gives the best F1 over all labels of all rows.

    It lies half-way between two probabilities, so that the last bit of one decides nothing; of equally good ones, the
    highest.

    Args:
        golds: bool [N, C].
        probabilities: float [N, C].
    """
    order = np.argsort(-probabilities, axis=None, kind="stable")
    ordered = probabilities.ravel()[order].astype(np.float64)
    right = np.cumsum(golds.ravel()[order])
    f1 = 2 * right / (np.arange(1, len(order) + 1) + golds.sum())
    f1[:-1][ordered[:-1] == ordered[1:]] = -1.0  # no threshold lies between equal probabilities
    f1[ordered <= 0] = -1.0
    best = int(np.argmax(f1))
    return float((ordered[best] + (ordered[best + 1] if best + 1 < len(ordered) else 0.0)) / 2)
