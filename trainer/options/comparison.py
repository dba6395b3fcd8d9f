"""The options of `compare`."""

import os
from dataclasses import dataclass, fields
from typing import Self

from trainer.errors import Mistake
from trainer.options.base import Command, by_place
from trainer.options.checks import positive
from trainer.options.commands import Finetune
from trainer.tasks.table import FINETUNED

OWN = ("task", "recipe", "train", "dev", "seed", "out", "dry_run", "overwrite")  # of finetune: what `compare` gives


@dataclass(kw_only=True)
class Compare(Command):
    """Train several models on a task, each with several seeds, and hold their scores beside what they cost; or do so with runs that exist."""

    task_or_runs: list[str] = by_place()  # noqa: RUF009  a field, as in the other commands
    """A task, to train --models on; or run folders, and folders of comparisons, to compare as they are."""
    models: str | None = None
    """Names with commas between: each the recipe TASK-NAME, if there is one; else pretrained weights as for --init; else as for --model; or a recipe's YAML file."""
    train: str | None = None
    """Training data, as for finetune."""
    dev: str | None = None
    """Data to score on, as for finetune; of runs that exist: where their dev data lie now, if no longer where they were."""
    seeds: int | None = None
    """Train each model with the seeds 1 to this (default: 3)."""
    out: str | None = None
    """Folder to write compare.json, compare.md and compare.png to, and to train the runs in, MODEL-seed-N (of runs that exist: by default the folder of the comparison, if a single one is given)."""
    options: list[str] | None = None
    """Further options of finetune, which win over recipes: NAME=VALUE for all models, MODEL:NAME=VALUE for one: --options epochs=2 tiny:vocabulary=vocab.txt."""
    dry_run: bool = False
    """Print what would be trained, with the options of each run; train nothing, fetch nothing, write nothing."""

    def checked(self) -> Self:
        positive(seeds=self.seeds)
        if self.models is not None:
            self._check_training()
        else:
            self._check_runs()
        return self

    def _check_training(self):
        names = self.names()
        if len(self.task_or_runs) != 1 or self.task_or_runs[0] not in FINETUNED:
            raise Mistake(
                f"expected --models with a task, one of {', '.join(FINETUNED)}; received {' '.join(self.task_or_runs)}"
            )
        if not all(names) or len(set(names)) != len(names):
            raise Mistake(f"--models: expected different names with commas between, received {self.models}")
        for name in ("train", "dev", "out"):
            if getattr(self, name) is None:
                raise Mistake(f"--{name}: expected with --models, received none")
        self.further()

    def _check_runs(self):
        if (
            len(self.task_or_runs) == 1
            and self.task_or_runs[0] in FINETUNED
            and not os.path.isdir(self.task_or_runs[0])
        ):
            raise Mistake(f"--models: expected names of what to train on {self.task_or_runs[0]}, received none")
        for name in ("train", "seeds", "options", "dry_run"):
            if getattr(self, name):
                raise Mistake(f"--{name}: expected with --models, received for runs that exist")

    def names(self) -> list[str]:
        """Returns the names of --models."""
        return [name.strip() for name in (self.models or "").split(",")]

    def further(self) -> list[tuple[str | None, str, str]]:
        """Returns --options as (model or None for all, name, value).

        Raises:
            Mistake: One has another form, or names an option that there is not, or a model that is not among --models.
        """
        known = {option.name for option in fields(Finetune)} - {*OWN}
        found = []
        for text in self.options or []:
            left, equals, value = text.partition("=")
            model, colon, name = left.rpartition(":")
            if not equals or not left:
                raise Mistake(f"--options: expected NAME=VALUE, or MODEL:NAME=VALUE, received {text}")
            if colon and model not in self.names():
                raise Mistake(f"--options: expected one of {', '.join(self.names())} before the colon, received {text}")
            if name in OWN:
                raise Mistake(f"--options: {name} is not for single runs of a comparison, received {text}")
            if name not in known:
                raise Mistake(f"--options: expected options of finetune, received {text}")
            found.append((model if colon else None, name, value))
        return found
