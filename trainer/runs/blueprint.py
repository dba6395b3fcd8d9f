"""What a model is made of before it has weights: an architecture, its configuration, a tokenizer."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import keras

from trainer.architectures import table
from trainer.architectures.base import GIVES, Architecture, Config
from trainer.architectures.features import HEAD_DROPOUT, Features
from trainer.architectures.features import Config as FeaturesConfig
from trainer.errors import Mistake, described
from trainer.tasks.kind import Kind
from trainer.tasks.kinds import kind_of
from trainer.tasks.table import Task
from trainer.text.reader import Reader
from trainer.text.tokenizer import Fallback, Tokenizer, size_of
from trainer.text.units import UNITS
from trainer.text.vocabulary import read_vocabulary
from trainer.weights import pretrained


@dataclass(frozen=True)
class Blueprint:
    """What a model is made of before it has weights."""

    architecture: Architecture
    config: Config
    tokenizer: Tokenizer

    @classmethod
    def of_weights(cls, folder: str | Path) -> Blueprint:
        """Reads that of pretrained weights, in a folder of either form, or of a run.

        Raises:
            Mistake: Something is missing, or is not what this project supports.
        """
        folder = Path(folder)
        try:
            architecture, config = table.read(folder)
            content, lower_case = pretrained.read_tokenizer(folder)
            unit, fallback = pretrained.read_unit(folder)
            vocabulary = read_vocabulary(folder / "vocab.txt", content)
        except (OSError, ValueError) as error:
            raise Mistake(described(error)) from None
        size = size_of(vocabulary, fallback)
        if size > config.vocabulary_size:
            raise Mistake(
                f"{folder / 'vocab.txt'}: has {size} pieces, but its configuration says vocab_size {config.vocabulary_size}"
            )
        return cls(architecture, config, _tokenizer(config, unit, vocabulary, lower_case, fallback))

    @classmethod
    def new(
        cls,
        model: str,
        vocabulary: list[str],
        *,
        lower_case: bool = True,
        unit: str = "pieces",
        fallback: Fallback = "unk",
        settings: Iterable[str] = (),
    ) -> Blueprint:
        """Returns that of weights that are yet to be learned: of a model by name, and a vocabulary.

        Args:
            model: See `trainer.architectures.table.named`.
            vocabulary, lower_case, fallback: See `trainer.text.tokenizer.Tokenizer`.
            unit: Of `trainer.text.units.UNITS`.
            settings: See `trainer.architectures.base.Architecture.with_settings`.

        Raises:
            Mistake: No such model, or setting; it reads the letters of words, and the unit is another.
        """
        architecture, size = table.named(model)
        config = architecture.configuration(size, size_of(vocabulary, fallback))
        if settings:
            try:
                config = architecture.with_settings(config, settings)
                architecture.build(config, {}, seed=0)  # a builder checks its arguments
            except ValueError as error:
                raise Mistake(f"--settings: {error}") from None
        return cls(architecture, config, _tokenizer(config, unit, vocabulary, lower_case, fallback))

    def as_features(self, layers: str, frozen: bool, top: Blueprint | None = None) -> Blueprint:
        """Returns that of a model that reads the layers of this one.

        Args:
            layers: See `models.features.features`.
            frozen: This one keeps its weights.
            top: Of what reads them, whose vocabulary is the model's; None: the head of the task.

        Raises:
            Mistake: No such layers; `top` reads no features; this one is such a model itself, or writes texts.
        """
        if "hidden_states" not in self.architecture.gives or isinstance(self.architecture, Features):
            raise Mistake(f"--features: expected a pretrained encoder as --init, received {self.architecture.title}")
        if top and not top.architecture.reads_features:
            raise Mistake(f"--features: expected a recurrent network as --model, received {top.architecture.title}")
        config = FeaturesConfig(
            vocabulary_size=(top or self).config.vocabulary_size,
            dropout=HEAD_DROPOUT,
            encoder=self.config,
            top=top.config if top else None,
            layers=layers,
            frozen=frozen,
        )
        if (letters := getattr(config.top, "letters", 0)) not in (0, config.letters):
            raise Mistake(f"--settings letters: expected {config.letters}, as --init reads, received {letters}")
        architecture = Features(self.architecture, top.architecture if top else None)
        try:
            architecture.build(config, {}, seed=0)  # builders check their arguments
        except ValueError as error:
            raise Mistake(f"--layers: {error}") from None
        read = (top or self).tokenizer
        tokenizer = _tokenizer(config, read.unit, read.vocabulary, read.lower_case, read.fallback)
        return Blueprint(architecture, config, tokenizer)

    def with_dropout(self, rate: float) -> Blueprint:
        return replace(self, config=self.architecture.with_dropout(self.config, rate))

    def check(self, task_name: str, task: Task, texts: int = 1) -> None:
        """Refuses a task, of so many texts a row, that the architecture lacks something for.

        Raises:
            Mistake: It names what is lacking.
        """
        needs = [*kind_of(task).needs, *(["pairs"] if texts > 1 else [])]
        lacking = [need for need in dict.fromkeys(needs) if need not in self.architecture.gives]
        if lacking:
            wanted = " and ".join(GIVES[need] for need in lacking)
            raise Mistake(f"{task_name}: expected a model that {wanted}; {self.architecture.title} does not")

    def reader(self, max_length: int) -> Reader:
        """Returns how the model reads text; see `Architecture.reader`."""
        return self.architecture.reader(self.tokenizer, max_length)

    def model(
        self,
        task: Task,
        classes: int,
        *,
        texts: int = 1,
        decoder: str | None = None,
        joined: bool = False,
        seed: int = 0,
    ) -> keras.Model:
        """Returns the model of a task, untrained: the encoder of one text, or of two, and the head of the task's kind;
        `decoder`: see `kind_of`; `joined`: in the form for sequences one after the other in one row, of an
        architecture that has it."""
        kind = kind_of(task, decoder)
        build = self.architecture.build if texts == 1 else self.architecture.build_pair
        form = self.architecture.joined if joined else None
        encoder = build(self.config, kind.wants | (form or {}), seed=seed)
        return kind.build(encoder, classes, dropout=self.architecture.head_dropout(self.config), seed=seed)

    def layers_of_task(self, kind: Kind, model: keras.Model) -> tuple[str, ...]:
        """Returns the names of the layers that a kind of task adds to the encoder of one text, which other weights need not have."""
        between = [layer.name for layer in model.layers if layer.name.startswith("pair_") and layer.weights]
        return (*between, *kind.layers)

    def absent(self, model: keras.Model, folder: str | Path, layers: Iterable[str] = ()) -> tuple[str, ...]:
        """Returns the layers that a folder of weights need not have, and has not; see `Architecture.absent`.

        Raises:
            Mistake: It cannot be read.
        """
        try:
            return self.architecture.absent(model, folder, layers)
        except (OSError, ValueError) as error:
            raise Mistake(described(error)) from None

    def load(self, model: keras.Model, folder: str | Path, *, ignore: Iterable[str] = ()) -> list[str]:
        """Sets a model's weights from a folder; see `trainer.weights.tensors.load`.

        Raises:
            Mistake: They are not those of this model.
        """
        try:
            return self.architecture.load(model, folder, ignore=ignore)
        except (OSError, ValueError) as error:
            raise Mistake(described(error)) from None


def vocabulary_of(path: str | Path, content: bytes | None = None) -> list[str]:
    """Returns what `read_vocabulary` does.

    Raises:
        Mistake: It cannot be read.
    """
    try:
        return read_vocabulary(path, content)
    except (OSError, ValueError) as error:
        raise Mistake(described(error)) from None


def _tokenizer(config, unit, vocabulary, lower_case, fallback) -> Tokenizer:
    """Returns the tokenizer of a model, with as many letters of words as its configuration says, if it has such a field."""
    if unit not in UNITS:
        raise Mistake(f"unit: expected {', '.join(UNITS)}, found {unit}")
    letters = getattr(config, "letters", 0)
    try:
        return _shared(unit, tuple(vocabulary), lower_case, fallback, letters)
    except ValueError as error:
        raise Mistake(str(error)) from None


@lru_cache(maxsize=4)
def _shared(unit, vocabulary, lower_case, fallback, letters) -> Tokenizer:
    """Makes a tokenizer once: models that read alike share it, and the graphs to which it is traced."""
    return UNITS[unit](list(vocabulary), lower_case=lower_case, fallback=fallback, letters=letters)
