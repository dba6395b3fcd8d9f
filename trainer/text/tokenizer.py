"""What a tokenizer is: raw strings to pieces with their places, whatever the pieces are.

Glossary of shapes: B batch (strings), P pieces of one string, W words of all strings, L letters of a word.
"""

from collections.abc import Callable
from functools import cached_property
from typing import ClassVar

import tensorflow as tf
import tensorflow_text as tf_text

from trainer.text import letters as letters_of_words
from trainer.text import spelling
from trainer.text.pieces import Pieces
from trainer.text.vocabulary import SEPARATOR, SPECIAL, UNKNOWN
from trainer.text.words import Split, Splitter, rows_of

STRINGS = [tf.TensorSpec([None], tf.string)]
LONGEST_STRING = 2**30  # bytes; for lookups of strings of any length
LONGEST_ENTRY = 256  # bytes, of what FastWordpieceTokenizer takes as a piece

Fallback = str | int  # what an unknown word becomes: "unk", "characters", or one of so many hash buckets


class Tokenizer:
    """Maps strings [B] to `Pieces`; a plain function of its input that any graph can hold. A subclass a unit, see `units`.

    Special tokens written in the text are text: `[MASK]` is `[`, `mask`, `]`.

    Args:
        vocabulary: The pieces; the index is the id.
        lower_case: Lower-case and strip accents, as uncased (and Google's Chinese) vocabularies expect.
        fallback: What an unknown word becomes: "unk", [UNK]; "characters", those that the vocabulary has; a number N, one of
            N hash buckets, whose ids follow those of the vocabulary.
        letters: L; above 0, what stands for a piece is 1 + L numbers, see `trainer.text.letters`.

    Raises:
        ValueError: The unit has no such fallback, or no letters.
    """

    unit: ClassVar[str]
    fallbacks: ClassVar[tuple[str, ...]] = ("unk",)
    hashes: ClassVar[bool] = False  # whether the fallback may be a number
    spells: ClassVar[bool] = False  # whether there may be letters
    writes: ClassVar[bool] = (
        False  # whether ids give the text back, by `text`; so it is read as it stands, not in lower case
    )
    separator: ClassVar[str] = " "  # between two pieces, where none of `spacing` says otherwise
    spacing: ClassVar[spelling.Rules] = spelling.WORDS

    def __init__(
        self, vocabulary: list[str], *, lower_case: bool, fallback: Fallback = "unk", letters: int = 0
    ) -> None:
        buckets = isinstance(fallback, int)
        if not (self.hashes and fallback > 0 if isinstance(fallback, int) else fallback in self.fallbacks):
            expected = ", ".join(self.fallbacks) + (", a number above 0" if self.hashes else "")
            raise ValueError(f"unknown {self.unit}: expected {expected}, received {fallback}")
        if letters and not self.spells:
            raise ValueError(f"letters of words: expected the unit words or tokens, received {self.unit}")
        self.vocabulary = list(vocabulary)
        self.lower_case, self.fallback, self.letters = lower_case, fallback, letters
        self.buckets = int(fallback) if buckets else 0
        self.size = size_of(self.vocabulary, fallback)
        self.unknown = self.vocabulary.index(UNKNOWN)
        self.split: Callable[[tf.Tensor], Split] = Splitter(lower_case=lower_case)

    def __call__(self, strings: tf.Tensor) -> Pieces:
        split, ids = self.cut(self.split(strings))
        word_of_piece = rows_of(ids)
        index = tf.range(tf.size(split.words)) - tf.gather(split.row_splits, split.rows)
        row_splits = tf.cast(tf.gather(ids.row_splits, split.row_splits), tf.int32)
        numbers = ids.flat_values
        if self.letters:
            of_words = letters_of_words.read(strings, split, self.letters)
            numbers = letters_of_words.beside(numbers, tf.gather(of_words, word_of_piece))

        def ragged(flat):
            return tf.RaggedTensor.from_row_splits(flat, row_splits, validate=False)

        return Pieces(
            ids=ragged(numbers),
            words=ragged(tf.gather(index, word_of_piece)),
            starts=ragged(tf.gather(split.starts, word_of_piece)),
            ends=ragged(tf.gather(split.ends, word_of_piece)),
        )

    def cut(self, split: Split) -> tuple[Split, tf.RaggedTensor]:
        """Returns (the words as this unit has them, the ids of their pieces, int32 [W, (pieces)], one or more each)."""
        raise NotImplementedError

    def lines(self, strings: tf.Tensor) -> tf.RaggedTensor:
        """Returns the ids of texts of several lines as language models read them, int32 [B, (P)]: each line behind [SEP], which
        stands for the end of the one before; so there is one in every row."""
        lines = tf.strings.split(tf.strings.regex_replace(strings, r"\r\n?", "\n"), sep="\n")  # [B, (lines)]
        ids = self(lines.flat_values).ids  # [lines of all, (P)]
        end = tf.fill([ids.nrows(), 1], self.vocabulary.index(SEPARATOR))
        of_lines = tf.concat([end, ids], axis=1)
        return lines.with_row_splits_dtype(of_lines.row_splits.dtype).with_values(of_lines).merge_dims(1, 2)

    def continuation(self, ids: tf.RaggedTensor, before: tf.Tensor) -> tf.Tensor:
        """Returns what ids [B, (P)] add to texts [B] that they were written behind, see `trainer.text.spelling.join`."""
        special = {SEPARATOR: "\n"} | dict.fromkeys({*SPECIAL} - {SEPARATOR}, "")
        spelled = tf.constant([special.get(piece, piece) for piece in self.vocabulary])
        return spelling.join(ids.with_values(tf.gather(spelled, ids.values)), before, self.separator, self.spacing)

    @cached_property
    def traced(self) -> Callable[[tf.Tensor], Pieces]:
        """The tokenizer as one graph, traced once: strings [B] -> `Pieces`."""
        return tf.function(self.__call__, input_signature=STRINGS, autograph=False)

    @cached_property
    def traced_ids(self) -> Callable[[tf.Tensor], tf.RaggedTensor]:
        """As `traced`, the ids alone: their places need not be found."""
        return tf.function(lambda strings: self(strings).ids, input_signature=STRINGS, autograph=False)


