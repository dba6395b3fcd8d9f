"""Vectors of words, learned elsewhere, as the first embeddings of a model."""

from collections.abc import Iterator
from pathlib import Path

import keras
import numpy as np

from models.features import TOP
from trainer.errors import Mistake
from trainer.text import vectors

LAYER = "token_embedding"


def begin_with(model: keras.Model, vocabulary: list[str], path: Path) -> int:
    """Sets the embeddings of the words that a file has; the others stay as they are, at random.

    Args:
        model: It has a layer `token_embedding` whose rows begin with those of the vocabulary; or what reads features in it has.
        vocabulary: In the order of the rows.
        path: A file of vectors, see `trainer.text.vectors`, or a run of word2vec.

    Returns:
        How many words were found.

    Raises:
        Mistake: The file cannot be read, its vectors have another width than the model's, or it has none of the words.
    """
    layer = (model.get_layer(TOP) if TOP in {layer.name for layer in model.layers} else model).get_layer(LAYER)
    table, rows = layer.embeddings.numpy(), {word: i for i, word in enumerate(vocabulary)}
    found = 0
    for word, vector in _vectors(path):
        if len(vector) != table.shape[1]:
            raise Mistake(
                f"--embeddings {path}: expected vectors of the model's width, {table.shape[1]}, found {len(vector)} numbers; "
                f"--settings embedding_width={len(vector)} makes a model of that width"
            )
        if word in rows:
            table[rows.pop(word)] = vector
            found += 1
    if not found:
        raise Mistake(f"--embeddings {path}: expected words of the vocabulary, found none of its {len(vocabulary):,}")
    layer.embeddings.assign(table)
    return found


def _vectors(path: Path) -> Iterator[tuple[str, np.ndarray]]:
    if not path.is_dir():
        return vectors.read(path)
    from trainer.pretraining.word_vectors import vectors_of

    run = vectors_of(path)
    return ((word, run.vectors[i]) for word, i in run.ids.items())
