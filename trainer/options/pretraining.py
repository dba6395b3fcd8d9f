"""The options of the commands that read plain text: `corpus` and `pretrain`."""

from dataclasses import dataclass, replace
from typing import Self

from trainer.errors import Mistake
from trainer.options.base import Command, by_place, defaults, without_effect
from trainer.options.checks import more_than_special, one_of, positive, within_seeds
from trainer.options.groups import Device, RunFolder

# Options that not every method has
_MODEL = ("model", "init", "dropout", "precision", "recompute")
_STEPS = (
    *("steps", "evaluate_every", "dev_limit", "held_out", "batch_size", "max_length", "warmup", "schedule"),
    *("weight_decay", "clip_norm"),
)
_BERT = ("objectives", "masking", "max_predictions", "masked_share", "short", "accumulate")
_VOCABULARY = ("vocabulary_size", "vocabulary_min_count")
_LANGUAGE = ("dev", "unit", "cased", "settings", "sampled")
OPTIONS_OF = {
    "bert": (*_MODEL, *_STEPS, *_BERT),
    "lm": (*_MODEL, *_STEPS, *_VOCABULARY, *_LANGUAGE),
    "elmo": (*_MODEL, *_STEPS, *_VOCABULARY, *_LANGUAGE),
    "word2vec": (*_VOCABULARY, "epochs", "width", "window", "cbow", "negatives", "sample"),
}
METHODS = (*OPTIONS_OF,)
RATES = {"bert": 1e-4, "lm": 1e-3, "elmo": 1e-3, "word2vec": 0.025}
UNITS = ("pieces", "words", "characters", "tokens")
WORDS, COUNT = 60000, 5  # of word2vec: words of a vocabulary at most, how often each stands in the text at least
OBJECTIVES = ("mlm,nsp", "mlm")
MASKINGS = ("pieces", "words")


@dataclass(kw_only=True)
class PlainTexts:
    """Text"""

    text: list[str] | None = None
    """Files of plain text, UTF-8: a paragraph a line, a blank line between documents; packed (.gz, .xz, .zst) or not; several, and patterns in quotes, such as 'part-*.txt.xz'."""
    segment: bool = False
    """Find Chinese words by a dictionary (pip install rjieba), so that their characters are masked together; without it each character is a word."""

    def check_text(self) -> None:
        if not self.text:
            raise Mistake("--text: expected files, received none")


@dataclass(kw_only=True)
class Corpus(Command, PlainTexts):
    """Cut plain text into tokens, once, and say what is in it: documents, sentences, words, how much is unknown, examples."""

    vocabulary: str
    """The vocab.txt by which it is cut: a file, or that of weights by name, as for --init of finetune."""
    cores: int | None = without_effect(None)
    """Cores to use (default: all); no result depends on it."""
    examples: int = 3
    """Sentences to show."""

    def checked(self) -> Self:
        self.check_text()
        positive(cores=self.cores)
        if self.examples < 0:
            raise Mistake(f"--examples: expected 0 or more, received {self.examples}")
        return self


@dataclass(kw_only=True)
class Word2Vec:
    """Of word2vec"""

    epochs: int = 5
    """Times that the text is read."""
    width: int = 100
    """Of the vectors."""
    window: int = 5
    """Neighbours on either side at most; for each word a width from 1 to this is drawn."""
    cbow: bool = False
    """Predict a word from the mean of its neighbours, instead of the neighbours from the word (skip-gram)."""
    negatives: int = 5
    """Words drawn against each neighbour."""
    sample: float = 1e-4
    """Words more frequent than this share are left out at random; 0: none is."""

    def check_word2vec(self) -> None:
        positive(epochs=self.epochs, width=self.width, window=self.window, negatives=self.negatives)
        if not 0 <= self.sample < 1:
            raise Mistake(f"--sample: expected a share, received {self.sample}")


