"""Words to characters, inside the graph.

The pieces of a word are its normalised characters: the first bears its plain form, the others `##x`, so that the borders of
words are kept, and a vocabulary of characters is one of word pieces of a single character each.
"""

import tensorflow as tf

from trainer.text.tokenizer import Fallback, Lookup, Tokenizer
from trainer.text.words import Split, rows_of


class Characters(Tokenizer):
    """Characters: an unknown one is [UNK] alone, the rest of its word stays."""

    unit = "characters"

    def __init__(
        self, vocabulary: list[str], *, lower_case: bool, fallback: Fallback = "unk", letters: int = 0
    ) -> None:
        super().__init__(vocabulary, lower_case=lower_case, fallback=fallback, letters=letters)
        self._spell = Speller(self.vocabulary, self.unknown)

    def cut(self, split: Split) -> tuple[Split, tf.RaggedTensor]:
        return split, self._spell(split.words)


class Speller:
    """Maps words [N] to the ids of their characters, int32 [N, (characters)]; part of a graph.

    Args:
        vocabulary: Has characters, `x` and `##x`, among others.
        unknown: The id of a character that it does not have in this form.
    """

    def __init__(self, vocabulary: list[str], unknown: int) -> None:
        ids = {piece: i for i, piece in enumerate(vocabulary)}
        characters = dict.fromkeys(piece.removeprefix("##") for piece in vocabulary)
        known = [character for character in characters if len(character) == 1]
        self._lookup = Lookup(known)
        self._first = [*(ids.get(character, unknown) for character in known), unknown]  # the last is that of -1
        self._others = [*(ids.get(f"##{character}", unknown) for character in known), unknown]

    def __call__(self, words: tf.Tensor) -> tf.RaggedTensor:
        characters = tf.strings.unicode_split(words, "UTF-8")
        place = self._lookup(characters.flat_values)
        place = tf.where(place < 0, len(self._first) - 1, place)
        word = rows_of(characters)
        is_first = tf.concat([tf.ones_like(word[:1], tf.bool), word[1:] != word[:-1]], 0)
        first, others = (tf.constant(ids, tf.int32) for ids in (self._first, self._others))
        return characters.with_flat_values(tf.where(is_first, tf.gather(first, place), tf.gather(others, place)))
