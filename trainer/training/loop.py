"""The loop that every command that trains goes through: steps, scores, the log, checkpoints, and the way back.

A run is a pure function of its options and data: batches are planned by index from (seed, epoch), the states of the
dropout's seeds are variables, and all variables and counters are in the checkpoint. So a run that was killed anywhere, also
while it saved, ends with the bytes of one that was not, on the same machine with the same number of threads.
"""

import json
import os
import re
import shutil
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field

import keras
import numpy as np
import tensorflow as tf

from trainer import writing
from trainer.errors import Failure, Interrupted, Mistake
from trainer.progress import Progress, say
from trainer.training import checkpoint, optim

LOG_EVERY = 10  # steps between lines of metrics.jsonl
SHARE = 0.05  # of the time that may go into checkpoints


@dataclass
class State:
    """What a run is beside its variables."""

    step: int = 0  # steps made
    scores: list[dict] = field(default_factory=list)  # one an epoch that ended: {"epoch", "step", and what was scored}
    losses: list[float] = field(default_factory=list)  # of the steps since the last line of metrics.jsonl
    log_bytes: int = 0  # length of metrics.jsonl
    best_digest: str = ""  # of best.safetensors
    seconds: float = 0.0  # in all, whatever interrupted it


@dataclass(frozen=True)
class Work:
    """The job of a run: what is trained, how it takes its steps, and when it ends.

    Args:
        model, optimizer: Built; set from the checkpoint if there is one.
        steps: Steps of the optimiser an epoch.
        epochs: At most.
        batches: (epoch from 1, steps to leave out) -> iterator of (what `step` takes, number of examples).
        step: Makes one step; returns the loss.
        score: (function to call now and then) -> scores of the model as it is; None: there is nothing to score on.
        metric: The score by which epochs are compared, more is better.
        patience: Stop after so many epochs without a better score; None: never.
        keep_best: Keep the weights of the best epoch, not of the last.
    """

    model: keras.Model
    optimizer: keras.optimizers.Optimizer
    steps: int
    epochs: int
    batches: Callable
    step: Callable
    score: Callable | None = None
    metric: str | None = None
    patience: int | None = None
    keep_best: bool = False

    def variables(self):
        """Returns all that a checkpoint holds, in order."""
        return [*self.model.variables, *self.optimizer.variables]

    def best(self, scores):
        """Returns the best score, the first of equals; None without scores."""
        return max(scores, key=lambda score: (score[self.metric], -score["epoch"])) if scores and self.score else None

    def ended(self, scores):
        stale = self.patience and scores and len(scores) - self.best(scores)["epoch"] >= self.patience
        return len(scores) == self.epochs or bool(stale)