@dataclass(kw_only=True)
class LanguageModels:
    """Of lm and elmo"""

    unit: str = UNITS[0]
    """What is read and predicted: pieces, words, characters as they are written (spaces and capitals too), or tokens, what stands between white space, as it is written (WikiText's words)."""
    cased: bool = False
    """Keep capitals and accents in a vocabulary of pieces or words that is made."""
    settings: list[str] | None = None
    """Of --model, other settings than its size has: NAME=VALUE ..., as layers=2 width=300 (a wrong name lists all)."""
    dev: list[str] | None = None
    """Files of plain text to score on, instead of the end of --text."""
    sampled: int = 0
    """Train against so many units that are drawn for each batch, not against all: faster with a large vocabulary (0: all; scores are over all)."""

    def check_language_model(self) -> None:
        one_of("unit", self.unit, UNITS)
        if self.sampled < 0:
            raise Mistake(f"--sampled: expected 0 or more, received {self.sampled}")
        if self.cased and self.unit in ("characters", "tokens"):
            raise Mistake(
                f"--cased: expected with pieces or words, received with {self.unit}, which are read as written"
            )


@dataclass(kw_only=True)
class Pretrain(Command, RunFolder, Device, Word2Vec, LanguageModels, PlainTexts):
    """Train a model on plain text; the run is one that finetune begins with (--init RUN). The same command again goes on where it was interrupted."""

    method: str = by_place()
    """What to learn: bert (masked words, and which sentences follow each other), lm (a language model: what comes next), elmo (one of each direction), or word2vec (vectors of words)."""
    model: str | None = None
    """Random weights: of bert a size: tiny, mini, small, medium, minilm, base, large; of lm: rnn, lstm, gru, gpt, gpt2; of elmo: elmo (the default), elmo-original."""
    init: str | None = None
    """Instead of --model, weights to go on with, as for finetune."""
    vocabulary: str | None = None
    """The vocab.txt of random weights: a file, or that of weights by name (`python -m trainer vocabulary` makes one; the others make their own of the text)."""
    vocabulary_size: int | None = None
    """Entries at most of a vocabulary that is made (default: of word2vec 60000; else 8000 pieces, 20000 words or tokens, 8000 characters)."""
    vocabulary_min_count: int | None = None
    """How often an entry of it stands in the text at least (default: of word2vec 5; else 2 for words and tokens, 1 for others)."""
    objectives: str = OBJECTIVES[0]
    """mlm,nsp: masked words, and whether the second text follows the first; mlm: masked words of one text."""
    masking: str = MASKINGS[1]
    """What is masked as a whole: words (all their pieces; of Chinese see --segment), or single pieces."""
    max_length: int = 128
    """Pieces of a sequence, [CLS] and [SEP] included; of lm and elmo the units between two steps back through them."""
    max_predictions: int = 20
    """Masked pieces of a sequence at most."""
    masked_share: float = 0.15
    """Of the pieces of a sequence, predicted."""
    short: float = 0.1
    """Share of the sequences that are shorter, by a random length."""
    held_out: float = 0.01
    """Share of the documents that is not trained on, but scored; of lm and elmo the end of the text."""
    evaluate_every: int = 500
    """Steps between scores, of which --steps is a multiple."""
    dev_limit: int = 500
    """Sequences that are scored at most."""
    steps: int = 10000
    """Of the optimiser."""
    batch_size: int = 32
    """Sequences at once."""
    accumulate: int = 1
    """Batches a step; their gradients are summed, and divided by what is predicted in all of them."""
    learning_rate: float | None = None
    """Of word2vec at the beginning (default: 0.025), else at the end of the warm-up (of bert 1e-4, of lm and elmo 1e-3)."""
    warmup: float = 0.01
    """Share of the steps in which the learning rate rises."""
    schedule: str = "linear"
    """What the learning rate does after the warm-up: linear or cosine (to 0), inverse_square_root, constant."""
    weight_decay: float = 0.01
    """Decoupled, times the learning rate; not on biases and layer normalisation."""
    clip_norm: float = 1.0
    """Norm of all gradients together at which they are clipped; 0: they are not."""
    dropout: float | None = None
    """In training (default: as the configuration says, mostly 0.1; 0 is better where no text is read twice)."""
    seed: int = 0
    """Of new weights, dropout, the order of the text, and what is masked."""

    def checked(self) -> Self:
        self.check_text()
        self.check_run_folder()
        self.check_device()
        one_of("method", self.method, METHODS)
        if self.method == "elmo" and not (self.model or self.init):
            return replace(self, model="elmo").checked()
        self._check_method()
        within_seeds(self.seed)
        positive(learning_rate=self.learning_rate, vocabulary_min_count=self.vocabulary_min_count)
        more_than_special("vocabulary_size", self.vocabulary_size)
        size, least = self.vocabulary_size, self.vocabulary_min_count
        if self.method == "word2vec":
            self.check_word2vec()
            size, least = size or WORDS, least or COUNT
        else:
            self._check_model()
            self._check_steps()
            self._check_bert() if self.method == "bert" else self.check_language_model()
        return replace(self, learning_rate=self.peak, vocabulary_size=size, vocabulary_min_count=least)

    def _check_method(self):
        given = defaults(Pretrain)
        for name in dict.fromkeys(name for names in OPTIONS_OF.values() for name in names):
            if name not in OPTIONS_OF[self.method] and getattr(self, name) != given[name]:
                *others, last = (method for method, names in OPTIONS_OF.items() if name in names)
                expected = f"{', '.join(others)} or {last}" if others else last
                raise Mistake(f"--{name}: expected with {expected}, received with {self.method}")

    @property
    def peak(self) -> float:
        """The learning rate, where none is given that of the method."""
        return self.learning_rate or RATES[self.method]

    def _check_model(self):
        if (self.init is None) == (self.model is None):
            raise Mistake(f"expected either --init or --model, received {'both' if self.init else 'neither'}")
        if self.init and self.vocabulary:
            raise Mistake("--vocabulary: expected with --model, received with --init, whose vocabulary is its own")
        if self.dropout is not None and not 0 <= self.dropout < 1:
            raise Mistake(f"--dropout: expected a rate from 0, below 1, received {self.dropout}")

    def _check_bert(self):
        one_of("objectives", self.objectives, OBJECTIVES)
        one_of("masking", self.masking, MASKINGS)
        if self.model and not self.vocabulary:
            raise Mistake(
                "--vocabulary: expected with --model (`python -m trainer vocabulary` makes one), received none"
            )
        if self.segment and self.masking != "words":
            raise Mistake(f"--segment: expected with --masking words, received with {self.masking}")
        positive(accumulate=self.accumulate, max_predictions=self.max_predictions)
        for name in ("masked_share", "short"):
            self._check_share(name)
        if not self.masked_share:
            raise Mistake("--masked_share: expected more than 0, received 0")

    def _check_steps(self):
        one_of("schedule", self.schedule, ("linear", "cosine", "inverse_square_root", "constant"))
        positive(batch_size=self.batch_size, steps=self.steps, evaluate_every=self.evaluate_every)
        positive(dev_limit=self.dev_limit)
        if self.steps > self.evaluate_every and self.steps % self.evaluate_every:
            raise Mistake(
                f"--steps: expected a multiple of --evaluate_every {self.evaluate_every}, received {self.steps}"
            )
        for name in ("weight_decay", "clip_norm"):
            if not getattr(self, name) >= 0:
                raise Mistake(f"--{name}: expected 0 or more, received {getattr(self, name)}")
        if self.max_length < 8:
            raise Mistake(f"--max_length: expected 8 or more, received {self.max_length}")
        self._check_share("warmup")
        self._check_share("held_out", 0.5)

    def _check_share(self, name, most=1.0):
        if not 0 <= getattr(self, name) <= most:
            raise Mistake(f"--{name}: expected a share, received {getattr(self, name)}")


@dataclass(kw_only=True)
class VectorFile(Command):
    """Write the vectors of a word2vec run in word2vec's own form."""

    run: str = by_place()
    """Run folder."""
    to: str
    """File to write: binary if it ends in .bin, else text, a word a line."""
