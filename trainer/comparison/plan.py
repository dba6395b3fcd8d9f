"""The runs that a comparison trains: for each seed, each model with its recipe. Imports no framework."""

import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from trainer import recipes
from trainer.errors import Mistake
from trainer.options import Compare, Finetune, defaults, of_result
from trainer.weights.presets import PRESETS

SEEDS = 3  # by default


@dataclass(frozen=True)
class Member:
    """A run to train.

    Args:
        model: Its name in --models.
        seed: From 1.
        arguments: Of `python -m trainer` that trains it.
        options: The same, checked.
    """

    model: str
    seed: int
    arguments: list[str]
    options: Finetune = field(repr=False)

    @property
    def out(self) -> Path:
        """Returns its run folder."""
        return Path(self.options.out)

    def result(self) -> dict[str, Any] | None:
        """Returns the result of the run, if its folder holds it finished.

        Raises:
            Mistake: What it reads is not there; or the folder holds a run of other options or data.
        """
        from trainer.runs.folder import Folder
        from trainer.runs.sources import Sources

        inputs = Sources.of(self.options).inputs()
        return Folder(self.out, of_result(self.options), inputs, overwrite=False, defaults=defaults(Finetune)).result()

    def settings(self) -> dict[str, Any]:
        """Returns {option: value} of what differs from the defaults of finetune."""
        usual = defaults(Finetune)
        return {name: value for name, value in vars(self.options).items() if usual.get(name) != value}


def members(options: Compare) -> list[Member]:
    """Returns the runs to train, seed by seed, so that all models are early in the table.

    Args:
        options: Checked, with --models.

    Raises:
        Mistake: The options of a model make no sense together.
        SystemExit: An option is wrong by itself; a line on standard error says so.
    """
    from trainer.__main__ import parsed  # which imports this command, when it is asked for

    task, found = options.task_or_runs[0], []
    out = Path(str(options.out))
    for name, model in _labels(options.names()).items():
        further = [(option, value) for of, option, value in options.further() if of in (None, name)]
        recipe, source = _source(task, name)
        arguments = ["finetune", task, *recipe, *_flags(source | {"train": options.train, "dev": options.dev})]
        arguments += _given(further)
        _, parsed_options = parsed([*arguments, f"--out={out / model}"])
        assert isinstance(parsed_options, Finetune)
        try:
            found.append((model, arguments, parsed_options.checked()))
        except Mistake as mistake:
            raise Mistake(f"{name}: {mistake}") from None
    return [
        Member(
            model,
            seed,
            [*arguments, f"--seed={seed}", f"--out={folder}"],
            replace(checked, seed=seed, out=str(folder)),
        )
        for seed in range(1, (options.seeds or SEEDS) + 1)
        for model, arguments, checked in found
        for folder in [out / f"{model}-seed-{seed}"]
    ]


def _labels(names):
    """Returns {name of --models: name of folders and in tables}: of a path, its last part without an ending."""
    labels = {name: os.path.basename(name.rstrip("/")).removesuffix(".yaml").removesuffix(".yml") for name in names}
    if len({*labels.values()}) != len(labels):
        raise Mistake(f"--models: expected names whose last parts differ, received {', '.join(names)}")
    return labels


def _source(task, name):
    """Returns (flags of the recipe, {option: value} that names what is trained, if the recipe does not)."""
    recipe = name if name.endswith((".yaml", ".yml")) else f"{task}-{name}"
    if recipe == name or recipe in recipes.packaged():
        options = recipes.named(recipe).options
        return [f"--recipe={recipe}"], {} if options.get("init") or options.get("model") else {"model": name}
    is_weights = name in PRESETS or os.path.isdir(name) or "/" in name
    return [], {"init" if is_weights else "model": name}


def _flags(options):
    return [f"--{name}={value}" for name, value in options.items()]


def _given(further):
    """Returns the flags of --options; the values of lists have commas between."""
    from trainer.__main__ import FLAGS, LISTS

    flags = []
    for name, value in further:
        if name in FLAGS:
            if value not in ("true", "false"):
                raise Mistake(f"--options: expected true or false for {name}, received {value}")
            flags += [f"--{name}"] if value == "true" else []
        elif name in LISTS:
            flags += [f"--{name}", *value.split(",")]
        else:
            flags.append(f"--{name}={value}")
    return flags
