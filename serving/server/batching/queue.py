"""The requests of one servable that wait for a batch."""

import threading
import time
from collections.abc import Callable
from typing import Any

from serving.server.batching import arrays
from serving.server.batching.kinds import Kind, shapes_of
from serving.server.batching.parameters import Parameters
from serving.server.batching.scheduler import Group, Scheduler, Task, end, throwing
from serving.server.observation import metrics
from serving.server.refusal import Refused
from serving.server.requests.jobs import Done, Job, Requested, Servable, Waiter
from serving.tensors import Flat

MAX_BYTES = 2**26  # of the inputs of a batch: merging is copying, and larger ones gain nothing by it
PAST_DEADLINE = ("RESOURCE_EXHAUSTED", "Run() timeout exceeded while waiting in batching queue")


class BatchQueue:
    """The requests of one servable that wait for a batch.

    Args:
        servable: It; `queue` of it is this one from now on.
        parameters: Of the queue.
        scheduler: Runs its batches.
        log: Takes a line about requests that are not batched.
    """

    def __init__(
        self, servable: Servable, parameters: Parameters, scheduler: Scheduler, log: Callable[[str], object]
    ) -> None:
        self.parameters, self._scheduler, self._log = parameters, scheduler, log
        self._servable = servable
        self._groups: dict[tuple, Group] = {}
        self._waiting: dict[Requested, int] = {}  # rows
        self._shapes = shapes_of(servable.signatures)
        self._kinds: dict[tuple[Requested, bool], Kind] = {}  # (requested, padded)
        for name, signature in servable.signatures.items():
            if signature.inputs and (reason := self._shapes[name].reason):  # TensorFlow's own have none
                log(f"signature {name} is not batched: {reason}")
        servable.queue = self

    def put(self, job: Job, waiter: Waiter, done: Done) -> bool:
        """See `serving.server.requests.jobs.Queue`; raises `Refused` if the queue is full, or the job too large for any batch."""
        key = self._key(job)
        if key is None:
            return False
        parameters, rows = self.parameters, _rows(job)
        if rows > parameters.most:
            raise Refused(
                "INVALID_ARGUMENT", f"Task size {rows} is larger than maximum input batch size {parameters.most}"
            )
        tasks = self._split(job, waiter, done, rows) if rows > parameters.rows else [_task(job, waiter, done)]
        with self._scheduler.changed:
            self._scheduler.begin()
            waiting = self._waiting.get(job.requested, 0)
            if waiting + rows > parameters.batches * parameters.rows:
                raise Refused("UNAVAILABLE", self._full(rows, waiting))
            self._waiting[job.requested] = waiting + rows
            if key not in self._groups:
                self._groups[key] = Group(self, key)
            for task in tasks:
                self._scheduler.add(self._groups[key], task)
        return True

    def _full(self, rows, waiting):
        full, parameters = "The batch scheduling queue to which this task was submitted is full; ", self.parameters
        batches = -(-waiting // parameters.rows)
        if not parameters.split:
            return f"{full}currently {batches} batches enqueued and max_enqueued_batches is {parameters.batches}"
        return (
            f"{full}task size is {rows} but scheduling capacity is only {parameters.batches * parameters.rows - waiting} "
            f"(num_enqueued_batches={batches}, max_enqueued_batches={parameters.batches}, "
            f"open_batch_size={waiting % parameters.rows}, max_execution_batch_size={parameters.rows})"
        )

    def _key(self, job):
        """Returns what jobs that can be merged with this one have in common; None: it runs alone."""
        kind = self._kinds.get((job.requested, False))
        if kind and not kind.batched:
            return None
        rows = None
        shapes: list[tuple] = []
        for name, outputs in job.requested:
            expected = self._shapes[name]
            if expected.reason or any(output in expected.alone for output in outputs):
                return None
            if len(job.inputs) != len(expected.inputs):  # defaults are not those of every request
                return None
        padded = self.parameters.pad and self._kind(job.requested, True).batched
        for name, value in job.inputs.items():
            dimensions = expected.inputs[name]
            if isinstance(value, Flat) or value.ndim != len(dimensions) or not value.shape[0]:
                return None
            if rows not in (None, value.shape[0]):
                return None
            rows = value.shape[0]
            lengths = [
                -1 if padded and size < 0 else actual
                for size, actual in zip(dimensions[1:], value.shape[1:], strict=True)
            ]
            if padded and 0 in value.shape[1:]:
                return None
            shapes.append((name, *lengths))
        return (job.requested, *sorted(shapes))

    def _kind(self, requested, padded):
        return self._kinds.setdefault((requested, padded), Kind())

    def _split(self, job, waiter, done, rows):
        """Returns the tasks of a job of too many rows; the last of them to be done ends the job."""
        most = self.parameters.rows
        starts = range(0, rows, most)
        results: list[Any] = [None] * len(starts)
        lock, left = threading.Lock(), [len(starts)]

        def part_done(i):
            def take(outputs):
                results[i] = outputs
                with lock:
                    left[0] -= 1
                    last = not left[0]
                if last:
                    done(lambda: arrays.joined([result() for result in results]) or job.run())

            return take

        parts = [{name: value[start : start + most] for name, value in job.inputs.items()} for start in starts]
        return [_task(Job(job.servable, part, job.requested), waiter, part_done(i)) for i, part in enumerate(parts)]

    def take(self, group: Group) -> list[Task]:
        """Removes the next batch from a group, and returns it; holds the scheduler's `changed`."""
        tasks: list[Task] = []
        rows = size = 0
        while group.tasks:
            task = group.tasks[0]
            if tasks and (rows + task.rows > self.parameters.rows or size + task.bytes > MAX_BYTES):
                break
            tasks.append(group.tasks.popleft())
            rows, size = rows + task.rows, size + task.bytes
        group.rows -= rows
        requested = group.key[0]
        self._waiting[requested] -= rows
        if not group.tasks:
            del self._groups[group.key]
            if not self._waiting[requested]:
                del self._waiting[requested]
        return tasks

    def run(self, tasks: list[Task]) -> None:
        """Runs a batch, and ends its tasks."""
        waiting = []
        for task in tasks:
            try:
                task.waiter.require()
            except Refused as refusal:
                late = refusal.code == "DEADLINE_EXCEEDED"
                end(task, throwing(Refused(*PAST_DEADLINE) if late else refusal))
            else:
                waiting.append(task)
                metrics.QUEUING_LATENCY.add(1e6 * (time.monotonic() - task.since), metrics.BATCH_THREADS)
                metrics.INPUT_BATCH_SIZE.add(task.rows)
        if waiting:
            self._run(waiting)

    def _run(self, tasks):
        if len(tasks) == 1 and not self.parameters.sizes:
            _count(tasks[0].rows, tasks[0].rows)
            return _alone(tasks)
        requested = tasks[0].job.requested
        padded = len({_lengths(task) for task in tasks}) > 1
        kind = self._kind(requested, padded)
        if not kind.batched:  # since they began to wait
            return _alone(tasks)
        try:
            total = sum(task.rows for task in tasks)
            size = next((size for size in self.parameters.sizes if size >= total), total)
            merged = arrays.merged([task.inputs for task in tasks], size)
            _count(size, total)
            outputs = self._servable.run_together(merged, requested)
            singles = self._singles(kind, tasks, filled=size > total)
            answers = self._parts(kind, tasks, merged, outputs, padded)
            same = answers is not None and all(arrays.same(single, answers[i]) for i, single in singles.items())
        except (Refused, MemoryError, ValueError):
            if len(tasks) == 1:
                return _alone(tasks)
            half = len(tasks) // 2
            self._run(tasks[:half])
            return self._run(tasks[half:])
        except Exception:
            return _alone(tasks)
        if not same:
            self._stop(kind, requested, padded)
            return _alone(tasks)
        for i, task in enumerate(tasks):
            end(task, _returning(singles.get(i, answers[i])))

    def _singles(self, kind, tasks, filled):
        """Returns the outputs of single runs of a few tasks, {number: outputs}, while batches of this kind are on trial."""
        if not kind.trials or (len(tasks) == 1 and not filled):
            return {}
        kind.trials -= 1
        order = sorted(range(len(tasks)), key=lambda i: _lengths(tasks[i]))
        singles = {i: tasks[i].job.run() for i in {order[0], order[len(order) // 2], order[-1]}}
        for i, outputs in singles.items():
            kind.learn(tasks[i].inputs, outputs)
        return singles

    def _parts(self, kind, tasks, merged, outputs, padded):
        """Returns each task's part of the outputs; None if they do not have a row for each row of the inputs."""
        total = len(next(iter(merged.values())))
        for values in outputs:
            for value in values.values():
                if isinstance(value, Flat) or not value.ndim or value.shape[0] != total:
                    return None
        answers, start = [], 0
        for task in tasks:
            rows = slice(start, start + task.rows)
            part = [{name: value[rows] for name, value in values.items()} for values in outputs]
            if padded:
                part = [
                    {name: self._cut(kind, i, name, value, task, merged) for name, value in values.items()}
                    for i, values in enumerate(part)
                ]
            if any(value is None for values in part for value in values.values()):
                return None
            answers.append(part)
            start += task.rows
        return answers

    def _cut(self, kind, i, name, value, task, merged):
        """Returns a task's part of an output without padding; None if its length cannot be known."""
        known = self._shapes[task.job.requested[i][0]].outputs[name]
        for axis in range(1, value.ndim):
            if known and len(known) == value.ndim and known[axis] >= 0:
                continue
            lengths = {
                task.inputs[source].shape[j]
                for source, j in kind.sources((i, name), axis, task.inputs)
                if merged[source].shape[j] == value.shape[axis]
            }
            if len(lengths) > 1:
                return None
            for length in lengths:
                value = value[(slice(None),) * axis + (slice(length),)]
        return value

    def _stop(self, kind, requested, padded):
        with self._scheduler.changed:
            said, kind.batched = not kind.batched, False
        if not said:
            names = ", ".join(name for name, _ in requested)
            what = "padding changes its answers" if padded else "a batch changes its answers"
            self._log(f"signature {names}: {what}; its requests {'of unequal lengths ' if padded else ''}run apart")


def _rows(job):
    return next(iter(job.inputs.values())).shape[0]


def _task(job, waiter, done):
    size = sum(value.nbytes for value in job.inputs.values())
    return Task(job, job.inputs, _rows(job), size, waiter, done)


def _lengths(task):
    return tuple((name, task.inputs[name].shape[1:]) for name in sorted(task.inputs))


def _count(rows, given):
    """Counts a batch of so many rows, of which so many are those of requests."""
    metrics.PROCESSED_BATCH_SIZE.add(rows)
    metrics.PADDING_SIZE.add(rows - given)
    metrics.WRAPPED_RUN_COUNT.add(1)


def _alone(tasks):
    for task in tasks:
        try:
            outputs = task.job.run()
        except BaseException as error:
            end(task, throwing(error))
        else:
            end(task, _returning(outputs))


def _returning(value):
    return lambda: value
