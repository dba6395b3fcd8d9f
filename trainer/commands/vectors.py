"""`python -m trainer vectors RUN --to FILE`: the vectors of a word2vec run, as other programs read them."""

from trainer import quiet  # noqa: F401  isort: skip  before all that imports TensorFlow

from pathlib import Path

from trainer.options import VectorFile
from trainer.pretraining.word_vectors import vectors_of
from trainer.text import vectors
from trainer.writing import print_json


def run(options: VectorFile) -> None:
    found = vectors_of(Path(options.run))
    words = found.words[found.special :]
    vectors.write(options.to, words, found.vectors[found.special :])
    print_json({"path": options.to, "words": len(words), "width": int(found.vectors.shape[1])})
