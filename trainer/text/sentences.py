"""Sentences of a paragraph, English and Chinese, with their places. Imports no framework.

A rule that a page holds, where a model would know more: pretraining needs borders that are mostly right, the same on every
machine, of gigabytes of text. TF Text's `StateBasedSentenceBreaker` cuts "Mr. Smith", "$3.50" and '"Hello!" he said'.
"""

import re
from itertools import pairwise

_CLOSING = "\"'”’」』）)】\\]»"
# A mark of the end, and what closes behind it. In Chinese it is enough; else white space has to follow.
_END = re.compile(rf"[。！？!?]{{0,9}}[。！？][{_CLOSING}]{{0,9}}|[.!?…]{{1,9}}[{_CLOSING}]{{0,9}}(?=\s)")
_BEFORE = re.compile(r"([^\W\d_]+(?:\.[^\W\d_]+)*)\.$")  # the word that a single full stop stands behind
_SPACE = re.compile(r"\s*")
_BEGINS = re.compile(r"\s*[\"'“‘(\[«]*(\w?)")
ABBREVIATIONS = frozenset(
    re.findall(
        r"\S+",
        "mr mrs ms dr st prof sr jr rev hon gen col capt lt sgt messrs mme mlle vs etc cf e.g i.e viz vol no pp fig esq "
        "jan feb mar apr jun jul aug sep sept oct nov dec",
    )
)


def sentences(paragraph: str) -> list[tuple[int, int]]:
    """Returns where the sentences of a paragraph start and end, in code points; together they are the whole paragraph.

    Example:
        >>> text = 'Mr. Lee paid $3.50. "Why?" he asked. 他说：“好！”然后走了。'
        >>> [text[start:end] for start, end in sentences(text)]
        ['Mr. Lee paid $3.50. ', '"Why?" he asked. ', '他说：“好！”', '然后走了。']
    """
    ends = [match.end() for match in _END.finditer(paragraph) if _is_end(paragraph, match)]
    borders = [0, *(_behind_space(paragraph, end) for end in ends), len(paragraph)]
    return [(start, end) for start, end in pairwise(borders) if start < end]


def _behind_space(text, place):
    found = _SPACE.match(text, place)
    return found.end() if found else place


def _is_end(text, match):
    if any(mark in match[0] for mark in "。！？"):
        return True
    following = _BEGINS.match(text, match.end())
    if following and following[1].islower():
        return False
    before = _BEFORE.search(text, max(0, match.start() - 20), match.start() + 1)
    if match[0][0] != "." or not before:
        return True
    initials = re.fullmatch(r"(?:[A-Z]\.)*[A-Z]", before[1]) and before[1] != "I"  # of "J. R. Brown", of the U.S.
    return not initials and before[1].lower() not in ABBREVIATIONS
