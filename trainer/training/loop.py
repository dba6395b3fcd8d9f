"""The loop that every command that trains goes through: steps, scores, the log, checkpoints, and the way back.

A run is a pure function of its options and data: batches are planned by index from (seed, epoch), the states of the
dropout's seeds are variables, and all variables and counters are in the checkpoint. So a run that was killed anywhere, also
while it saved, ends with the bytes of one that was not, on the same machine with the same number of threads.
"""

import math
import re
import signal
import time
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from trainer import writing
from trainer.errors import Failure, Interrupted, Mistake
from trainer.progress import Progress, say
from trainer.runs.folder import Folder
from trainer.training import averaging, checkpoint, decay
from trainer.training.log import Log
from trainer.training.machine import threads
from trainer.training.signals import Signals
from trainer.training.step import Measures
from trainer.training.work import Scores as Scores
from trainer.training.work import Work as Work

LOG_EVERY = 10  # steps between lines of metrics.jsonl
SHARE = 0.05  # of the time that may go into checkpoints


@dataclass
class State:
    """What a run is beside its variables."""

    step: int = 0  # steps made
    scores: list[Scores] = field(
        default_factory=list
    )  # of each epoch that ended: {"epoch", "step", and what was scored}
    measures: list[Measures] = field(default_factory=list)  # of the steps since the last line of metrics.jsonl
    log_bytes: int = 0  # length of metrics.jsonl
    best_digest: str = ""  # of best.safetensors
    kept: averaging.Kept = field(default_factory=dict)  # weights of the last epochs, whose mean is asked for
    average: Scores = field(default_factory=dict)  # of that mean
    report: dict[str, Any] = field(default_factory=dict)  # of the epoch whose weights are kept, once it was scored
    seconds: float = 0.0  # in all, whatever interrupted it


def run(
    work: Work,
    folder: Folder,
    *,
    settings: dict[str, Any],
    files: dict[str, str],
    decisions: list[str],
    result: dict[str, Any],
    checkpoint_every: float,
    dry_run: bool = False,
) -> dict[str, Any]:
    """Trains a run folder from where it stands to its end, and writes it.

    Args:
        work: The job.
        folder: Holds no finished run.
        settings, files: For `Folder.start`.
        decisions: Lines to print before anything is done.
        result: The entries of metrics.json that say what run this is.
        checkpoint_every: Seconds between checkpoints; they are rarer where that would take more than `SHARE` of the time.
        dry_run: Print the decisions; train nothing, write nothing.

    Returns:
        The result, as metrics.json holds it; of a dry run, the plan.

    Raises:
        Interrupted: SIGTERM, SIGINT or SIGHUP came; a checkpoint was saved.
        Failure: A checkpoint cannot be written, or is damaged; another worker is gone.
        Mistake: The loss is no number any more; the folder is another process's.
    """
    model, place, workers = work.model, folder.out / "checkpoint", work.workers
    size = _bytes_of(work.variables())
    decisions = [*decisions, f"saves     {size / 1e6:,.1f} MB every {checkpoint_every:g} s, in {place}"]
    if dry_run:
        say("\n".join(decisions))
        say("dry run   nothing was trained, nothing was written")
        trained = decay.count(model.trainable_variables)
        counts = {"parameters": model.count_params(), "trained_parameters": trained, "checkpoint_bytes": size}
        return result | {"dry_run": True, "steps": work.steps * work.epochs} | counts
    again = "the same command without --overwrite" if folder.overwrite else "the same command"
    if not workers.is_chief:
        return _follow(work, folder.out, again)
    with folder.owned():
        finished = workers.shared(folder.result())  # again: from here on nobody else changes it
        if finished:
            return finished
        say("\n".join(decisions))
        weights = _bytes_of(model.weights)
        checkpoint.check_room(folder.out, size, weights, kept=work.average or int(work.keep_best))
        try:
            folder.start(settings, files, {"threads": threads(), "workers": workers.number})
            workers.shared(None)
            with Signals() as signals:  # also while the result is written: a run that has ended ends
                training = Training(work, folder.out, signals, again, checkpoint_every=checkpoint_every)
                content, digest = training.run()
                state = training.state
                result |= _scores(work, state)
                result |= {"seconds": round(state.seconds, 1), "parameters": model.count_params(), "digest": digest}
                result |= {"report": state.report} if state.report else {}
                folder.finish(content, result)
                workers.shared(result)
        except (OSError, tf.errors.OpError) as error:  # metrics.jsonl, TensorBoard's files, the weights
            reason = getattr(error, "strerror", None) or next(iter(str(error).splitlines()), "no detail")
            if isinstance(error, tf.errors.OpError) and not re.search("No space left|quota|Input/output error", reason):
                raise
            kept = "the last checkpoint is whole" if checkpoint.newest(place) else "there is no checkpoint yet"
            raise Failure(
                f"{folder.out}: cannot be written ({reason}); {kept}: mend that, and {again} goes on"
            ) from None
    return result


