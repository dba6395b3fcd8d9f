"""Raw strings to word pieces, inside the graph, equal to Google's reference tokenisation.

Reference: `FullTokenizer` of google-research/bert (`tokenization.py`): clean, split CJK, split white space, lower-case,
strip accents, split punctuation, greedy longest-match WordPiece. TF Text's own BERT tokenizers apply NFKC case folding
(`，` becomes `,`), which changes the ids of Chinese text; this module is built of smaller ops that do not.

Every op here loads in TF 2.12.1 with TF Text 2.12.1 and later.

Shapes: B batch (strings), W words of one string, P word pieces of one string.
"""

from collections.abc import Callable
from functools import cached_property
from pathlib import Path

import tensorflow as tf
import tensorflow_text as tf_text

from trainer.text.pieces import Pieces

UNKNOWN, PADDING, START, SEPARATOR = "[UNK]", "[PAD]", "[CLS]", "[SEP]"

STRINGS = [tf.TensorSpec([None], tf.string)]
MAX_WORD_CHARACTERS = 200  # longer words become one [UNK], as in the reference

_SPACE = r"\t\n\r\p{Z}"
_CONTROL = r"\p{Cc}\p{Cf}\x{FFFD}"  # the reference also drops U+FFFD; \t \n \r are delimiters and never reach the words
_TO_SOFT_HYPHEN = r"[\x{0}-\x{8}\x{B}\x{C}\x{E}-\x{1F}\x{7F}-\x{9F}\x{FFFD}]"  # all of these but Cf
_CJK = (
    r"\x{4E00}-\x{9FFF}\x{3400}-\x{4DBF}\x{20000}-\x{2A6DF}\x{2A700}-\x{2B73F}\x{2B740}-\x{2B81F}\x{2B820}-\x{2CEAF}"
    r"\x{F900}-\x{FAFF}\x{2F800}-\x{2FA1F}"
)
_PUNCTUATION = r"\x{21}-\x{2F}\x{3A}-\x{40}\x{5B}-\x{60}\x{7B}-\x{7E}\p{P}"
# The reference splits punctuation after NFD: these four are no punctuation, but become ` = < > there.
_PUNCTUATION_AFTER_NFD = r"\x{1FEF}\x{2260}\x{226E}\x{226F}"


def read_vocabulary(path: str | Path, content: bytes | None = None) -> list[str]:
    """Returns the pieces of a `vocab.txt`, one a line; the line number is the id.

    Args:
        path: Its path.
        content: Its bytes, if they were read already.

    Raises:
        ValueError: a special token is missing, or a piece stands twice.
    """
    content = Path(path).read_bytes() if content is None else content
    pieces = content.decode("utf-8").removesuffix("\n").split("\n")
    pieces = [piece.removesuffix("\r") for piece in pieces]
    missing = [token for token in (PADDING, UNKNOWN, START, SEPARATOR) if token not in pieces]
    if missing:
        raise ValueError(f"{path}: expected a vocabulary with {' '.join(missing)}, found {len(pieces)} pieces without")
    first_line: dict[str, int] = {}
    for number, piece in enumerate(pieces, 1):
        if first_line.setdefault(piece, number) != number:
            raise ValueError(f"{path}:{number}: piece {piece!r} stands already in line {first_line[piece]}")
    return pieces


