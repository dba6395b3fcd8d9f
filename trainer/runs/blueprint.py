"""What a model is made of before it has weights: an architecture, its configuration, a tokenizer."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import keras

from trainer.architectures import table
from trainer.architectures.base import GIVES, Architecture, Config
from trainer.errors import Mistake, described
from trainer.tasks.kinds import kind_of
from trainer.tasks.table import Task
from trainer.text.reader import Reader
from trainer.text.word_pieces import Tokenizer, read_vocabulary
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
            vocabulary = read_vocabulary(folder / "vocab.txt", content)
        except (OSError, ValueError) as error:
            raise Mistake(described(error)) from None
        if len(vocabulary) > config.vocabulary_size:
            raise Mistake(
                f"{folder / 'vocab.txt'}: has {len(vocabulary)} pieces, but its configuration says vocab_size "
                f"{config.vocabulary_size}"
            )
        return cls(architecture, config, Tokenizer(vocabulary, lower_case=lower_case))

    @classmethod
    def new(cls, model: str, vocabulary_path: str | Path) -> Blueprint:
        """Returns that of weights that are yet to be learned: of a model by name, and a vocabulary.

        Raises:
            Mistake: No such model; the vocabulary cannot be read.
        """
        architecture, size = table.named(model)
        try:
            vocabulary = read_vocabulary(vocabulary_path)
        except (OSError, ValueError) as error:
            raise Mistake(described(error)) from None
        tokenizer = Tokenizer(vocabulary, lower_case=pretrained.is_lower_case(vocabulary))
        return cls(architecture, architecture.configuration(size, len(vocabulary)), tokenizer)

    def with_dropout(self, rate: float) -> Blueprint:
        return replace(self, config=self.architecture.with_dropout(self.config, rate))

    def check(self, task_name: str, task: Task) -> None:
        """Refuses a task that the architecture lacks something for.

        Raises:
            Mistake: It names what is lacking.
        """
        lacking = [need for need in kind_of(task).needs if need not in self.architecture.gives]
        if lacking:
            wanted = " and ".join(GIVES[need] for need in lacking)
            raise Mistake(f"{task_name}: expected a model that {wanted}; {self.architecture.title} does not")

    def reader(self, max_length: int) -> Reader:
        """Returns how the model reads text; see `Architecture.reader`."""
        return self.architecture.reader(self.tokenizer, max_length)

    def model(self, task: Task, classes: int, *, decoder: str | None = None, seed: int = 0) -> keras.Model:
        """Returns the model of a task, untrained: the encoder, and the head of the task's kind; `decoder`: see `kind_of`."""
        kind = kind_of(task, decoder)
        encoder = self.architecture.build(self.config, kind.wants, seed=seed)
        return kind.build(encoder, classes, dropout=self.architecture.head_dropout(self.config), seed=seed)

    def load(self, model: keras.Model, folder: str | Path, *, ignore: Iterable[str] = ()) -> list[str]:
        """Sets a model's weights from a folder; see `trainer.weights.tensors.load`.

        Raises:
            Mistake: They are not those of this model.
        """
        try:
            return self.architecture.load(model, folder, ignore=ignore)
        except (OSError, ValueError) as error:
            raise Mistake(described(error)) from None
