"""Words that a segmenter finds in Chinese text, on the words of `trainer.text.words`, where each Chinese character is one.

Reference: Cui et al. 2019, "Pre-Training with Whole Word Masking for Chinese BERT": the characters of a Chinese word are masked
together, and stay pieces of their own.
"""

from itertools import accumulate

import numpy as np

from trainer.text.counted import Segment
from trainer.text.words import CJK_RANGES


def joined(text: str, starts: np.ndarray, ends: np.ndarray, segment: Segment) -> tuple[np.ndarray, int]:
    """Says which words of a text go on with the Chinese word that the one before them stands in.

    Args:
        text: As it was written.
        starts, ends: Where its words are, int [W], in code points.
        segment: A text to its words, which together are the text.

    Returns:
        (bool [W]; how often the segmenter disagrees with the words: a border of its within one of them, or none where a Chinese
        character stands beside something else. The words are kept there.)
    """
    if not len(starts):
        return np.zeros(0, bool), 0
    points = np.frombuffer(text.encode("utf-32-le", "replace"), np.uint32)
    chinese = np.zeros(len(points), bool)
    for first, last in CJK_RANGES:
        chinese |= (points >= first) & (points <= last)
    if not np.any(chinese):
        return np.zeros(len(starts), bool), 0
    border = np.zeros(len(text) + 1, bool)
    border[[0, *accumulate(map(len, segment(text)))]] = True
    is_chinese = chinese[starts] & (ends - starts == 1)
    beside = np.append(False, starts[1:] == ends[:-1]) & ~border[starts]  # the segmenter has one word across
    both = is_chinese & np.append(False, is_chinese[:-1])
    one = is_chinese ^ np.append(False, is_chinese[:-1])
    inner = np.cumsum(border)  # borders up to each place
    within = np.sum(inner[ends - 1] - inner[starts] > 0)
    return beside & both, int(np.sum(beside & one) + within)
