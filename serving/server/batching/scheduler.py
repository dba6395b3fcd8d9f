"""The threads that run batches, and which of those that wait they take next."""

import heapq
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NoReturn

import numpy as np

from serving.server.console import log
from serving.server.refusal import Refused
from serving.server.requests.jobs import Done, Job, Outputs, Waiter, throw

if TYPE_CHECKING:  # which imports this
    from serving.server.batching.queue import BatchQueue


@dataclass(eq=False)
class Task:
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
class Group:
    """Those that can be merged with each other: they wait in `tasks`."""

    queue: "BatchQueue"
    key: tuple
    tasks: deque[Task] = field(default_factory=deque)
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
        self._ready: deque[Group] = deque()
        self._due: list[tuple[float, int, Group]] = []  # a heap: when a group is ready
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

    def add(self, group: Group, task: Task) -> None:
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
                        end(task, throwing(error))
                del task
            del group, tasks  # before the wait for the next


def end(task: Task, outputs: Callable[[], Outputs]) -> None:
    """Ends a task with what `outputs` returns, or raises."""
    task.ended = True
    try:
        task.done(outputs)
    except Exception:  # a defect; the others of the batch must not suffer for it
        log(traceback.format_exc())


def throwing(error: BaseException) -> Callable[[], NoReturn]:
    """Returns a function that raises the error."""
    return lambda: throw(error)