def _bytes_of(variables):
    return sum(int(np.prod(variable.shape)) * variable.value.dtype.size for variable in variables)


def _follow(work, out, again):
    """Makes the steps of a run beside its chief, who alone scores and writes; returns the result that the chief has written."""
    finished = work.workers.shared(None)
    if finished:
        return finished
    work.workers.shared(None)  # the folder is as the run begins
    with Signals() as signals:
        try:
            Training(work, out, signals, again, checkpoint_every=math.inf).run()
            return work.workers.shared(None)
        except Failure as failure:
            if signals.received:
                raise Interrupted(signals.received, str(failure)) from None
            raise


def _scores(work, state):
    """Says how the run ended; returns what metrics.json holds of it."""
    final, best = state.scores[-1], work.best(state.scores)
    if final[work.period] < work.epochs:
        say(
            f"stopped   after {work.period} {final[work.period]} of {work.epochs}: {work.patience} without a better {work.metric}"
        )
    if best:
        kept, is_last = "; the weights that are kept", not work.keep_best and not work.average
        for name, score, is_kept in (("final", final, is_last), ("best ", best, work.keep_best)):
            say(
                f"{name}     dev {work.metric} {score[work.metric]:.4f} ({work.period} {score[work.period]}{kept * is_kept})"
            )
    if state.average:
        say(f"average   dev {work.metric} {state.average[work.metric]:.4f} (of the last {len(state.kept)}{kept})")
    average = {"average": state.average} if state.average else {}
    return {"steps": state.step, "final": final, "best": best} | average