def size_of(vocabulary: list[str], fallback: Fallback) -> int:
    """Returns how many ids a tokenizer of this vocabulary gives: V, or V and the hash buckets."""
    return len(vocabulary) + (fallback if isinstance(fallback, int) else 0)


class Lookup:
    """Finds strings in a list, inside the graph: a table that no export need track, for it is a constant of its op.

    Args:
        entries: Different strings, 1 to `LONGEST_ENTRY` bytes long, none of them [UNK] or beginning with `##`.
        joined: Entries that may also follow others within one string: the longest match goes first.
    """

    def __init__(self, entries: list[str], joined: list[str] | None = None) -> None:
        joined = joined or []
        self._places = [-1, *range(len(entries)), *map({e: i for i, e in enumerate(entries)}.__getitem__, joined)]
        self._tokenizer = tf_text.FastWordpieceTokenizer(
            [UNKNOWN, *entries, *(f"##{entry}" for entry in joined)],
            unknown_token=UNKNOWN,
            no_pretokenization=True,
            max_bytes_per_word=LONGEST_STRING,
            token_out_type=tf.int32,
        )

    def __call__(self, strings: tf.Tensor) -> tf.Tensor:
        """Returns the place of each string among the entries, int32 [N], -1 if it is not there; strings are not empty."""
        return self.matches(strings).flat_values

    def matches(self, strings: tf.Tensor) -> tf.RaggedTensor:
        """Returns the places of the entries that strings [N] consist of, int32 [N, (entries)], a single -1 if of others, too."""
        found = self._tokenizer.tokenize(strings)
        return found.with_flat_values(tf.gather(tf.constant(self._places, tf.int32), found.flat_values))
