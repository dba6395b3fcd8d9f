"""Requests that wait run as one batch, with TensorFlow Serving's parameters, and its texts of errors.

Who waits is merged when a batch thread becomes free, or when the batch is full; so batches grow with the load, and nobody
waits for company unless `batch_timeout_micros` says so. Unlike in TensorFlow Serving

- only requests whose tensors have equal shapes behind the first dimension are merged: those of other shapes form batches
  of their own, where TensorFlow Serving fails all of them;
- an error of a batch is found out by halves, so that it reaches only the request that causes it;
- the first batches of each kind are compared with single runs. If an answer differs, requests of this kind run alone:
  a model that mixes its rows, or an output without a row for each row of the input, is answered as without batching;
- `pad_variable_length_inputs` pads with zeros and empty strings, not with the tensor's first element, takes the padding
  off the outputs again, and passes the same comparison: a model that padding changes gets none.
"""

import heapq
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from google.protobuf.message import Message

from serving.server.configuration.flags import CORES
from serving.server.models.model import log
from serving.server.observation import metrics
from serving.server.refusal import Refused
from serving.server.requests.jobs import Done, Job, Requested, Servable, Waiter, throw
from serving.tensors import Flat

MAX_BYTES = 2**26  # of the inputs of a batch: merging is copying, and larger ones gain nothing by it
TRIALS = 8  # batches of a kind of which three members run alone, too, for a comparison
TOLERANCE = 1e-3  # of the largest number of an output; a batch may add up in another order
PAST_DEADLINE = ("RESOURCE_EXHAUSTED", "Run() timeout exceeded while waiting in batching queue")


class Invalid(ValueError):
    """Parameters that cannot be used; says so in one line."""


@dataclass(frozen=True)
class Parameters:
    """Those of a queue; see `tensorflow.serving.BatchingParameters`.

    Args:
        most: Rows that one request may have.
        rows: Rows of a batch.
        timeout: Seconds that a request waits for a full batch.
        batches: Full batches that may wait.
        sizes: Allowed numbers of rows, to which a batch is filled up; empty for all.
        pad: Whether requests of unequal lengths are padded.
        split: Whether requests of more than `rows` rows are split.
    """

    most: int = 1000
    rows: int = 1000
    timeout: float = 0.0
    batches: int = 10
    sizes: tuple[int, ...] = ()
    pad: bool = False
    split: bool = False


def parameters_of(proto: Message) -> Parameters:
    """Returns those of a `BatchingParameters`; raises `Invalid`."""
    value: Any = proto  # its fields are declared in `serving.server.configuration.protos`
    given = lambda name, default: getattr(value, name).value if value.HasField(name) else default
    most = given("max_batch_size", Parameters.most)
    for name, low in (
        ("max_batch_size", 1),
        ("batch_timeout_micros", 0),
        ("max_enqueued_batches", 1),
        ("num_batch_threads", 1),
    ):
        if (number := given(name, low)) < low:
            raise Invalid(f"{name} must be {'positive' if low else 'non-negative'}; was {number}")
    sizes = tuple(value.allowed_batch_sizes)
    if sizes and (sizes[0] < 1 or any(first >= second for first, second in pairwise(sizes))):
        raise Invalid(f"allowed_batch_sizes must be positive and in increasing order; were {list(sizes)}")
    if sizes and sizes[-1] != most:
        raise Invalid(
            f"Last entry in allowed_batch_sizes must match max_batch_size; last entry was {sizes[-1]}; expected {most}"
        )
    split = given("enable_large_batch_splitting", False)
    rows = given("max_execution_batch_size", most) if split else most
    if not 1 <= rows <= most:
        raise Invalid(
            "When enable_large_batch_splitting is true, max_execution_batch_size must be 1 to max_batch_size, "
            f"which is {most}; was {rows}"
        )
    timeout = min(given("batch_timeout_micros", 0) / 1e6, threading.TIMEOUT_MAX)
    batches = given("max_enqueued_batches", Parameters.batches)
    return Parameters(most, rows, timeout, batches, sizes, value.pad_variable_length_inputs, split)


def threads_of(proto: Message) -> int:
    """Returns the number of batch threads of a `BatchingParameters`."""
    value: Any = proto
    return value.num_batch_threads.value if value.HasField("num_batch_threads") else CORES


@dataclass(eq=False)
class _Task:
    """A job, or a part of one, that waits for its batch."""

    job: Job
    inputs: Mapping[str, np.ndarray]
    rows: int
    bytes: int
    waiter: Waiter
    done: Done
    since: float = field(default_factory=time.monotonic)
    ended: bool = False


@dataclass(eq=False)
class _Group:
    """Those that can be merged with each other: they wait in `tasks`."""

    queue: "BatchQueue"
    key: tuple
    tasks: deque[_Task] = field(default_factory=deque)
    rows: int = 0
    listed: bool = False  # in the scheduler's list of those that can run


