"""What answers rows of text: a run of a task, or what pretraining made: a language model writes, a BERT fills masks in."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import keras

from trainer.data.schema import Row
from trainer.options import Answering
from trainer.pretraining.filling import MaskedWords
from trainer.pretraining.language import LanguageModel
from trainer.runs.folder import method_of
from trainer.runs.run import Run
from trainer.tasks.table import Task
from trainer.weights import hub, pretrained
from trainer.weights.presets import PRESETS

PRETRAINED: dict[str, Callable[[Path], "Answerer"]] = {"lm": LanguageModel, "bert": MaskedWords}  # by method


class Answerer(Protocol):
    """A trained model with its functions from raw strings to decoded answers, here and in the exported graph."""

    task_name: str
    task: Task
    inputs: list[tuple[str, ...]]  # fields of the rows that it answers
    labels: list[str]  # in the order of their numbers
    lineage: dict[str, Any]  # what its `config.json` says of the run
    model: keras.Model

    @property
    def draw(self) -> Callable[[Sequence[Row]], bytes] | None:
        """What makes a picture, PNG, of how the answers to some rows came about."""

    def functions(self) -> dict[str, Any]:
        """Returns {signature: tf.function} from strings to outputs."""


def load(name: str | os.PathLike[str], **options: Any) -> Answerer:
    """Returns what a finished run answers with, or pretrained weights.

    Args:
        name: Folder of the run; or weights of BERT with the head of masked words: their folder, or one of `PRESETS`.
        **options: Fields of `trainer.options.Answering`, see `trainer.runs.run.Run`.

    Raises:
        Mistake: Neither of them, or a run of pretraining that answers nothing; options that are not for its task.
        Failure: Weights by name cannot be fetched.
    """
    folder = Path(name)
    if not folder.is_dir() and str(name) in PRESETS:
        folder = hub.folder_of(str(name))
    method = method_of(folder)
    if not method and _is_pretrained(folder):
        method = "bert"
    if method not in PRETRAINED:
        return Run(folder, **options)
    model = PRETRAINED[method](folder)
    Answering(**options).check_run(name, model.task_name, model.task)
    return model


def _is_pretrained(folder):
    """Says whether a folder holds weights that are of no run."""
    try:
        settings, _ = pretrained.read_config(folder)
    except (OSError, ValueError):
        return False
    return "lineage" not in settings
