"""Raw strings to normalised words with their places, inside the graph, equal to Google's reference tokenisation.

Reference: `BasicTokenizer` of google-research/bert (`tokenization.py`): clean, split CJK, split white space, lower-case,
strip accents, split punctuation. TF Text's own BERT tokenizers apply NFKC case folding (`，` becomes `,`), which changes the
words of Chinese text; this module is built of smaller ops that do not.

Every op here loads in TF 2.12.1 with TF Text 2.12.1 and later.

Glossary of shapes: B batch (strings), W words of all strings, U parts of all strings.
"""

import re
from typing import NamedTuple

import tensorflow as tf
import tensorflow_text as tf_text
from tensorflow_text.python.ops.regex_split_ops import gen_regex_split_ops

_SPACE = r"\t\n\r\p{Z}"
_CONTROL = r"\p{Cc}\p{Cf}\x{FFFD}"  # the reference also drops U+FFFD; \t \n \r are delimiters and never reach the words
_TO_SOFT_HYPHEN = r"[\x{0}-\x{8}\x{B}\x{C}\x{E}-\x{1F}\x{7F}-\x{9F}\x{FFFD}]"  # all of these but Cf
CJK = (
    r"\x{4E00}-\x{9FFF}\x{3400}-\x{4DBF}\x{20000}-\x{2A6DF}\x{2A700}-\x{2B73F}\x{2B740}-\x{2B81F}\x{2B820}-\x{2CEAF}"
    r"\x{F900}-\x{FAFF}\x{2F800}-\x{2FA1F}"
)
CJK_RANGES = [(int(first, 16), int(last, 16)) for first, last in re.findall(r"\\x\{(\w+)\}-\\x\{(\w+)\}", CJK)]
_ALL_CJK = re.compile("[" + "".join(f"{chr(first)}-{chr(last)}" for first, last in CJK_RANGES) + "]+")
_PUNCTUATION = r"\x{21}-\x{2F}\x{3A}-\x{40}\x{5B}-\x{60}\x{7B}-\x{7E}\p{P}"
# The reference splits punctuation after NFD: these four are no punctuation, but become ` = < > there.
_PUNCTUATION_AFTER_NFD = r"\x{1FEF}\x{2260}\x{226E}\x{226F}"


def is_cjk(word: str) -> bool:
    """Says whether all characters of a word are CJK ideographs, each of which is split as a word of its own."""
    return bool(_ALL_CJK.fullmatch(word))


class Split(NamedTuple):
    """The words of a batch of strings, in order; all fields are int32 but the words.

    `starts` and `ends` are the place of the word in its string, in Unicode code points, end exclusive.
    """

    words: tf.Tensor  # [W], normalised; never empty
    starts: tf.Tensor  # [W]
    ends: tf.Tensor  # [W]
    row_splits: tf.Tensor  # [B + 1], the first word of each string, and W

    @property
    def rows(self) -> tf.Tensor:
        """The string that each word stands in, [W]."""
        return places_in(self.row_splits[1:], tf.range(tf.size(self.words)), behind_equal=True)


class Splitter:
    """Maps strings [B] to the `Split` of their words; a plain function of its input that any graph can hold.

    Args:
        lower_case: Lower-case and strip accents, as uncased (and Google's Chinese) vocabularies expect.
    """

    def __init__(self, *, lower_case: bool) -> None:
        self.lower_case = lower_case
        extra = _PUNCTUATION_AFTER_NFD if lower_case else ""
        self._delimiters = f"[{_SPACE}{CJK}{_PUNCTUATION}{extra}]"
        marks = r"\p{Mn}" if lower_case else ""
        self._dropped = f"[{_SPACE}{_CONTROL}{marks}]"

    def __call__(self, strings: tf.Tensor) -> Split:
        strings = tf.strings.unicode_transcode(strings, "UTF-8", "UTF-8", errors="replace")
        # Characters that are dropped below become soft hyphens, one for one: a zero byte would end a word for some ops,
        # and any of them would hide the neighbours of a Σ, on which its lower case depends.
        strings = tf.strings.regex_replace(strings, _TO_SOFT_HYPHEN, "\u00ad")
        if self.lower_case:
            # İ alone would become two code points, i and a dot that is dropped; so each of them stays at its index.
            strings = tf.strings.regex_replace(strings, "İ", "i")
            strings = tf.strings.lower(strings, encoding="utf-8")
        split = split_at(strings, self._delimiters)  # each delimiter, white space too, is a word of its own
        words, ends = split.flat_values, ends_of(split)
        lengths = length(words)
        # A word begins and ends with a character that is kept; accents, dropped too, belong to the letter before them.
        starts = ends - length(tf.strings.regex_replace(words, f"^[{_CONTROL}]+", ""))
        ends -= lengths - length(tf.strings.regex_replace(words, f"[{_CONTROL}]+$", ""))
        if self.lower_case:
            words = tf_text.normalize_utf8(words, "NFD")
        words = tf.strings.regex_replace(words, self._dropped, "")
        return words_of(split.row_splits, tf.not_equal(words, ""), words, starts, ends)


def split_at(strings: tf.Tensor, delimiters: str) -> tf.RaggedTensor:
    """Returns strings [B] cut at what an expression matches, which is kept: string [B, (parts)].

    As `tf_text.regex_split`, by its operation itself: the function checks each of three results, in 76 operations more.
    """
    expression = f"({delimiters})"
    parts, _, _, row_splits = gen_regex_split_ops.regex_split_with_offsets(strings, expression, expression)
    return tf.RaggedTensor.from_row_splits(parts, row_splits, validate=False)


def ends_of(parts: tf.RaggedTensor) -> tf.Tensor:
    """Returns where each part ends in its string, in code points, int32 [U]; the parts [B, (parts)] are all of the strings."""
    ends = tf.cumsum(length(parts.flat_values))
    before_string = tf.gather(tf.concat([[0], ends], 0), parts.row_starts())
    return ends - tf.gather(before_string, rows_of(parts))


def words_of(row_splits: tf.Tensor, kept: tf.Tensor, words: tf.Tensor, starts: tf.Tensor, ends: tf.Tensor) -> Split:
    """Returns those of the parts of strings that are words.

    Args:
        row_splits: [B + 1], of the parts.
        kept: [U], which of them are words.
        words, starts, ends: [U], see `Split`.
    """
    before = tf.concat([[0], tf.cumsum(tf.cast(kept, tf.int32))], 0)  # words before each part, and before the end
    among = lambda x: tf.boolean_mask(x, kept)
    return Split(among(words), among(starts), among(ends), tf.gather(before, row_splits))


def rows_of(ragged: tf.RaggedTensor) -> tf.Tensor:
    """Returns the row of each value, int32, as `value_rowids` does, in a quarter of its operations: a short text pays for each."""
    return places_in(
        ragged.row_splits[1:], tf.range(tf.size(ragged.values, ragged.row_splits.dtype)), behind_equal=True
    )


def places_in(ordered: tf.Tensor, values: tf.Tensor, *, behind_equal: bool = False) -> tf.Tensor:
    """Returns where values [N] would be put into an ordered [M], int32, before equal ones or behind them.

    As `tf.searchsorted`, which takes any number of rows, in a third of its operations.
    """
    search = tf.raw_ops.UpperBound if behind_equal else tf.raw_ops.LowerBound
    return tf.squeeze(search(sorted_inputs=tf.expand_dims(ordered, 0), values=tf.expand_dims(values, 0)), 0)


def length(strings: tf.Tensor) -> tf.Tensor:
    """Returns the code points of each string, int32."""
    return tf.strings.length(strings, unit="UTF8_CHAR")