class Scheduler:
    """The threads that run batches, of all models.

    Args:
        threads: The most that run at once; they are started when needed.
    """

    def __init__(self, threads: int) -> None:
        self._most, self._threads, self._idle = threads, 0, 0
        self.changed = threading.Condition()
        self._ready: deque[_Group] = deque()
        self._due: list[tuple[float, int, _Group]] = []  # a heap: when a group is ready
        self._count = 0
        self._hurried = False

    def begin(self) -> None:
        """Makes sure that tasks will be run, before any is added; holds `changed`; raises `Refused`."""
        if not self._threads and not self._start_thread():
            raise Refused("UNAVAILABLE", "no thread can be started for batches; try again")

    def hurry(self) -> None:
        """From now on nobody waits for company."""
        with self.changed:
            self._hurried = True
            for _, _, group in self._due:
                if group.tasks and not group.listed:
                    self._list(group)
            self._due.clear()
            self.changed.notify_all()

    def add(self, group: _Group, task: _Task) -> None:
        """Adds a task to its group; holds `changed`."""
        group.tasks.append(task)
        group.rows += task.rows
        if not group.listed and (len(group.tasks) == 1 or group.rows >= group.queue.parameters.rows):
            self._offer(group)
        self.changed.notify()
        if max(len(self._ready), 1) > self._idle and self._threads < self._most:
            self._start_thread()

    def _start_thread(self):
        """Returns whether one more runs batches."""
        try:
            threading.Thread(target=self._run, name="batches", daemon=True).start()
        except RuntimeError:  # "can't start new thread": fewer must do
            return False
        self._threads += 1
        return True

    def _offer(self, group):
        """Lists a group that can run, or notes when it can."""
        parameters = group.queue.parameters
        if self._hurried or parameters.timeout <= 0 or group.rows >= parameters.rows:
            self._list(group)
        else:
            self._count += 1
            heapq.heappush(self._due, (group.tasks[0].since + parameters.timeout, self._count, group))

    def _list(self, group):
        group.listed = True
        self._ready.append(group)

    def _next(self):
        """Returns a group that can run; waits for it."""
        while True:
            now = time.monotonic()
            while self._due and (self._due[0][0] <= now or not self._due[0][2].tasks):
                group = heapq.heappop(self._due)[2]
                if group.tasks and not group.listed and group.tasks[0].since + group.queue.parameters.timeout <= now:
                    self._list(group)
            if self._ready:
                return self._ready.popleft()
            self._idle += 1
            self.changed.wait(self._due[0][0] - now if self._due else None)
            self._idle -= 1

    def _run(self):
        while True:
            with self.changed:
                group = self._next()
                tasks = group.queue.take(group)
                group.listed = False
                if group.tasks:
                    self._offer(group)
                    self.changed.notify()
            try:
                group.queue.run(tasks)
            except Exception as error:  # a defect, after which the thread goes on
                log(traceback.format_exc())
                for task in tasks:
                    if not task.ended:
                        _end(task, _throwing(error))
                del task
            del group, tasks  # before the wait for the next


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
        self._groups: dict[tuple, _Group] = {}
        self._waiting: dict[Requested, int] = {}  # rows
        self._shapes = _shapes(servable.signatures)
        self._kinds: dict[tuple[Requested, bool], _Kind] = {}  # (requested, padded)
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
                self._groups[key] = _Group(self, key)
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
        return self._kinds.setdefault((requested, padded), _Kind())

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
                    done(lambda: _joined([result() for result in results]) or job.run())

            return take

        parts = [{name: value[start : start + most] for name, value in job.inputs.items()} for start in starts]
        return [_task(Job(job.servable, part, job.requested), waiter, part_done(i)) for i, part in enumerate(parts)]

    def take(self, group: _Group) -> list[_Task]:
        """Removes the next batch from a group, and returns it; holds the scheduler's `changed`."""
        tasks: list[_Task] = []
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

    def run(self, tasks: list[_Task]) -> None:
        """Runs a batch, and ends its tasks."""
        waiting = []
        for task in tasks:
            try:
                task.waiter.require()
            except Refused as refusal:
                late = refusal.code == "DEADLINE_EXCEEDED"
                _end(task, _throwing(Refused(*PAST_DEADLINE) if late else refusal))
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
            merged = self._merge(tasks)
            size, total = len(next(iter(merged.values()))), sum(task.rows for task in tasks)
            _count(size, total)
            outputs = self._servable.run_together(merged, requested)
            singles = self._singles(kind, tasks, filled=size > total)
            answers = self._parts(kind, tasks, merged, outputs, padded)
            same = answers is not None and all(_same(single, answers[i]) for i, single in singles.items())
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
            _end(task, _returning(singles.get(i, answers[i])))

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

    def _merge(self, tasks):
        """Returns the inputs of all tasks together, padded to one length and filled up to an allowed number of rows."""
        total = sum(task.rows for task in tasks)
        size = next((size for size in self.parameters.sizes if size >= total), total)
        merged = {}
        for name in tasks[0].inputs:
            values = [task.inputs[name] for task in tasks]
            longest = np.max([value.shape[1:] for value in values], axis=0, initial=0).astype(int)
            values = [_padded(value, longest) for value in values]
            if size > total:
                values.append(np.repeat(values[-1][:1], size - total, axis=0))
            merged[name] = values[0] if len(values) == 1 else np.concatenate(values)
        return merged

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


