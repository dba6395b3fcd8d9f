"""What models without special rules of their own read: units with a mask, as embeddings; and words composed of their letters.

Glossary of shapes: B batch, S sequence length, L letters of a word, D width, F width of features, V vocabulary.
"""

from typing import Any

import keras
from keras import ops

from models.layers import register

LETTER_WIDTH = 32  # of a letter's embedding
FILTERS = 128  # of the convolution over letters
LETTERS = 257  # values of a letter: 0 padding, 1 + a byte


def unit_inputs(letters: int = 0, features: int = 0) -> dict[str, keras.KerasTensor]:
    """Returns the inputs `token_ids` int32 [B, S], `mask` bool [B, S], true at real units and always at the first of a row, with
    `letters` also `letters` int32 [B, S, L], and with `features` also `features` float32 [B, S, F]."""
    inputs = {
        "token_ids": keras.Input([None], dtype="int32", name="token_ids"),
        "mask": keras.Input([None], dtype="bool", name="mask"),
    }
    if letters:
        inputs["letters"] = keras.Input([None, letters], dtype="int32", name="letters")
    if features:
        inputs["features"] = keras.Input([None, features], name="features")
    return inputs


def units(
    inputs: dict[str, keras.KerasTensor], vocabulary_size: int, width: int, *, deviation: float = 0.1
) -> keras.KerasTensor:
    """Returns the embeddings of units [B, S, D]; of words with letters [B, S, D + `FILTERS`]; with features of units F more.

    A word that is not in the vocabulary still shows its ending and its capitals in its letters.

    Args:
        inputs: Of `unit_inputs`.
        vocabulary_size: V.
        width: D; 0: no embeddings.
        deviation: Standard deviation of the first embeddings.

    Raises:
        ValueError: Nothing is left to read.
    """
    parts = []
    if width:
        parts.append(embedding_of_units(vocabulary_size, width, deviation)(inputs["token_ids"]))  # [B, S, D]
    if "letters" in inputs:
        parts.append(LetterConvolution(name="letters_of_words")(inputs["letters"]))  # [B, S, 128]
    if "features" in inputs:
        parts.append(inputs["features"])  # [B, S, F]
    if not parts:
        raise ValueError("embedding_width: expected more than 0, of units without letters or features, received 0")
    return parts[0] if len(parts) == 1 else keras.layers.Concatenate(name="unit")(parts)


def embedding_of_units(vocabulary_size: int, width: int, deviation: float = 0.1) -> keras.layers.ReversibleEmbedding:
    """Returns the layer `token_embedding` with rows [V, D], which what predicts units may multiply by; args as `units`."""
    initializer = keras.initializers.RandomNormal(stddev=deviation)
    return keras.layers.ReversibleEmbedding(
        vocabulary_size, width, embeddings_initializer=initializer, name="token_embedding"
    )


@register
class LetterConvolution(keras.layers.Layer):
    """Composes words of their letters: [B, S, L] -> [B, S, `FILTERS`], by a convolution of width 3 over a word's letters and the
    maximum over all places (Ma and Hovy 2016, arXiv 1603.01354)."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.embedding = keras.layers.Embedding(LETTERS, LETTER_WIDTH, name="embedding")
        self.convolution = keras.layers.Conv1D(FILTERS, 3, padding="same", activation="relu", name="convolution")

    def build(self, shape: tuple[int | None, ...]) -> None:
        self.embedding.build([None, shape[-1]])
        self.convolution.build([None, shape[-1], LETTER_WIDTH])

    def call(self, letters):
        batch, length, count = ops.shape(letters)
        x = self.convolution(self.embedding(ops.reshape(letters, [batch * length, count])))  # [B*S, L, F]
        return ops.reshape(ops.max(x, axis=1), [batch, length, FILTERS])

    def compute_output_spec(self, letters):
        return keras.KerasTensor([*letters.shape[:2], FILTERS])
