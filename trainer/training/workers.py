"""Several processes that train one model as one would: each takes its share of every batch, and all apply the same sums.

TF_CONFIG says where the processes are and which of them this one is, as TensorFlow reads it:

    {"cluster": {"worker": ["one:12345", "two:12345"]}, "task": {"type": "worker", "index": 0}}

Each has ordinary variables, equal to the bit at every step, because they begin equal and take the same updates. The first one,
the chief, alone scores and writes; the others read its folder. `MultiWorkerMirroredStrategy` is asked for its collectives, not
for its variables: of what is given to it only sums come back.
"""

import functools
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from trainer.errors import Failure, Mistake
from trainer.progress import say

STRIDE = 1_000_003  # between the seeds of the dropout of one worker and the next
EXPECTED = '{"cluster": {"worker": ["HOST:PORT", ...]}, "task": {"type": "worker", "index": 0}}'


@dataclass(frozen=True)
class Cluster:
    """Where the workers are, and which of them this process is; the first is the chief."""

    addresses: tuple[str, ...] = ("localhost",)
    index: int = 0

    @staticmethod
    def of(text: str | None) -> "Cluster":
        """Returns what TF_CONFIG says; without one, a single worker.

        Raises:
            Mistake: It does not say that.
        """
        try:
            config = json.loads(text or "{}")
            jobs, task = config.get("cluster") or {}, config.get("task") or {}
            if not jobs:
                return Cluster()
            unknown = {*jobs} - {"chief", "worker"}
            addresses = [(job, i, str(at)) for job in ("chief", "worker") for i, at in enumerate(jobs.get(job, ()))]
            here = [(job, i) for job, i, _ in addresses].index((task["type"], int(task["index"])))
        except (ValueError, KeyError, TypeError, AttributeError):
            unknown, addresses, here = {"?"}, [], 0
        if unknown:
            raise Mistake(f"TF_CONFIG: expected {EXPECTED}, received {text}")
        return Cluster(tuple(address for *_, address in addresses), here)

    @property
    def beside(self) -> int:
        """How many workers before this one are on its host: the number of its GPU there."""
        hosts = [address.rpartition(":")[0] for address in self.addresses]
        return hosts[: self.index].count(hosts[self.index])


class Workers:
    """The workers of a run, seen from one of them.

    Args:
        index: Of this one, from 0.
        number: Of all.
        strategy: Whose collectives add; None of a single worker.
    """

    def __init__(self, index: int = 0, number: int = 1, strategy: tf.distribute.Strategy | None = None) -> None:
        self.index, self.number, self.strategy = index, number, strategy
        self.is_chief = index == 0
        self._sums = tf.function(self.total, input_signature=[tf.TensorSpec([None], tf.float64)], autograph=False)

    def total(self, x: tf.Tensor) -> tf.Tensor:
        """Returns the sum of a tensor over all workers, the same bits on each; in a graph, where all of them come by."""
        if self.strategy is None:
            return x
        # The sum is one of this worker's device, where the identity puts x
        add = lambda x: tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, tf.identity(x))
        return self.strategy.run(add, args=(x,))

    def totals(self, numbers: Sequence[float]) -> list[float]:
        """Returns the sums of numbers over all workers, each of which has to ask.

        Raises:
            Failure: One of them is gone.
        """
        if self.strategy is None:
            return [*numbers]
        with self.needed():
            return [float(x) for x in self._sums(tf.constant(numbers, tf.float64)).numpy()]

    def shared(self, value: Any) -> Any:
        """Returns the chief's value, of what JSON can hold; all workers have to ask, and what the others give is not looked at.

        Raises:
            Failure: One of them is gone.
        """
        if self.strategy is None:
            return value
        content = json.dumps(value).encode() if self.is_chief else b""
        (size,) = self.totals([len(content)])
        received = self.totals([*content.ljust(int(size), b"\0")])  # zeros from all but the chief
        return json.loads(bytes(map(int, received)))

    def check_equal(self, name: str, value: Any) -> None:
        """Checks that a value is the same on all workers.

        Raises:
            Failure: It is not; on every worker.
        """
        of_chief = self.shared(value)
        (different,) = self.totals([float(of_chief != value)])
        if different:
            here = "" if of_chief == value else f"; here {value}, at worker 0 {of_chief}"
            raise Failure(
                f"workers: expected the same {name} on all {self.number}, found others on {different:.0f}{here}: they need the "
                "same options, data and versions, and a folder --out that all of them see"
            )

    def share(self, rows: np.ndarray) -> tuple[np.ndarray, bool]:
        """Returns (this worker's rows of a batch, whether they count): every so many-th, so that where rows are in the order of
        their lengths all have about as much to do. A worker for which there is none takes the first one, which does not count."""
        own = rows[self.index :: self.number]
        return (own, True) if len(own) else (rows[:1], False)

    def spread_seeds(self, variables: Sequence[keras.Variable]) -> None:
        """Sets the states of the dropout's seeds, equal to the chief's before, to this worker's own."""
        for variable in variables:
            if self.index and variable.dtype == "uint32":  # [seed, draws so far]
                variable.assign(np.array(variable) + np.array([self.index * STRIDE, 0], np.uint32))

    @contextmanager
    def needed(self) -> Iterator[None]:
        """Work for which all workers are needed.

        Raises:
            Failure: One of them is gone.
        """
        try:
            yield
        except (tf.errors.OpError, RuntimeError) as error:
            local = (tf.errors.InvalidArgumentError, tf.errors.ResourceExhaustedError)
            if self.strategy is None or isinstance(error, local):
                raise
            raise Failure(
                f"worker {self.index} of {self.number}: another worker is gone ({type(error).__name__}); the same command on all of them goes "
                "on from the last checkpoint"
            ) from None

    def describe(self) -> list[str]:
        """Returns the line that says how many there are, if there are several."""
        if self.number == 1:
            return []
        return [f"workers   {self.number}, which share the examples of each batch; the first one scores and writes"]


ALONE = Workers()


def join() -> Workers:
    """Waits for the workers of TF_CONFIG, and returns them; without one, `ALONE`. Before anything is computed.

    Raises:
        Mistake: TF_CONFIG makes no sense, or comes too late.
    """
    return _join(Cluster.of(os.environ.get("TF_CONFIG")))


@functools.cache
def _join(cluster: Cluster) -> Workers:
    number = len(cluster.addresses)
    if number == 1:
        return ALONE
    say(f"workers   {cluster.index} of {number}, waits for the others: {', '.join(cluster.addresses)}")
    try:
        return Workers(cluster.index, number, tf.distribute.MultiWorkerMirroredStrategy())
    except RuntimeError as error:
        raise Mistake(f"TF_CONFIG: expected before anything was computed in this process ({error})") from None
