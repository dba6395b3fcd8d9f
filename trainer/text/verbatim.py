"""Text as it is written, inside the graph: for models that write text themselves, and for text whose words stand apart already.

Nothing is lower-cased, cleaned or cut at punctuation, so the units of a text give the text back.
"""

from collections.abc import Callable

import tensorflow as tf

from trainer.text import spelling
from trainer.text.tokenizer import LONGEST_ENTRY, Fallback, Lookup, Tokenizer
from trainer.text.vocabulary import SPECIAL
from trainer.text.words import Split, ends_of, length, rows_of, split_at, words_of

_SPACE = r"[\t\n\x{B}\x{C}\r\x{1C}-\x{1F}\x{85}\p{Z}]"  # what Python's `str.split` takes as white space


class Verbatim(Tokenizer):
    """Units that stand in a string as they are, one piece each; an unknown one is [UNK]."""

    splitter: Callable[[tf.Tensor], Split]

    def __init__(
        self, vocabulary: list[str], *, lower_case: bool = False, fallback: Fallback = "unk", letters: int = 0
    ) -> None:
        if lower_case:
            raise ValueError(f"{self.unit}: are read as they are written, not in lower case")
        super().__init__(vocabulary, lower_case=False, fallback=fallback, letters=letters)
        self.split = self.splitter
        known = {piece: i for i, piece in enumerate(self.vocabulary) if _may_stand_in_text(piece)}
        self._ids = [*known.values(), self.unknown]  # the last is that of an unknown one
        self._lookup = Lookup([*known])

    def cut(self, split: Split) -> tuple[Split, tf.RaggedTensor]:
        place = self._lookup(split.words)
        ids = tf.gather(tf.constant(self._ids, tf.int32), tf.where(place < 0, len(self._ids) - 1, place))
        return split, tf.RaggedTensor.from_row_splits(ids, tf.range(tf.size(ids, tf.int64) + 1), validate=False)


def _may_stand_in_text(piece):
    return piece not in SPECIAL and not piece.startswith("##") and 0 < len(piece.encode()) <= LONGEST_ENTRY


def _without_zeros(strings):
    return tf.strings.regex_replace(strings, r"\x{0}", "\ufffd")  # for some ops a zero byte ends a string


def split_code_points(strings: tf.Tensor) -> Split:
    """Returns the code points of strings [B], white space among them."""
    characters = tf.strings.unicode_split(_without_zeros(strings), "UTF-8", errors="replace")
    rows = rows_of(characters)
    before = tf.cast(tf.gather(characters.row_starts(), rows), tf.int32)
    starts = tf.range(tf.size(rows)) - before
    return Split(characters.flat_values, starts, starts + 1, tf.cast(characters.row_splits, tf.int32))


def split_tokens(strings: tf.Tensor) -> Split:
    """Returns what stands between white space in strings [B]."""
    strings = tf.strings.unicode_transcode(_without_zeros(strings), "UTF-8", "UTF-8", errors="replace")
    split = split_at(strings, _SPACE)  # white space is a part, too
    words, ends = split.flat_values, ends_of(split)
    kept = ~tf.strings.regex_full_match(words, _SPACE)
    return words_of(split.row_splits, kept, words, ends - length(words), ends)


class CodePoints(Verbatim):
    """Characters as they are written: code points, white space among them."""

    unit = "code_points"
    separator, spacing = "", ()
    splitter = staticmethod(split_code_points)


class Tokens(Verbatim):
    """Words as they are written: what stands between white space, as in WikiText and the Penn Treebank."""

    unit = "tokens"
    spells = True
    spacing = spelling.LINES
    splitter = staticmethod(split_tokens)
