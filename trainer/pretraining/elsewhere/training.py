"""The run of `trainer.pretraining.elsewhere.train`: how many steps it takes, its steps, scores and checkpoints.

Glossary of shapes: B batch.
"""

import json
import os
import time
from collections import deque
from dataclasses import asdict, dataclass, field
from typing import Any, Generic, TypeVar

import jax
import keras
import numpy as np
from safetensors.numpy import load, save

from trainer import writing
from trainer.errors import Interrupted, Mistake
from trainer.pretraining.elsewhere import steps as compiled
from trainer.pretraining.elsewhere.choices import Options
from trainer.pretraining.elsewhere.held_out import HeldOut
from trainer.pretraining.elsewhere.makers import Makers
from trainer.pretraining.elsewhere.prepared import Prepared
from trainer.progress import Progress, say
from trainer.runs import PRETRAINING
from trainer.runs.folder import Folder
from trainer.training import checkpoint, decay
from trainer.training.signals import Signals
from trainer.weights import tensors

LOG_EVERY = 50  # steps between lines of metrics.jsonl
BEHIND = 8  # steps that the device may have before it; their losses are not waited for
TRIAL, WARM = 100, 40  # steps by which the rate is measured; the first ones are left out: their batches were waiting
SPARE = 0.03  # of the time, kept back

Scores = dict[str, float]
Waiting = deque[tuple[int, float, Any]]  # step, learning rate, sums of the objective
B = TypeVar("B", bound=compiled.Rows)


@dataclass
class Progressed:
    """What a run is beside its variables."""

    total: int  # steps in all
    step: int = 0  # steps made
    tokens: int = 0  # units, real ones, read in them
    scores: list[Scores] = field(default_factory=list)
    measures: list[Scores] = field(default_factory=list)  # of the steps since the last line of metrics.jsonl
    log_bytes: int = 0  # length of metrics.jsonl
    seconds: float = 0.0


