"""Versions loaded and closed, several at once."""

import os
import threading
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import TypeVar

from serving.server import files
from serving.server.batching.parameters import parameters_of, threads_of
from serving.server.batching.queue import BatchQueue
from serving.server.batching.scheduler import Scheduler
from serving.server.configuration.protos import BatchingParameters, read
from serving.server.configuration.settings import Settings
from serving.server.console import log
from serving.server.models.servable import Servable, load
from serving.server.observation import metrics

PER_MODEL = "batching_params.pbtxt"  # in a version's folder
T = TypeVar("T")
R = TypeVar("R")


class Loader:
    """Loads and closes versions, so many at once as the flags say; their requests wait for batches if that is asked for.

    Args:
        settings: How the versions are loaded and run.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._loading = threading.BoundedSemaphore(settings.load_threads)
        self._closing = threading.BoundedSemaphore(settings.unload_threads)
        self._batches: Scheduler | None = None
        if settings.bundle.HasField("batching_parameters"):
            self._batches = Scheduler(threads_of(settings.bundle.batching_parameters))

    def each(self, function: Callable[[T], R], items: Iterable[T]) -> list[R]:
        """Returns what a function returns for each item; at once, as --num_load_threads says."""
        items = list(items)
        if len(items) < 2 or self._settings.load_threads < 2:
            return [function(item) for item in items]
        results: dict[int, R] = {}
        left = deque(enumerate(items))

        def run():
            with suppress(IndexError):
                while True:
                    i, item = left.popleft()
                    results[i] = function(item)

        threads = [
            threading.Thread(target=run, name="loading", daemon=True)
            for _ in range(min(len(items), self._settings.load_threads))
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return [results[i] for i in range(len(items))]

    def load(self, folder: str, name: str) -> Servable:
        """Returns the version of a folder, loaded; `name` is what lines about it begin with. Raises as `Servable` does."""
        with self._loading, metrics.timed_load(folder):
            servable = load(folder, self._settings)
            if servable.note:
                log(f"{name}: {servable.note}")
            try:
                self._batch(servable, folder, name)
            except BaseException:
                servable.close()
                raise
            return servable

    def close(self, servable: Servable) -> None:
        """Releases what a version holds."""
        with self._closing:
            servable.close()

    def hurry(self) -> None:
        """From now on no request waits for a full batch."""
        if self._batches:
            self._batches.hurry()

    def _batch(self, servable, folder, name):
        """Lets the requests of a version wait for batches, if that is asked for."""
        bundle = self._settings.bundle
        if self._batches is None:
            return
        parameters = bundle.batching_parameters
        if bundle.enable_per_model_batching_params:
            path = os.path.join(folder, PER_MODEL)
            if not files.is_file(path):
                return
            parameters = read(path, BatchingParameters)
        wanted = parameters_of(parameters)
        BatchQueue(servable, wanted, self._batches, lambda line: log(f"{name}: {line}"))
