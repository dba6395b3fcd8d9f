"""Chinese words by a dictionary, for vocabularies: what the graph then finds by longest match, and how often both agree.

The segmenter is jieba, in its Rust form (rjieba), an optional library; neither a model nor an export needs it.
"""

from collections.abc import Sequence
from itertools import accumulate, pairwise

import tensorflow as tf

from trainer.errors import Mistake
from trainer.text.counted import CHUNK, Segment, runs
from trainer.text.tokenizer import Tokenizer
from trainer.text.words import is_cjk

PACKAGE = "rjieba"


def segmenter() -> Segment:
    """Returns the function from a run of Chinese characters to its words.

    Raises:
        Mistake: The library is not installed.
    """
    try:
        import rjieba
    except ImportError:
        raise Mistake(
            f"--segment: expected the library that finds Chinese words (pip install {PACKAGE}), found none"
        ) from None
    return rjieba.Jieba().cut  # a dictionary of its own, to which no other code adds


def agreement(tokenizer: Tokenizer, texts: Sequence[str], segment: Segment) -> dict[str, float]:
    """Returns how a segmenter's Chinese words of texts are found by longest match over a vocabulary.

    Args:
        tokenizer: Of the unit words.
        texts: A sample.
        segment: See `segmenter`.

    Returns:
        {lines, words: of the segmenter; precision, recall, f1: of words with both ends; boundaries: the share of those between
        two of the segmenter's words that longest match has, too}.
    """
    split = tf.function(tokenizer.split, input_signature=[tf.TensorSpec([None], tf.string)], autograph=False)
    gold_words = found_words = both_words = gold_ends = both_ends = 0
    for i in range(0, len(texts), CHUNK):
        strings = tf.constant([*texts[i : i + CHUNK]])
        of_strings = split(strings)
        columns = (of_strings.words, of_strings.starts, of_strings.ends, of_strings.rows)
        words, *places = (column.numpy().tolist() for column in columns)
        found_of_rows = _spans(*(column.to_list() for column in tokenizer.traced(strings)[2:]))
        rows: dict[int, list[tuple[str, int, int]]] = {}
        for word, start, end, row in zip((word.decode() for word in words), *places, strict=True):
            rows.setdefault(row, []).append((word, start, end))
        for row, words_of_row in rows.items():
            chinese = [(run, start) for run, start, _ in runs(words_of_row) if is_cjk(run)]
            gold = {span for run, start in chinese for span in _cut(run, start, segment)}
            covered = {place for run, start in chinese for place in range(start, start + len(run))}
            found = {span for span in found_of_rows[row] if span[0] in covered}
            between = {end for _, end in gold if end in covered}  # the end of a run is no choice
            gold_words, found_words, both_words = (
                gold_words + len(gold), found_words + len(found), both_words + len(gold & found)
            )  # fmt: skip
            gold_ends, both_ends = gold_ends + len(between), both_ends + len(between & {end for _, end in found})
    precision, recall = both_words / max(found_words, 1), both_words / max(gold_words, 1)
    return {
        "lines": len(texts),
        "words": gold_words,
        "precision": round(precision, 4),
        "recall": round(recall, 4),
        "f1": round(2 * precision * recall / max(precision + recall, 1e-9), 4),
        "boundaries": round(both_ends / max(gold_ends, 1), 4),
    }


def _spans(starts, ends):
    """Returns the places of the words of each text; a word of several pieces has one."""
    return [{*zip(*places, strict=True)} for places in zip(starts, ends, strict=True)]


def _cut(run, start, segment):
    """Returns the places of the segmenter's words of a run that begins at `start`."""
    return pairwise(accumulate(map(len, segment(run)), initial=start))
