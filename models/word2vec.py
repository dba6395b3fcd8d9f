"""word2vec: vectors of words by which their neighbours are predicted (Mikolov et al. 2013, arXiv 1301.3781 and 1310.4546).

Glossary of shapes: B batch, C words that predict (1 in skip-gram), K drawn words, D width, V vocabulary.
"""

import keras
from keras import ops


def word2vec(vocabulary_size: int, *, width: int = 100, seed: int = 0, name: str = "word2vec") -> keras.Model:
    """Builds the model: the mean of the vectors of some words, compared with other vectors of words that may stand there.

    Reference: Mikolov et al. 2013, "Distributed Representations of Words and Phrases", equation 4 (negative sampling). Skip-gram
    predicts each neighbour from one word; CBOW a word from the mean of its neighbours. Initial weights as in their code: the
    first vectors uniform, by 0.5 / D at most, the second ones zero.

    Args:
        vocabulary_size: V.
        width: D.
        seed: Of the initial weights.

    Returns:
        A `keras.Model` from a dict of `words` int32 [B, C], `mask` bool [B, C], true at real ones, and `candidates` int32
        [B, 1 + K], the word that stands there first, to logits [B, 1 + K]: the loss is the binary cross-entropy of each, 1 for the
        first, 0 for the rest, summed.
    """
    words = keras.Input([None], dtype="int32", name="words")  # [B, C]
    mask = keras.Input([None], dtype="bool", name="mask")  # [B, C]
    candidates = keras.Input([None], dtype="int32", name="candidates")  # [B, 1 + K]
    uniform = keras.initializers.RandomUniform(-0.5 / width, 0.5 / width, seed=seed)
    x = keras.layers.Embedding(vocabulary_size, width, uniform, name="words_embedding")(words)  # [B, C, D]
    real = ops.cast(mask, x.dtype)[:, :, None]
    h = ops.sum(x * real, axis=1) / ops.sum(real, axis=1)  # [B, D]
    y = keras.layers.Embedding(vocabulary_size, width, "zeros", name="neighbours_embedding")(
        candidates
    )  # [B, 1 + K, D]
    logits = ops.sum(y * h[:, None], axis=-1)  # [B, 1 + K]
    return keras.Model({"words": words, "mask": mask, "candidates": candidates}, logits, name=name)
