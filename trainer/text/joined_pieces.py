"""Word pieces that give the text back: they say where words stand together, without a space between.

BERT's pieces of "don't." are "don", "'", "t", ".", which may have been "don ' t ." as well. Here a piece that follows what stands
before it without a space is one of those that continue a word, "##'", "##t", "##.", or, where there is none, comes behind
`JOIN`. White space itself is one space, wherever there is some. Beside Chinese (and full-width punctuation) there is none.

Glossary of shapes: B batch, P pieces of a text, W words of all strings, V vocabulary.
"""

import re

import tensorflow as tf

from trainer.text import spelling
from trainer.text.spelling import WIDE
from trainer.text.tokenizer import Fallback
from trainer.text.vocabulary import SPECIAL
from trainer.text.word_pieces import WordPieces
from trainer.text.words import Split, length

JOIN = "[JOIN]"  # between two words that stand together; in a text it would be cut at its brackets
CONTINUES = "##"
_WIDE_RANGES = [(int(low, 16), int(high, 16)) for low, high in re.findall(r"\\x\{(\w+)\}-\\x\{(\w+)\}", WIDE)]


def is_wide(character: str) -> bool:
    """Says whether a character is a CJK ideograph or full-width punctuation, beside which no space is written."""
    return any(low <= ord(character) <= high for low, high in _WIDE_RANGES)


def entries(pieces: list[str], size: int) -> list[str]:
    """Returns a vocabulary of word pieces with what joins them: `JOIN`, and every single character as one that continues.

    Args:
        pieces: Special tokens first, then the others, the most useful first.
        size: Entries at most.
    """
    plain = pieces[len(SPECIAL) :]
    known = set(plain)
    single = [piece for piece in plain if len(piece) == 1 and not is_wide(piece) and CONTINUES + piece not in known]
    needed = [JOIN, *(CONTINUES + piece for piece in single)]
    return [*SPECIAL, *needed, *plain][: max(size, len(SPECIAL) + len(needed))]


class JoinedPieces(WordPieces):
    """Pieces that give the text back; the vocabulary is one of `entries`."""

    unit = "joined_pieces"
    writes = True
    spacing = ((rf" {re.escape(JOIN)} ", ""), *spelling.CONTINUED, *spelling.LINES, *spelling.CHINESE)

    def __init__(
        self, vocabulary: list[str], *, lower_case: bool, fallback: Fallback = "unk", letters: int = 0
    ) -> None:
        super().__init__(vocabulary, lower_case=lower_case, fallback=fallback, letters=letters)
        if JOIN not in self.vocabulary:
            raise ValueError(f"{self.unit}: expected a vocabulary with {JOIN}, found {len(vocabulary)} pieces without")
        ids = {piece: i for i, piece in enumerate(self.vocabulary)}
        self._join = ids[JOIN]
        continued = [ids.get(CONTINUES + piece, -1) for piece in self.vocabulary]
        self._continued = [-1 if piece in SPECIAL else i for piece, i in zip(self.vocabulary, continued, strict=True)]
        texts = ["" if piece in (*SPECIAL, JOIN) else piece.removeprefix(CONTINUES) for piece in self.vocabulary]
        self._texts = texts
        # Whether no space is written before a piece, and behind it
        self._bare_before = [
            piece.startswith(CONTINUES) or not text or is_wide(text[0])
            for piece, text in zip(self.vocabulary, texts, strict=True)
        ]
        self._bare_behind = [not text or is_wide(text[-1]) for text in texts]

    def cut(self, split: Split) -> tuple[Split, tf.RaggedTensor]:
        _, ids = super().cut(split)
        joined = self._joined(split)  # [W]
        starts = ids.row_starts()  # every word has a piece
        first = tf.gather(ids.flat_values, starts)
        continued = tf.gather(tf.constant(self._continued, tf.int32), first)
        replaced = joined & (continued >= 0)
        flat = tf.tensor_scatter_nd_update(ids.flat_values, starts[:, None], tf.where(replaced, continued, first))
        mark = tf.ragged.boolean_mask(tf.fill([tf.size(first), 1], self._join), (joined & ~replaced)[:, None])
        return split, tf.concat([mark, ids.with_flat_values(flat)], axis=1)

    def _joined(self, split):
        """Returns of each word whether it stands at the end of the one before, where a space might be written."""
        behind = lambda x, empty: tf.concat([[empty], x[:-1]], 0)[: tf.size(x)]
        rows = split.rows
        touches = (rows == behind(rows, -1)) & (split.starts == behind(split.ends, -1))
        begins_wide = tf.strings.regex_full_match(split.words, f"[{WIDE}].*")
        ends_wide = tf.strings.regex_full_match(split.words, f".*[{WIDE}]")
        return touches & ~begins_wide & ~behind(ends_wide, False)

    def text(self, ids: tf.Tensor) -> tf.Tensor:
        """Returns the texts [B] of ids int32 [B, P]; special tokens are nothing."""
        return tf.strings.reduce_join(self._spelled(ids), axis=1)

    def ends(self, ids: tf.Tensor) -> tf.Tensor:
        """Returns where each piece ends in the text of all, int32 [B, P], in code points."""
        return tf.cumsum(length(self._spelled(ids)), axis=1)

    def _spelled(self, ids):
        """Returns what each piece adds to the text, [B, P]."""
        texts = tf.gather(tf.constant(self._texts), ids)
        first = tf.cumsum(tf.strings.length(texts), axis=1, exclusive=True) == 0
        bare_behind = tf.gather(tf.constant(self._bare_behind), ids)
        bare = tf.gather(tf.constant(self._bare_before), ids) | tf.pad(bare_behind[:, :-1], [[0, 0], [1, 0]])
        return tf.where(first | bare, "", " ") + texts
