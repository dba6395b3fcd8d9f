"""What answers rows of text: a run of a task, or a language model of pretraining, which writes."""

import os
from pathlib import Path
from typing import Any, Protocol

import keras

from trainer.errors import Mistake
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

    def functions(self) -> dict[str, Any]:
        """Returns {signature: tf.function} from strings to outputs."""


def load(folder: str | os.PathLike[str], *, null_threshold: float | None = None) -> Answering:
    """Returns what a finished run answers with.

    Args:
        folder: Of the run.
        null_threshold: See `trainer.runs.run.Run`.

    Raises:
        Mistake: Not a finished run, or one of pretraining that answers nothing; a threshold for a run that is not of questions.
    """
    if method_of(Path(folder)) != "lm":
        return Run(folder, null_threshold=null_threshold)
    if null_threshold is not None:
        raise Mistake(f"--null_threshold: expected for qa, received for {folder}, a language model")
    return LanguageModel(Path(folder))
