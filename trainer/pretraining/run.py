"""What a pretraining run is made of, and a finished one from its folder."""

from typing import Any

import keras
import numpy as np

from models import heads
from trainer.corpora import making
from trainer.corpora.shards import Corpus
from trainer.data.plain_text import PlainText
from trainer.errors import Mistake
from trainer.pretraining.masked import Scorer
from trainer.pretraining.masking import Masking
from trainer.pretraining.rounds import Finished, Settings
from trainer.pretraining.source import Source
from trainer.runs.blueprint import Blueprint
from trainer.text.segmenter import segmenter
from trainer.text.tokenizer import Tokenizer
from trainer.text.vocabulary import MASK

CLASSES = {"mlm,nsp": "ForPreTraining", "mlm": "ForMaskedLM"}  # of transformers, by objectives
HEAD = ("masked_dense", "masked_norm", "masked_bias", "next_sentence")


def has_pairs(settings: Settings) -> bool:
    return "nsp" in settings["objectives"]


def model_of(blueprint: Blueprint, settings: Settings) -> keras.Model:
    """Returns the model of a run, untrained: the encoder with its heads; see `models.heads.masked_words`."""
    config: Any = blueprint.config
    encoder = blueprint.architecture.build(config, {}, seed=settings["seed"])
    return heads.masked_words(
        encoder, next_sentence=has_pairs(settings), activation=config.activation, epsilon=config.epsilon
    )


def corpus_of(text: PlainText, tokenizer: Tokenizer, settings: Settings) -> Corpus:
    """Returns the corpus of a text, cut as a run cuts it; see `trainer.corpora.making.corpus`."""
    return making.corpus(text, tokenizer, segmenter() if settings["segment"] else None)


def passages_of(corpus: Corpus, tokenizer: Tokenizer, settings: Settings, documents: np.ndarray) -> Source:
    """Returns the passages of documents of a corpus, as a run reads them."""
    mask = tokenizer.vocabulary.index(MASK)
    return Source(
        corpus,
        tokenizer.vocabulary,
        Masking(mask, tokenizer.size, settings["masked_share"], settings["max_predictions"]),
        max_length=settings["max_length"],
        pairs=has_pairs(settings),
        whole_words=settings["masking"] == "words",
        short=settings["short"],
        documents=documents,
        seed=settings["seed"],
    )


def flops(blueprint: Blueprint, settings: Settings) -> float:
    """Returns the floating-point operations of a token's training step, of matrix products alone: two a weight and token forward,
    twice that backward; attention over sequences of full length; of the words the share that is predicted."""
    config: Any = blueprint.config
    width, inner = config.width, config.feed_forward or 4 * config.width
    layer = 4 * width**2 + 2 * width * inner + 2 * width * settings["max_length"]
    return 6.0 * (config.layers * layer + predicted(settings) * width * (width + config.vocabulary_size))


def predicted(settings: Settings) -> float:
    """Returns the share of the pieces of a full sequence that is predicted."""
    return min(settings["masked_share"], settings["max_predictions"] / settings["max_length"])


class Pretrained(Finished):
    """A finished run of BERT's pretraining, from its folder."""

    methods = ("bert",)
    commands = "`python -m trainer pretrain`"

    def build(self) -> keras.Model:
        return model_of(self.blueprint, self.options)

    def scorer(self, text: PlainText, batch_size: int, limit: int | None = None) -> Scorer:
        """Returns what scores the model on a text, all of it or so many of its sequences."""
        tokenizer = self.blueprint.tokenizer
        corpus = corpus_of(text, tokenizer, self.options)
        passages = passages_of(corpus, tokenizer, self.options, np.arange(corpus.documents))
        if not passages.number:
            raise Mistake(f"{text.paths[0]}: expected text to score on, found none")
        return Scorer(self.model, passages, batch_size, limit or passages.number)
