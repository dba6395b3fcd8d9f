"""Recipes: with what options a model is trained on a task, and how it did then; a file TASK-MODEL.yaml each, in this folder.

    init: minilm               `option: value` lines, as `finetune --config` takes them
    learning_rate: 1e-4
    found:                     how it did: `FOUND` says what of it
      data: sst2
      ...

No packaged recipe names data or folders: these are the user's. Imports no framework.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import date
from pathlib import Path
from typing import Any

import yaml

from trainer.errors import Mistake
from trainer.options import Finetune
from trainer.tasks.table import TASKS

FOLDER = Path(__file__).parent
FOUND = {
    "data": "on what it was scored: a data set by name, or a text",
    "metric": "the score's name",
    "score": "mean over the seeds",
    "spread": "standard deviation over the seeds; null of one",
    "seeds": "how many",
    "seconds": "of a run, scoring included",
    "machine": "a text",
    "date": "year-month-day",
    "published": "a figure to hold beside it, and its source",
}
JOINED = (
    "settings",
)  # options whose values are NAME=VALUE: those of flags come after the recipe's, and do not replace them


class _Loader(yaml.SafeLoader):
    """Of YAML 1.1, to which `1e-4` is a text, and of YAML 1.2, to which it is a number."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+$"), list("-+0123456789")
)


@dataclass(frozen=True)
class Recipe:
    """What a file says.

    Args:
        name: Without folder and ending.
        task: By `task:`, or by the name; None: for the user to say.
        options: {option of finetune: value}, without the task.
        found: How it did, {name of `FOUND`: value}; empty if the file does not say.
    """

    name: str
    task: str | None
    options: dict[str, Any]
    found: dict[str, Any]

    @property
    def model(self) -> str:
        """Returns the name without that of the task."""
        return self.name.removeprefix(f"{self.task}-")

    def check(self, task: str | None) -> None:
        """Refuses a task that is not the recipe's.

        Raises:
            Mistake: It names both.
        """
        if task and self.task and task != self.task:
            raise Mistake(f"--recipe {self.name}: a recipe for {self.task}, received for {task}")

    def given_with(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """Returns {option: value} of this recipe and of what is given beside it, which wins."""
        joined = {
            name: [*self.options[name], *options[name]]
            for name in JOINED
            if self.options.get(name) and options.get(name)
        }
        return self.options | dict(options) | joined

    def describe(self) -> str:
        """Returns how it did, in one line."""
        found = self.found
        if not set(FOUND) <= set(found):
            return f"{self.name}, which does not say how it did"
        over = f"mean of {found['seeds']} seeds" if found["seeds"] > 1 else "one seed"
        did = f"{found['metric']} {found['score']} on {found['data']}, {over}, {found['seconds']} s a run"
        return f"{self.name}, found to give {did} ({found['machine']}, {found['date']})"


def packaged() -> list[str]:
    """Returns the names of all recipes that come with the program."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def named(name: str) -> Recipe:
    """Returns a recipe.

    Args:
        name: Of a packaged one, or the path of a YAML file.

    Raises:
        Mistake: There is none of that name; the file is none.
    """
    if name in packaged():
        return _read(FOLDER / f"{name}.yaml")
    if not os.path.isfile(name):
        raise Mistake(f"--recipe: expected one of {', '.join(packaged())}, or a YAML file, received {name}")
    return _read(Path(name))


def known() -> list[dict[str, Any]]:
    """Describes each packaged recipe, [{"name", "task", "model", ...}]."""
    shown = ("data", "metric", "score", "spread", "seeds", "seconds", "date")
    recipes = [named(name) for name in packaged()]
    return [
        {"name": recipe.name, "task": recipe.task, "model": recipe.model} | {key: recipe.found[key] for key in shown}
        for recipe in recipes
    ]


def read_yaml(path: str | os.PathLike[str], option: str) -> dict[str, Any]:
    """Returns the `option: value` lines of a YAML file.

    Args:
        path: Its path.
        option: By which it was given, for messages.

    Raises:
        Mistake: It cannot be read, or holds something else.
    """
    try:
        with open(path, encoding="utf-8") as file:
            content = yaml.load(file, _Loader)
    except (OSError, UnicodeDecodeError) as error:
        raise Mistake(f"--{option} {path}: cannot be read ({getattr(error, 'strerror', None) or error})") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        location = f"{path}:{mark.line + 1}" if mark else path
        raise Mistake(f"{location}: expected YAML, found {getattr(error, 'problem', None) or error}") from None
    if not isinstance(content, dict):
        raise Mistake(f"{path}: expected YAML with `option: value` lines, found {type(content).__name__}")
    return content


def _read(path):
    content = read_yaml(path, "recipe")
    found, task = content.pop("found", {}), content.pop("task", None)
    if not isinstance(found, dict):
        raise Mistake(f"{path}: found: expected `name: value` lines, found {type(found).__name__}")
    options = {option.name for option in fields(Finetune)} - {"task", "recipe"}
    unknown = [str(name) for name in content if name not in options]
    if unknown:
        raise Mistake(f"{path}: expected options of finetune, task and found, received {', '.join(unknown)}")
    found = {name: value.isoformat() if isinstance(value, date) else value for name, value in found.items()}
    of_name = path.stem.partition("-")[0]
    return Recipe(path.stem, task or (of_name if of_name in TASKS else None), content, found)
