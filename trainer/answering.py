"""What answers rows of text: a run of a task, or a language model of pretraining, which writes."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import keras

from trainer.data.schema import Row
from trainer.options import Answering as Options
from trainer.pretraining.language import LanguageModel
from trainer.runs.folder import method_of
from trainer.runs.run import Run
from trainer.tasks.table import Task


class Answering(Protocol):
    """A trained model with its functions from raw strings to decoded answers, here and in the exported graph."""

    task_name: str
    task: Task
    inputs: list[tuple[str, ...]]  # fields of the rows that it answers
    labels: list[str]  # in the order of their numbers
    lineage: dict[str, Any]  # what its `config.json` says of the run
    model: keras.Model
    draw: Callable[[Sequence[Row]], bytes] | None  # a picture, PNG, of how the answers to some rows came about

    def functions(self) -> dict[str, Any]:
        """Returns {signature: tf.function} from strings to outputs."""


def load(folder: str | os.PathLike[str], **options: Any) -> Answering:
    """Returns what a finished run answers with.

    Args:
        folder: Of the run.
        **options: Fields of `trainer.options.Answering`, see `trainer.runs.run.Run`.

    Raises:
        Mistake: Not a finished run, or one of pretraining that answers nothing; options that are not for its task.
    """
    if method_of(Path(folder)) != "lm":
        return Run(folder, **options)
    model = LanguageModel(Path(folder))
    Options(**options).check_run(folder, model.task_name, model.task)
    return model
