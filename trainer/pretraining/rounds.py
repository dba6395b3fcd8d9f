"""Runs that are scored in rounds, as those of BERT and of language models are: their steps, and a finished one from its folder."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import keras

from trainer.errors import Mistake
from trainer.options import Pretrain
from trainer.runs.blueprint import Blueprint
from trainer.runs.folder import method_of
from trainer.training import batches, decay, loop, optim
from trainer.training.machine import ceiling, device
from trainer.training.workers import ALONE, Workers
from trainer.weights import pretrained
from trainer.weights.unset import unset

Settings = dict[str, Any]  # options of `pretrain`, by name


class Rounds:
    """The steps of a run, `evaluate_every` of them a round.

    Args:
        options: Checked: the steps are a multiple of those of a round, or fewer.
        source: What the steps read.
        of_pass: Steps of a pass over it.
        workers: That share each batch.
    """

    def __init__(self, options: Pretrain, source: batches.Source, of_pass: int, workers: Workers = ALONE) -> None:
        self.options, self.source, self.of_pass, self.workers = options, source, of_pass, workers
        self.steps = min(options.evaluate_every, options.steps)
        self.number = options.steps // self.steps
        self.total = self.number * self.steps
        self.warmup = round(options.warmup * self.total)

    def optimizer(self, model: keras.Model) -> keras.optimizers.Optimizer:
        """Returns that of the options, built."""
        options = self.options
        return optim.optimizer(
            model.trainable_variables,
            optim.Schedule(options.peak, self.warmup, self.total, options.schedule),
            weight_decay=options.weight_decay,
            clip_norm=options.clip_norm,
            scales_loss=options.precision == "mixed_float16",
        )

    def work(self, blueprint: Blueprint, *, units: Callable[[list, int], int], **arguments: Any) -> loop.Work:
        """Returns the job of the run.

        Args:
            blueprint: Of the model.
            units: (batches of a step, number of their rows) -> how many of `Work.unit` they have.
            **arguments: The others of `Work`.
        """

        def counted(number: int, skip: int) -> Iterator[tuple[list, int]]:
            for step, rows in self.batches((number - 1) * self.steps + skip, number * self.steps):
                yield step, units(step, rows)

        return loop.Work(
            steps=self.steps,
            epochs=self.number,
            batches=counted,
            to_bytes=blueprint.architecture.to_bytes,
            metric="loss",
            less_is_better=True,
            period="round",
            ceiling=ceiling(),
            workers=self.workers,
            **arguments,
        )

    def batches(self, first: int, last: int) -> Iterator[tuple[list, int]]:
        """Yields (batches, number of their rows) of steps from `first` until before `last`, counted over all passes."""
        options = self.options
        while first < last:
            number, place = divmod(first, self.of_pass)
            plan = self.source.plan(options.batch_size * options.accumulate, seed=options.seed, epoch=number)
            steps = plan[place : place + last - first]
            yield from batches.steps(self.source, steps, options.batch_size, number, workers=self.workers)
            first += len(steps)

    def decisions(self, model: keras.Model, work: loop.Work) -> list[str]:
        """Returns the lines that say how large the model is, how it is trained, and on what."""
        options = self.options
        accumulated = f" times {options.accumulate}" if options.accumulate > 1 else ""
        _, after = optim.SCHEDULES[options.schedule]
        return [
            f"model     {model.count_params():,} parameters; {decay.describe(model.trainable_variables)}",
            f"steps     {self.total:,} of batches of {options.batch_size}{accumulated}, {self.total / self.of_pass:.2f} passes over the "
            f"text; learning rate {options.peak:g} after {self.warmup} steps, {after}; seed {options.seed}",
            *self.workers.describe(),
            f"device    {device(options.precision)}; matrix products at {work.ceiling / 1e9:.0f} GFLOP/s, the ceiling",
        ]


def weights_line(blueprint: Blueprint, options: Pretrain, init: Path | None, unused: list[str]) -> str:
    """Returns the line that says what a run begins with; `unused`: the tensors of `init` that it has no place for."""
    if init:
        return f"weights   {init}; in the file but not used: {', '.join(unused) or 'none'}"
    return f"weights   random: {blueprint.architecture.title} of size {options.model}"


class Finished:
    """A finished run, from its folder. A subclass says what its model is, and how it is scored.

    Raises:
        Mistake: It is none of its methods.
    """

    methods: ClassVar[tuple[str, ...]]
    commands: ClassVar[str]  # that make such a run, for messages

    def __init__(self, folder: Path) -> None:
        if method_of(folder) not in self.methods or not (folder / "metrics.json").is_file():
            raise Mistake(f"{folder}: expected a finished run of {self.commands}, found none")
        self.blueprint = Blueprint.of_weights(folder)
        self.settings, _ = pretrained.read_config(folder)
        self.lineage = self.settings["lineage"]
        self.options: Settings = self.lineage["options"]
        result = pretrained.read_json(folder / "metrics.json")["final"]
        self.scores = {name: value for name, value in result.items() if name not in ("round", "step")}
        with unset():
            self.model = self.build()
        self.blueprint.load(self.model, folder)

    def build(self) -> keras.Model:
        """Returns the model, untrained."""
        raise NotImplementedError