class Training:
    """The steps of a run that are left; arguments as `run`, the signals in force, and what goes on after them."""

    def __init__(self, work: Work, out: Path, signals: Signals, again: str, *, checkpoint_every: float) -> None:
        self.work, self.out, self.signals, self.again, self.workers = work, out, signals, again, work.workers
        self.checkpoint_every = checkpoint_every
        self.folder, self.best_path = out / "checkpoint", out / "checkpoint" / "best.safetensors"
        self.variables = work.variables()
        kept = checkpoint.load(self.folder, self.variables) or {}
        if "losses" in kept:  # of a run from before a step had more measures
            kept["measures"] = [{"loss": loss} for loss in kept.pop("losses")]
        self.state = State(**kept)
        self.total = work.steps * work.epochs
        self.progress = Progress(self.total, unit=work.unit, shown=self.workers.is_chief)
        if self.state.step:
            self.progress.note(f"resume    from step {self.state.step} of {self.total}, {self.folder}")
        self._begin_together()
        self.began = time.monotonic() - self.state.seconds
        self.saved_at, self.cost = time.monotonic(), 0.0  # the last checkpoint: when, and the seconds that it took
        self.saved: tuple[int, int] | None = None  # at which step, after how many scored epochs

    def _begin_together(self):
        """Checks that all workers begin alike; then each draws its own dropout."""
        if self.workers.number > 1:
            self.workers.check_equal("step", self.state.step)
            self.workers.check_equal("weights", checkpoint.digest(checkpoint.arrays_of(self.variables)))
            self.workers.spread_seeds(self.variables)

    def _end_together(self):
        """Checks that the workers still have the same weights; they may differ in the states of their dropout."""
        if self.workers.number > 1:
            weights = checkpoint.arrays_of(self.work.model.trainable_variables)
            self.workers.check_equal("trained weights", checkpoint.digest(weights))

    def run(self) -> tuple[bytes, str]:
        """Makes them; returns (content of the file of weights to keep, digest of the whole run), of a worker that is not the chief
        nothing of both."""
        work, state = self.work, self.state
        with Log(self.out, state.log_bytes) if self.workers.is_chief else nullcontext() as self.log:
            while not work.ended(state.scores):
                epoch, began, first = len(state.scores) + 1, time.monotonic(), state.step
                examples = self._steps_of(epoch)
                seconds = time.monotonic() - began
                line = self._score(epoch)
                where = f" (from step {first})" if state.step - first < work.steps else ""
                share = examples / seconds * work.flops / (work.ceiling or 1)
                where += f", {share:.0%} of the ceiling" if share else ""
                rate = f"{examples / seconds:.0f} {work.unit}/s{where}" if examples else "all steps made before"
                self.progress.note(f"{work.period} {epoch}/{work.epochs}: {line}{seconds:.0f} s, {rate}")
            self._end_together()
            if not self.log:
                return b"", ""
            self.log.sync()
            state.seconds = time.monotonic() - self.began
            if work.average:
                self._take_mean()
            content = self._read_best() if work.keep_best else work.to_bytes(work.model)
            return content, checkpoint.digest(checkpoint.arrays_of(self.variables), self.log.content(), content)

    def _take_mean(self):
        """Takes the mean of the weights of the last epochs, and scores it."""
        work, state = self.work, self.state
        averaging.set_mean(self.folder, work.model, state.kept)
        if work.score:
            self.progress.note(f"mean of the last {len(state.kept)}: scoring on dev ...")
            state.average = work.score(self._stop_if_asked)
            state.report = work.report() if work.report else {}

    def _steps_of(self, epoch):
        """Makes the steps of an epoch that are left; returns the number of their examples."""
        work, state, examples = self.work, self.state, 0
        for batch, own in work.batches(epoch, state.step - (epoch - 1) * work.steps):
            measures = work.step(batch)
            asked, size = map(round, self.workers.totals([bool(self.signals.received), own]))
            if not np.isfinite(measures["loss"]):
                raise self._diverged(measures["loss"])
            state.step += 1
            examples += size
            state.measures.append(measures)
            self.progress.step(state.step, size, measures)
            if state.step % LOG_EVERY == 0 or state.step == self.total:
                means = {name: float(np.mean([seen[name] for seen in state.measures])) for name in measures}
                loss, rate = means.pop("loss"), float(work.optimizer.learning_rate)
                line = {"step": state.step, work.period: epoch, "loss": loss, "learning_rate": rate}
                self._note(line | means)
                state.measures.clear()
            if asked or self.workers.number == 1:  # of several, all stop at the same step
                self.signals.received = self.signals.received or (signal.SIGTERM if asked else None)
                self._stop_if_asked()
            if time.monotonic() - self.saved_at >= max(self.checkpoint_every, self.cost / SHARE):
                self._save()
        return examples

    def _diverged(self, loss):
        """Returns the error of a loss that is no number."""
        rate, kept = float(self.work.optimizer.learning_rate), checkpoint.newest(self.folder)
        left = f"; the last good checkpoint is {kept}" if kept else ""
        return Mistake(
            f"the loss became {loss} at step {self.state.step + 1}, at learning rate {rate:.3g}{left}; "
            "try a smaller --learning_rate, with --overwrite"
        )

    def _score(self, epoch):
        """Scores the epoch that ended; returns the beginning of the line that says how it went."""
        work, state = self.work, self.state
        score, line = {work.period: epoch, "step": state.step}, ""
        learned = work.learned() if work.learned else {}
        if work.score:
            self.progress.note(f"{work.period} {epoch}: scoring on dev ...")
            score |= self.workers.shared(work.score(self._stop_if_asked) if self.workers.is_chief else None)
        score |= learned
        state.scores.append(score)
        if work.score:
            self._note({"dev": score})
            shown = [
                name for name in score if name in (work.metric, "loss", *work.shown, *learned) or name.endswith("_f1")
            ]
            line = f"dev {', '.join(f'{name} {score[name]:.4f}' for name in shown)}; "
        if not self.log:
            return line
        if work.average:
            state.kept = averaging.keep(self.folder, work.model, epoch, state.kept, work.average)
        is_best = work.keep_best and work.best(state.scores) is score
        if work.report and (is_best or (work.ended(state.scores) and not work.keep_best)):
            state.report = work.report()
        if is_best:
            checkpoint.make_folder(self.folder)
            content = work.to_bytes(work.model)
            writing.write(self.best_path, content)
            state.best_digest = checkpoint.digest([], content)
            self._save()  # so that these weights are never older than what the state says of them
        return line

    def _note(self, line):
        if self.log:
            self.state.log_bytes = self.log.note(line)

    def _save(self):
        position = (self.state.step, len(self.state.scores))
        if self.saved == position or not self.log:
            return
        now = time.monotonic()
        self.state.seconds = now - self.began
        self.log.sync()  # before the checkpoint that counts on it
        checkpoint.save(self.folder, self.variables, asdict(self.state))
        self.saved_at, self.saved, self.cost = time.monotonic(), position, time.monotonic() - now

    def _stop_if_asked(self):
        if self.signals.received:
            self._save()
            raise Interrupted(
                self.signals.received,
                f"stopped at step {self.state.step} of {self.total}, saved in {self.folder}; {self.again} goes on from there",
            )

    def _read_best(self):
        content = self.best_path.read_bytes() if self.best_path.is_file() else b""
        if checkpoint.digest([], content) != self.state.best_digest:
            raise Failure(
                f"{self.best_path}: expected the weights of the best epoch, found another or a damaged file; "
                "--overwrite starts anew"
            )
        return content