def run(work, folder, *, config, tokenizer, to_bytes, decisions, result, checkpoint_every, dry_run):
    """Trains a run folder from where it stands to its end, and writes it.

    Args:
        work: A `Work`.
        folder: A `trainer.runs.folder.Folder` that holds no finished run.
        config, tokenizer: For `Folder.start`.
        to_bytes: model -> content of its file of weights.
        decisions: Lines to print before anything is done.
        result: The entries of metrics.json that say what run this is.
        checkpoint_every: Seconds between checkpoints; they are rarer where that would take more than `SHARE` of the time.
        dry_run: Print the decisions; train nothing, write nothing.

    Returns:
        The result, as metrics.json holds it; of a dry run, the plan.

    Raises:
        Interrupted: SIGTERM, SIGINT or SIGHUP came; a checkpoint was saved.
        Failure: A checkpoint cannot be written, or is damaged.
        Mistake: The loss is no number any more; the folder is another process's.
    """
    model, variables = work.model, work.variables()
    size = sum(int(np.prod(variable.shape)) * variable.value.dtype.size for variable in variables)
    place = folder.out / "checkpoint"
    decisions = [*decisions, f"saves     {size / 1e6:,.1f} MB every {checkpoint_every:g} s, in {place}"]
    if dry_run:
        say("\n".join(decisions))
        say("dry run   nothing was trained, nothing was written")
        trained = optim.count(model.trainable_variables)
        counts = {"parameters": model.count_params(), "trained_parameters": trained, "checkpoint_bytes": size}
        return result | {"dry_run": True, "steps": work.steps * work.epochs} | counts
    with folder.owned():
        finished = folder.result()  # again: from here on nobody else changes it
        again = "the same command without --overwrite" if folder.overwrite else "the same command"
        if finished:
            return finished
        say("\n".join(decisions))
        checkpoint.check_room(folder.out, size)
        try:
            folder.start(config, tokenizer)
            with Signals() as signals:  # also while the result is written: a run that has ended ends
                state, content, digest = fit(
                    work,
                    folder.out,
                    signals,
                    again,
                    to_bytes=to_bytes,
                    checkpoint_every=checkpoint_every,
                )
                result |= _scores(work, state)
                result |= {"seconds": round(state.seconds, 1), "parameters": model.count_params(), "digest": digest}
                folder.finish(content, result)
        except (OSError, tf.errors.OpError) as error:  # metrics.jsonl, TensorBoard's files, the weights
            reason = getattr(error, "strerror", None) or next(iter(str(error).splitlines()), "no detail")
            if isinstance(error, tf.errors.OpError) and not re.search("No space left|quota|Input/output error", reason):
                raise
            kept = "the last checkpoint is whole" if checkpoint.newest(place) else "there is no checkpoint yet"
            raise Failure(
                f"{folder.out}: cannot be written ({reason}); {kept}: mend that, and {again} goes on"
            ) from None
    return result


def _scores(work, state):
    """Says how the run ended; returns what metrics.json holds of it."""
    final, best = state.scores[-1], work.best(state.scores)
    if final["epoch"] < work.epochs:
        say(f"stopped   after epoch {final['epoch']} of {work.epochs}: {work.patience} without a better {work.metric}")
    if best:
        kept = "; the weights that are kept"
        for name, score, is_kept in (("final", final, not work.keep_best), ("best ", best, work.keep_best)):
            say(f"{name}     dev {work.metric} {score[work.metric]:.4f} (epoch {score['epoch']}{kept * is_kept})")
    return {"steps": state.step, "final": final, "best": best}


def fit(work, out, signals, again, *, to_bytes, checkpoint_every):
    """Makes the steps that are left; arguments as `run`, the `Signals` in force, and what goes on.

    Returns:
        (`State`, content of the file of weights to keep, digest of the whole run).
    """
    variables = work.variables()
    folder, best_path = out / "checkpoint", out / "checkpoint" / "best.safetensors"
    state = State(**(checkpoint.load(folder, variables) or {}))
    total = work.steps * work.epochs
    if state.step:
        say(f"resume    from step {state.step} of {total}, {folder}")
    progress = Progress(total)
    began, saved_at, saved, cost = time.monotonic() - state.seconds, time.monotonic(), None, 0.0

    def save():
        nonlocal saved_at, saved, cost
        position = (state.step, len(state.scores))
        if saved == position:
            return
        now = time.monotonic()
        state.seconds = now - began
        os.fsync(log.fileno())  # before the checkpoint that counts on it
        checkpoint.save(folder, variables, asdict(state))
        saved_at, saved, cost = time.monotonic(), position, time.monotonic() - now

    def stop_if_asked():
        if signals.received:
            save()
            raise Interrupted(
                signals.received,
                f"stopped at step {state.step} of {total}, saved in {folder}; {again} goes on from there",
            )

    def note(line):
        log.write(json.dumps(line).encode() + b"\n")
        log.flush()
        state.log_bytes = log.tell()
        _summarise(line)

    with _open_log(out, state) as log, _summaries(out).as_default():
        while not work.ended(state.scores):
            epoch, epoch_began, first = len(state.scores) + 1, time.monotonic(), state.step
            examples = 0
            for batch, size in work.batches(epoch, state.step - (epoch - 1) * work.steps):
                loss = work.step(batch)
                if not np.isfinite(loss):
                    raise Mistake(
                        f"the loss became {loss} at step {state.step + 1}; try a smaller --learning_rate, "
                        "with --overwrite"
                    )
                state.step += 1
                examples += size
                state.losses.append(loss)
                progress.step(state.step, size, loss)
                if state.step % LOG_EVERY == 0 or state.step == total:
                    mean, rate = float(np.mean(state.losses)), float(work.optimizer.learning_rate)
                    note({"step": state.step, "epoch": epoch, "loss": mean, "learning_rate": rate})
                    state.losses.clear()
                stop_if_asked()
                if time.monotonic() - saved_at >= max(checkpoint_every, cost / SHARE):
                    save()
            seconds = time.monotonic() - epoch_began
            score, line = {"epoch": epoch, "step": state.step}, ""
            if work.score:
                progress.note(f"epoch {epoch}: scoring on dev ...")
                score |= work.score(stop_if_asked)
                note({"dev": score})
                shown = [name for name in score if name in (work.metric, "loss") or name.endswith("_f1")]
                line = f"dev {', '.join(f'{name} {score[name]:.4f}' for name in shown)}; "
            state.scores.append(score)
            if work.keep_best and work.best(state.scores) is score:
                checkpoint.make_folder(folder)
                content = to_bytes(work.model)
                writing.write(best_path, content)
                state.best_digest = checkpoint.digest([], content)
                save()  # so that these weights are never older than what the state says of them
            where = f" (from step {first})" if state.step - first < work.steps else ""
            rate = f"{examples / seconds:.0f} examples/s{where}" if examples else "all steps made before"
            progress.note(f"epoch {epoch}/{work.epochs}: {line}{seconds:.0f} s, {rate}")
        os.fsync(log.fileno())
        state.seconds = time.monotonic() - began
        content = _read_best(best_path, state) if work.keep_best else to_bytes(work.model)
        log_content = (out / "metrics.jsonl").read_bytes()
        return state, content, checkpoint.digest(checkpoint.arrays_of(variables), log_content, content)


