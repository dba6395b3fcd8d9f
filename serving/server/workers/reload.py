"""A configuration that all workers take over together, or none."""

import os
import signal
from collections.abc import Callable, Iterable

from serving.server.configuration.follow import Config
from serving.server.console import log
from serving.server.workers.link import Error
from serving.server.workers.worker import Worker


class Reload:
    """A configuration that all workers load, and then take over, or not.

    Args:
        config: It.
        workers: Those that take part.
        answer: Gets its error, None if it is served.
    """

    def __init__(self, config: Config, workers: Iterable[Worker], answer: Callable[[Error], None]) -> None:
        self.config, self._answer = config, answer
        self._loading, self._waiting, self._closing = set(workers), set(), set()  # type: ignore[var-annotated]
        self._error: Error = None
        self.agreed = self.over = False
        for worker in self._loading:
            worker.send("reload", config)
        self._look()

    def loaded(self, worker: Worker) -> None:
        """That worker has loaded it, and waits."""
        self._loading.discard(worker)
        self._waiting.add(worker)
        self._look()

    def done(self, worker: Worker, error: Error) -> None:
        """That worker serves it, or does not."""
        if worker in self._loading:
            self._error = self._error or error
        elif error and self.agreed:  # a defect; another worker will begin with the new configuration
            log(f"worker {worker.number} (process {worker.pid}): {error[1]}")
            os.kill(worker.pid, signal.SIGTERM)
        self.gone(worker)

    def gone(self, worker: Worker) -> None:
        """That worker takes part no longer."""
        for workers in (self._loading, self._waiting, self._closing):
            workers.discard(worker)
        self._look()

    def _look(self):
        if self._loading or self.over:
            return
        if self._waiting:  # all have loaded it, or failed: decide
            self._closing, self._waiting = self._waiting, set()
            self.agreed = self._error is None
            for worker in self._closing:
                worker.send("decision", self.agreed)
        if not self._closing:
            self.over = True
            ended = ("UNAVAILABLE", "the workers have ended; try again")
            self._answer(self._error or (None if self.agreed else ended))
