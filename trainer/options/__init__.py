"""Every option of every command, once: a dataclass a command, whose fields are the flags and whose docstrings are their help.

`checked` returns the options as the command uses them, and refuses what makes no sense. Groups of options that commands share
are base classes; their docstrings are the headings of `--help`. Imports no framework.

    commands.py   a class a command             groups.py   groups of options, the base classes
    base.py       what all commands have        checks.py   checks of single values
    comparison.py   those of `compare`
    answering.py  how a run's answers are found, which the commands that answer share
    columns.py    the columns of a table, which the commands that read rows share
    pretraining.py   those of `corpus` and `pretrain`, which read plain text
"""

from trainer.options.answering import Answering
from trainer.options.base import Command, defaults, of_result
from trainer.options.columns import Columns
from trainer.options.commands import (
    Convert,
    Datasets,
    Evaluate,
    ExportHuggingFace,
    Finetune,
    Launch,
    Predict,
    Recipes,
    Vocabulary,
    Weights,
)
from trainer.options.comparison import Compare
from trainer.options.groups import Device, ModelOptions, Optimisation, RunFolder, TrainingData
from trainer.options.pretraining import Corpus, Pretrain, VectorFile

__all__ = [
    "Answering",
    "Columns",
    "Command",
    "Compare",
    "Convert",
    "Corpus",
    "Datasets",
    "Device",
    "Evaluate",
    "ExportHuggingFace",
    "Finetune",
    "Launch",
    "ModelOptions",
    "Optimisation",
    "Predict",
    "Pretrain",
    "Recipes",
    "RunFolder",
    "TrainingData",
    "VectorFile",
    "Vocabulary",
    "Weights",
    "defaults",
    "of_result",
]
