"""Words as pieces, inside the graph: one id a word; Chinese words by longest match.

Glossary of shapes: W words of all strings.
"""

import tensorflow as tf

from trainer.text.characters import Speller
from trainer.text.tokenizer import LONGEST_ENTRY, Fallback, Lookup, Tokenizer
from trainer.text.vocabulary import UNKNOWN
from trainer.text.words import Split, is_cjk, places_in


class Words(Tokenizer):
    """Words: one piece each.

    Chinese is written without spaces: among adjacent CJK characters, the longest word of the vocabulary that begins at the first
    is taken, then that which begins behind it, and so on; a character with which none begins is an unknown word.
    """

    unit = "words"
    fallbacks = ("unk", "characters")
    hashes = spells = True

    def __init__(
        self, vocabulary: list[str], *, lower_case: bool, fallback: Fallback = "unk", letters: int = 0
    ) -> None:
        super().__init__(vocabulary, lower_case=lower_case, fallback=fallback, letters=letters)
        words = [word for word in self.vocabulary if _is_word(word)]
        chinese = [word for word in words if is_cjk(word)]
        parts = dict.fromkeys(character for word in chinese for character in word)
        # Parts that are no words are entries, too, so that a match never fails; then each is an unknown word.
        entries = [*dict.fromkeys([*words, *parts])]
        ids = {piece: i for i, piece in enumerate(self.vocabulary)}
        self._ids = [ids.get(entry, self.unknown) for entry in entries]
        self._widths = [len(entry) if is_cjk(entry) else 1 for entry in entries]  # in words as they are split
        self._joins = max(self._widths, default=1) > 1
        self._lookup = Lookup(entries, [*dict.fromkeys([*chinese, *parts])] if self._joins else None)
        self._parts = Lookup([*parts])
        self._spell = Speller(self.vocabulary, self.unknown) if fallback == "characters" else None

    def cut(self, split: Split) -> tuple[Split, tf.RaggedTensor]:
        if self._joins:
            split, place = self._join(split)
        else:
            place = self._lookup(split.words)
        ids = tf.gather(tf.constant([*self._ids, self.unknown], tf.int32), tf.where(place < 0, len(self._ids), place))
        known = ids != self.unknown
        if self._spell:
            whole = tf.RaggedTensor.from_row_lengths(tf.boolean_mask(ids, known), tf.cast(known, tf.int64))
            return split, tf.concat([whole, self._spell(tf.where(known, "", split.words))], axis=1)
        if self.buckets:
            bucket = tf.cast(tf.strings.to_hash_bucket_fast(split.words, self.buckets), tf.int32)
            ids = tf.where(known, ids, len(self.vocabulary) + bucket)
        return split, _one_each(ids)

    def _join(self, split):
        """Returns (words, of which Chinese ones are joined, their places among the entries [W])."""
        words, starts, ends, row_splits = split
        rows = split.rows
        part = self._parts(words) >= 0
        before = lambda values: tf.concat([values[:1], values[:-1]], 0)
        goes_on = part & before(part) & (rows == before(rows)) & (starts == before(ends))
        goes_on = tf.concat([tf.zeros_like(goes_on[:1]), goes_on[1:]], 0)
        run = tf.cumsum(tf.cast(~goes_on, tf.int32)) - 1
        runs = tf.strings.unsorted_segment_join(words, run, tf.reduce_sum(tf.cast(~goes_on, tf.int32)))
        place = self._lookup.matches(runs).flat_values
        widths = tf.constant([*self._widths, 1], tf.int32)
        width = tf.gather(widths, tf.where(place < 0, len(self._widths), place))
        last = tf.cumsum(width) - 1
        first = last - width + 1
        at = tf.gather
        return Split(at(words, first), at(starts, first), at(ends, last), places_in(first, row_splits)), place


def _is_word(piece):
    """Says whether a piece of a vocabulary may be a word of a text; `##x` is not, for # is punctuation, a word of its own."""
    return piece != UNKNOWN and not piece.startswith("##") and 0 < len(piece.encode()) <= LONGEST_ENTRY


def _one_each(ids):
    """Returns ids [W] as those of words with one piece each: [W, (1)]."""
    return tf.RaggedTensor.from_row_splits(ids, tf.range(tf.size(ids, tf.int64) + 1), validate=False)