class _Kind:
    """What is known of requests of the same outputs, padded or not."""

    def __init__(self) -> None:
        self.batched = True
        self.trials = TRIALS
        # {(output, axis): the inputs' dimensions that it was always as long as}
        self._sources: dict[tuple, set[tuple[str, int]]] = {}

    def sources(self, output, axis, inputs):
        """Returns the inputs' dimensions (name, axis) that an output's dimension may be as long as."""
        every = {(name, j) for name, value in inputs.items() for j in range(1, value.ndim)}
        return self._sources.get((output, axis), every)

    def learn(self, inputs, outputs):
        """Takes note of how long the outputs of a single run are."""
        for i, values in enumerate(outputs):
            for name, value in values.items():
                for axis in range(1, value.ndim):
                    same = {
                        (source, j)
                        for source, j in self.sources((i, name), axis, inputs)
                        if inputs[source].shape[j] == value.shape[axis]
                    }
                    self._sources[((i, name), axis)] = same


class _Shapes(NamedTuple):
    """Of a signature: {input or output: its dimensions, -1 where unknown, or None}, and why it is not batched."""

    inputs: dict[str, Any]
    outputs: dict[str, Any]
    reason: str
    alone: frozenset[str]  # outputs that are not batched


def _shapes(signatures):
    found = {}
    for name, signature in signatures.items():
        inputs = {alias: _dimensions(info) for alias, info in signature.inputs.items()}
        fixed = sorted(alias for alias, dimensions in inputs.items() if not dimensions or dimensions[0] >= 0)
        outputs = {alias: _dimensions(info) for alias, info in signature.outputs.items()}
        alone = frozenset(
            alias for alias, sizes in outputs.items() if sizes is not None and (not sizes or sizes[0] >= 0)
        )
        reason = f"input {fixed[0]} has no first dimension of any size" if fixed else ""
        if not inputs:
            reason = "it has no input"
        elif len(alone) == len(outputs):
            reason = reason or "no output has a first dimension of any size"
        found[name] = _Shapes(inputs, outputs, reason, alone)
    return found


def _dimensions(info):
    """Returns the dimensions of a `TensorInfo`, -1 where unknown; None if even their number is."""
    if info.WhichOneof("encoding") not in ("name", None) or info.tensor_shape.unknown_rank:
        return None
    return tuple(dimension.size for dimension in info.tensor_shape.dim)


def _rows(job):
    return next(iter(job.inputs.values())).shape[0]


def _task(job, waiter, done):
    size = sum(value.nbytes for value in job.inputs.values())
    return _Task(job, job.inputs, _rows(job), size, waiter, done)


def _lengths(task):
    return tuple((name, task.inputs[name].shape[1:]) for name in sorted(task.inputs))


def _padded(value, longest):
    """Returns an array with zeros, or empty strings, behind each dimension but the first, up to `longest`."""
    behind = [(0, 0), *((0, int(most - size)) for most, size in zip(longest, value.shape[1:], strict=True))]
    if not any(count for _, count in behind):
        return value
    return np.pad(value, behind, constant_values=b"" if value.dtype == object else 0)


def _count(rows, given):
    """Counts a batch of so many rows, of which so many are those of requests."""
    metrics.PROCESSED_BATCH_SIZE.add(rows)
    metrics.PADDING_SIZE.add(rows - given)
    metrics.WRAPPED_RUN_COUNT.add(1)


def _end(task, outputs):
    task.ended = True
    try:
        task.done(outputs)
    except Exception:  # a defect; the others of the batch must not suffer for it
        log(traceback.format_exc())


def _alone(tasks):
    for task in tasks:
        try:
            outputs = task.job.run()
        except BaseException as error:
            _end(task, _throwing(error))
        else:
            _end(task, _returning(outputs))


def _returning(value):
    return lambda: value


def _throwing(error):
    return lambda: throw(error)


def _joined(parts):
    """Returns the outputs of a job from those of its parts; None if they do not fit together."""
    try:
        return [
            {name: np.concatenate([part[i][name] for part in parts]) for name in values}
            for i, values in enumerate(parts[0])
        ]
    except ValueError:
        return None


def _same(outputs, others):
    """Returns whether two runs gave the same, but for rounding."""
    return all(
        _equal(value, theirs[name])
        for ours, theirs in zip(outputs, others, strict=True)
        for name, value in ours.items()
    )


def _equal(one, other):
    if one.shape != other.shape or one.dtype != other.dtype:
        return False
    if one.dtype.kind not in "fcV":
        return bool(np.array_equal(one, other))
    one, other = (value.astype(np.complex128 if value.dtype.kind == "c" else np.float64) for value in (one, other))
    tolerance = TOLERANCE * float(np.max(np.abs(one), initial=0.0, where=np.isfinite(one)))
    return bool(np.allclose(one, other, rtol=TOLERANCE, atol=tolerance, equal_nan=True))