def _read_best(path, state):
    content = path.read_bytes() if path.is_file() else b""
    if checkpoint.digest([], content) != state.best_digest:
        raise Failure(
            f"{path}: expected the weights of the best epoch, found another or a damaged file; --overwrite starts anew"
        )
    return content


class Signals:
    """Notes signals that ask for an end instead of dying of them; a second SIGINT (Ctrl-C) ends at once, without a
    checkpoint. SIGHUP says that the terminal is gone; `nohup` ignores it, and so do we then."""

    def __enter__(self):
        self.received, self.before = None, {}
        if threading.current_thread() is threading.main_thread():  # no other may set handlers
            numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
            numbers = [number for number in numbers if signal.getsignal(number) != signal.SIG_IGN]
            self.before = {number: signal.signal(number, self._note) for number in numbers}
        return self

    def _note(self, number, _):
        if self.received and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.received = number

    def __exit__(self, *_):
        for number, handler in self.before.items():
            signal.signal(number, handler)


def _open_log(out, state):
    """Opens metrics.jsonl to append to what the checkpoint knows of it."""
    path = out / "metrics.jsonl"
    log = open(path, "ab")  # noqa: SIM115  the caller's
    writing.sync_folder(out)
    if log.tell() < state.log_bytes:
        log.close()
        raise Failure(f"{path}: expected {state.log_bytes} bytes or more, found less; --overwrite starts anew")
    log.truncate(state.log_bytes)
    log.seek(state.log_bytes)
    return log


def _summaries(out):
    """Returns a TensorBoard writer, with all that metrics.jsonl holds written again: no step twice, none missing."""
    shutil.rmtree(out / "tensorboard", ignore_errors=True)
    writer = tf.summary.create_file_writer(str(out / "tensorboard"))
    with open(out / "metrics.jsonl", encoding="utf-8") as log, writer.as_default():
        for line in log:
            _summarise(json.loads(line))
    return writer


def _summarise(line):
    """Draws a line of metrics.jsonl."""
    values = line.get("dev", line)
    for name, value in values.items():
        if name not in ("step", "epoch", "examples", "words"):
            tf.summary.scalar(f"{'dev' if 'dev' in line else 'train'}/{name}", value, values["step"])