class Training(Generic[B]):
    """A run from where it stands to its end.

    Args:
        options, given: Of the command; what of them the run folder records.
        prepared: What is read.
        objective: What is learned.
        of_pass: Batches of a pass over the text.
        batches: Makes them by number.
        held_out: What is scored.
        folder: Held by this process, without a finished run.
    """

    def __init__(
        self,
        options: Options,
        given: dict[str, Any],
        prepared: Prepared[B],
        objective: compiled.Objective[B],
        of_pass: float,
        batches: Makers[B],
        held_out: dict[str, list[B]],
        folder: Folder,
    ) -> None:
        self.began = time.monotonic()
        self.options, self.given, self.prepared, self.folder, self.batches = options, given, prepared, folder, batches
        self.objective, self.of_pass = objective, of_pass
        self.place = folder.out / "checkpoint"
        self.model = objective.model(options.dropout, options.precision)
        self.optimizer = compiled.optimizer_of(
            self.model, weight_decay=options.weight_decay, clip_norm=options.clip_norm
        )
        states = objective.states(self.model, options.batch_size)
        self.carried = {name: keras.Variable(value, trainable=False, name=name) for name, value in states.items()}
        self.variables = [*self.model.variables, *self.optimizer.variables, *self.carried.values()]
        self.step = compiled.training_step(self.model, objective, self.optimizer)
        self.held_out = HeldOut(objective, held_out)

    def run(self) -> dict[str, Any]:
        """Trains, and writes the run folder; returns its result.

        Raises:
            Interrupted: A signal came; a checkpoint was saved.
            Mistake: The loss is no number any more.
        """
        before = None if self.folder.overwrite else checkpoint.load(self.place, self.variables)
        self.state = self._state()
        self.done = Progressed(**(before or {"total": self.given.get("steps") or self._steps_in(self.options.seconds)}))
        self.given |= {"steps": self.done.total}
        self._say_plan()
        self.folder.start(self.prepared.settings_of_run(), self.prepared.files)
        with Signals() as self.signals, open(self.folder.out / "metrics.jsonl", "ab") as self.log:
            self.log.truncate(self.done.log_bytes)
            if before:
                say(f"resume    from step {self.done.step:,}")
                self.began -= self.done.seconds
            else:
                self._round(0)
            self._train()
            content = self._weights()
            final = self.held_out(load(content))
            self._note({"dev": final})
        self.done.seconds = time.monotonic() - self.began
        result = {
            **{"task": PRETRAINING, "model": self.prepared.method, "seed": self.given["seed"], "steps": self.done.step},
            **{"tokens": self.done.tokens, "device": _device(), "final": final, "best": final},
            **{"seconds": round(self.done.seconds, 1), "parameters": self.model.count_params()},
        }
        self.folder.finish(content, result)
        return result

    def _steps_in(self, seconds):
        """Returns how many steps so many seconds have room for: a trial is made with a copy of the weights, and forgotten."""
        self.held_out(self._kept())  # compiles
        begun = time.monotonic()
        self.held_out(self._kept())
        a_round = time.monotonic() - begun
        state = self._state()
        for number, batch in enumerate(self.batches(range(TRIAL))):
            if number == WARM:
                jax.block_until_ready(state)
                begun = time.monotonic()
            state, _ = self.step(state, batch, 0.0)
        jax.block_until_ready(state)
        a_step = (time.monotonic() - begun) / (TRIAL - WARM)
        left = seconds - (time.monotonic() - self.began) - a_round * (self.options.rounds + 2)
        say(f"rate      {1 / a_step:.2f} steps/s; {a_round:.1f} s a score; {left:.0f} s are left")
        return max(int(left * (1 - SPARE) / a_step), 1)

    def _train(self):
        """Makes the steps that are left, scoring at the end of each round."""
        done, total = self.done, self.done.total
        borders = [round(total * (i + 1) / self.options.rounds) for i in range(self.options.rounds)]
        warmup = round(self.options.warmup * total)
        progress = Progress(total, unit=self.objective.unit)
        self.waiting: Waiting = deque()
        self.saved_at = time.monotonic()
        for batch in self.batches(range(done.step, total)):
            rate = decay.linear(done.step, peak=self.options.learning_rate, warmup=warmup, total=total)
            self.state, sums = self.step(self.state, batch, rate)
            done.step += 1
            read = self.objective.read(batch)
            done.tokens += read
            self.waiting.append((done.step, rate, sums))
            measures = self._seen(BEHIND)
            progress.step(done.step, read, measures)
            if done.step in borders:
                self._seen(0)
                self._round(borders.index(done.step) + 1)
                progress.pause()
            if self.signals.received or time.monotonic() - self.saved_at >= self.options.checkpoint_every:
                self._seen(0)
                self._save()
                progress.pause()
        self._seen(0)

    def _seen(self, behind):
        """Reads the losses of steps, all but so many, and logs them; returns the measures of the last that was read."""
        measures = {}
        while len(self.waiting) > behind:
            step, rate, sums = self.waiting.popleft()
            measures = self.objective.measures(np.asarray(sums))
            if not np.isfinite(measures["loss"]):
                kept = checkpoint.newest(self.place)
                left = f"; the last good checkpoint is {kept}" if kept else ""
                raise Mistake(f"the loss became {measures['loss']} at step {step}, at learning rate {rate:.3g}{left}")
            self.done.measures.append(measures)
            if step % LOG_EVERY == 0 or step == self.done.total:
                means = {name: float(np.mean([seen[name] for seen in self.done.measures])) for name in measures}
                self.done.measures.clear()
                self._note({"step": step, "loss": means.pop("loss"), "learning_rate": rate} | means)
        return measures

    def _round(self, number):
        """Scores the model as it is."""
        scores = {"round": number, "step": self.done.step, "tokens": self.done.tokens} | self.held_out(self._kept())
        self.done.scores.append(scores)
        self._note({"dev": scores})
        say(f"round {number}/{self.options.rounds}: {self.objective.said(scores)}; {self._clock():.0f} s")

    def _state(self):
        return compiled.state_of(self.model, self.optimizer, self.carried)

    def _kept(self):
        """Returns {name: tensor} of the weights as they are kept."""
        return load(self._weights())

    def _weights(self):
        """Returns the weights as the content of a file."""
        compiled.put_back(self.state, self.model, self.optimizer, self.carried)
        content = tensors.to_bytes(self.model, self.objective.table(self.model))
        if not self.options.float16:
            return content
        return save({name: value.astype(np.float16) for name, value in load(content).items()}, {"format": "pt"})

    def _save(self):
        """Writes a checkpoint, and the weights as they are; ends the run if a signal asks for it."""
        self.done.seconds = time.monotonic() - self.began
        os.fsync(self.log.fileno())
        writing.write(self.folder.out / "model.safetensors", self._weights())
        checkpoint.save(self.place, self.variables, asdict(self.done))
        self.saved_at = time.monotonic()
        if self.signals.received:
            raise Interrupted(self.signals.received, f"stopped at step {self.done.step:,}, saved in {self.place}")

    def _note(self, line):
        self.log.write(json.dumps(line).encode() + b"\n")
        self.log.flush()
        self.done.log_bytes = self.log.tell()

    def _clock(self):
        return time.monotonic() - self.began

    def _say_plan(self):
        """Says what will be trained, on what, and how."""
        options, done = self.options, self.done
        for line in self.objective.plan():
            say(line)
        say(f"model     {self.model.count_params():,} parameters; {decay.describe(self.model.trainable_variables)}")
        say(
            f"steps     {done.total:,} of batches of {options.batch_size}, {done.total / self.of_pass:.2f} passes over the text; learning rate "
            f"{options.learning_rate:g} after {round(options.warmup * done.total)} steps, then linearly to 0"
        )
        say(f"device    {_device()}, {options.precision}, {options.processes} processes that draw batches")


def _device():
    """Returns in words what the run runs on."""
    return f"{jax.devices()[0].device_kind}, JAX {jax.__version__}"
