"""A request's work as steps: what comes before the model runs, the run, and what comes after it.

Between them a request may wait for others with which it runs as one batch, and no thread waits with it: the thread of the
batch goes on with the rest.
"""

from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn, Protocol, TypeAlias

from google.protobuf.message import Message

if TYPE_CHECKING:
    from serving import tensors

Values: TypeAlias = "Mapping[str, tensors.Value]"
Requested: TypeAlias = tuple[tuple[str, tuple[str, ...]], ...]  # (signature, names of its outputs) of each
Outputs: TypeAlias = "list[dict[str, tensors.Value]]"  # of each requested signature


class Servable(Protocol):
    """What can be asked of one version of a model."""

    signatures: dict[str, Message]
    queue: "Queue | None"

    def run_together(self, inputs: Values, requested: Requested) -> Outputs:
        """Runs one signature, or several of the same one input."""


class Waiter(Protocol):
    """Who waits for the outputs of a job."""

    def require(self) -> None:
        """Raises `Refused` if nobody waits any more."""


class Queue(Protocol):
    """Where jobs of a version wait for a batch."""

    def put(self, job: "Job", waiter: Waiter, done: "Done") -> bool:
        """Takes a job, and later calls `done`, in any thread; returns False if the job has to run alone, now."""


class Job(NamedTuple):
    """One run of a model; `run` and the queue give the outputs of each requested signature."""

    servable: Servable
    inputs: Values
    requested: Requested

    def run(self) -> Outputs:
        """Runs it alone, in the calling thread; raises `Refused`."""
        return self.servable.run_together(self.inputs, self.requested)


Done: TypeAlias = Callable[[Callable[[], Outputs]], None]  # takes a function that returns the outputs, or raises
Steps: TypeAlias = Generator[Job, Outputs, Any]  # yields its job, is sent the outputs, returns the answer


def job_of(servable: Servable, inputs: Values, requested: Iterable[tuple[str, Sequence[str]]]) -> Job:
    """Returns the job of running (signature, names of its outputs)s with those inputs."""
    return Job(servable, inputs, tuple((name, tuple(outputs)) for name, outputs in requested))


def once(job: Job) -> Steps:
    """Steps of that job alone; they return its outputs."""
    return (yield job)


def now(steps: Steps) -> Any:
    """Returns what the steps return, with every job run alone and at once."""
    results: list[Callable[[], Any]] = []
    _go_on(steps, lambda: next(steps), None, results.append)
    return results[0]()


def follow(steps: Any, waiter: Waiter, finish: Callable[[Callable[[], Any]], None]) -> None:
    """Takes the steps; returns early if a job has to wait for its batch.

    Args:
        steps: They, or what they would return.
        waiter: Who waits for the answer.
        finish: Called once, perhaps later in another thread, with a function that returns the answer, or raises.
    """
    if isinstance(steps, Generator):
        _go_on(steps, lambda: next(steps), waiter, finish)
    else:
        finish(lambda: steps)


def _go_on(steps, step, waiter, finish):
    """Takes steps, the first of which is to call `step`, until the end or a wait."""
    while True:
        try:
            job = step()
            queue = job.servable.queue
            if waiter and queue and queue.put(job, waiter, _resume(steps, waiter, finish)):
                return
        except StopIteration as stop:
            return finish(partial(_same, stop.value))
        except BaseException as error:
            steps.close()
            return finish(partial(throw, error))
        step = _after(steps, job.run)


def _resume(steps, waiter, finish):
    return lambda outputs: _go_on(steps, _after(steps, outputs), waiter, finish)


def _after(steps, outputs):
    """Returns the step that sends the steps what `outputs` returns, or throws what it raises."""

    def step():
        try:
            result = outputs()
        except BaseException as error:
            return steps.throw(error)
        return steps.send(result)

    return step


def _same(answer):
    return answer


def throw(error: BaseException) -> NoReturn:
    """Raises it."""
    raise error
