"""`python -m trainer corpus --text F... --vocabulary V`: plain text as tokens, and what is in it."""

from trainer import quiet  # noqa: F401  isort: skip  before all that imports TensorFlow

import time

import numpy as np

from trainer import options as options_of
from trainer.corpora import making
from trainer.corpora.shards import Corpus, describe
from trainer.data.plain_text import PlainText
from trainer.progress import say
from trainer.runs.blueprint import vocabulary_of
from trainer.text.segmenter import segmenter
from trainer.text.tokenizer import Tokenizer
from trainer.text.word_pieces import WordPieces
from trainer.weights import hub, pretrained
from trainer.writing import print_json


def run(options: options_of.Corpus) -> None:
    begun = time.monotonic()
    vocabulary = vocabulary_of(hub.vocabulary_of(options.vocabulary))
    tokenizer = WordPieces(vocabulary, lower_case=pretrained.is_lower_case(vocabulary))
    corpus = making.corpus(
        PlainText(options.text or []), tokenizer, segmenter() if options.segment else None, cores=options.cores
    )
    for line in describe(corpus):
        say(line)
    for line in examples(corpus, tokenizer, options.examples):
        say(f"example   {line}")
    facts = {name: value for name, value in corpus.index.items() if name not in ("shards", "sizes", "files")}
    facts |= {"files": len(corpus.index["files"]), "shards": len(corpus.sizes), "path": str(corpus.folder)}
    print_json(facts | {"seconds": round(time.monotonic() - begun, 1)})


def examples(corpus: Corpus, tokenizer: Tokenizer, number: int) -> list[str]:
    """Returns sentences of a corpus, drawn at random: pieces, those that are masked together joined by a dot."""
    draw, lines = np.random.default_rng(0), []
    for document in draw.integers(max(corpus.documents, 1), size=number if corpus.documents else 0):
        shard, ends = corpus.document(int(document))
        i = int(draw.integers(len(ends) - 1))
        pieces = [tokenizer.vocabulary[piece] for piece in shard.ids[ends[i] : ends[i + 1]]]
        begins = shard.begins[ends[i] : ends[i + 1]]
        lines.append(
            "".join((" " if first else "·") + piece for piece, first in zip(pieces, begins, strict=True)).strip()
        )
    return lines