class Tokenizer:
    """Maps strings [B] to `Pieces`; a plain function of its input that any graph can hold.

    Special tokens written in the text are text: `[MASK]` becomes the pieces `[`, `mask`, `]`.

    Args:
        vocabulary: The pieces; the index is the id.
        lower_case: Lower-case and strip accents, as uncased (and Google's Chinese) vocabularies expect.
    """

    def __init__(self, vocabulary: list[str], *, lower_case: bool) -> None:
        self.vocabulary = list(vocabulary)
        self.lower_case = lower_case
        self._unknown_word = "a" * (4 * MAX_WORD_CHARACTERS + 1)  # past the byte limit: always [UNK]
        self._wordpiece = tf_text.FastWordpieceTokenizer(
            self.vocabulary,
            unknown_token=UNKNOWN,
            no_pretokenization=True,
            max_bytes_per_word=4 * MAX_WORD_CHARACTERS,  # a code point has at most 4; code points are counted below
            token_out_type=tf.int32,
        )
        extra = _PUNCTUATION_AFTER_NFD if lower_case else ""
        self._delimiters = f"[{_SPACE}{_CJK}{_PUNCTUATION}{extra}]"
        marks = r"\p{Mn}" if lower_case else ""
        self._dropped = f"[{_SPACE}{_CONTROL}{marks}]"

    def __call__(self, strings: tf.Tensor) -> Pieces:
        words, starts, ends, rows = self._split(strings)
        pieces = self._wordpiece.tokenize(words)  # [words of all strings, (pieces)]
        word_of_piece = pieces.value_rowids()
        first_word = tf.searchsorted(rows, tf.range(tf.size(strings)))  # of each string
        index = tf.range(tf.size(words)) - tf.gather(first_word, rows)

        def ragged(flat):
            row_of_piece = tf.gather(rows, word_of_piece)
            return tf.RaggedTensor.from_value_rowids(flat, row_of_piece, tf.size(strings), validate=False)

        return Pieces(
            ids=ragged(pieces.flat_values),
            words=ragged(tf.gather(index, word_of_piece)),
            starts=ragged(tf.gather(starts, word_of_piece)),
            ends=ragged(tf.gather(ends, word_of_piece)),
        )

    @cached_property
    def traced(self) -> Callable[[tf.Tensor], Pieces]:
        """The tokenizer as one graph, traced once: strings [B] -> `Pieces`."""
        return tf.function(self.__call__, input_signature=STRINGS, autograph=False)

    @cached_property
    def traced_ids(self) -> Callable[[tf.Tensor], tf.RaggedTensor]:
        """As `traced`, the ids alone: their places need not be found."""
        return tf.function(lambda strings: self(strings).ids, input_signature=STRINGS, autograph=False)

    def _split(self, strings):
        """Returns the normalised words of all strings, their starts and ends, and the string each belongs to."""
        strings = tf.strings.unicode_transcode(strings, "UTF-8", "UTF-8", errors="replace")
        # Characters that are dropped below become soft hyphens, one for one: a zero byte would end a word for some ops,
        # and any of them would hide the neighbours of a Σ, on which its lower case depends.
        strings = tf.strings.regex_replace(strings, _TO_SOFT_HYPHEN, "\u00ad")
        if self.lower_case:
            # İ alone would become two code points, i and a dot that is dropped; so each of them stays at its index.
            strings = tf.strings.regex_replace(strings, "İ", "i")
            strings = tf.strings.lower(strings, encoding="utf-8")
        # Each delimiter, white space too, is kept as a word of its own: so every code point lies in exactly one word,
        # and positions are running sums of lengths.
        split = tf_text.regex_split(strings, self._delimiters, self._delimiters)
        rows = tf.cast(split.value_rowids(), tf.int32)
        words = split.flat_values
        lengths = _length(words)
        ends = tf.cumsum(lengths)
        before_string = tf.gather(tf.concat([[0], ends], 0), split.row_starts())
        ends -= tf.gather(before_string, rows)
        # A word begins and ends with a character that is kept; accents, dropped too, belong to the letter before them.
        starts = ends - _length(tf.strings.regex_replace(words, f"^[{_CONTROL}]+", ""))
        ends -= lengths - _length(tf.strings.regex_replace(words, f"[{_CONTROL}]+$", ""))
        if self.lower_case:
            words = tf_text.normalize_utf8(words, "NFD")
        words = tf.strings.regex_replace(words, self._dropped, "")
        words = tf.where(_length(words) > MAX_WORD_CHARACTERS, self._unknown_word, words)
        kept = tf.strings.length(words) > 0
        return [tf.boolean_mask(x, kept) for x in (words, starts, ends, rows)]


def _length(strings):
    """Returns the code points of each string."""
    return tf.strings.length(strings, unit="UTF8_CHAR")
