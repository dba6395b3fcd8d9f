"""A worker's connection to its supervisor."""

import os
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection
from queue import Empty, SimpleQueue

from serving.server.configuration.follow import Config
from serving.server.refusal import Refused

GATHER = 2.0  # seconds in which a worker gives its part of the metrics
Error = tuple[str, str] | None  # arguments of `Refused`


class Link:
    """A worker's connection to its supervisor.

    Args:
        connection: To it.
        number: The worker's, from 0.
        config: The configuration to begin with; None: that of the flags.
    """

    def __init__(self, connection: Connection, number: int, config: Config | None) -> None:
        self.number, self.config = number, config
        self._connection = connection
        self._sending, self._asking = threading.Lock(), threading.Lock()
        self._answers: SimpleQueue[Error] = SimpleQueue()
        self._decisions: SimpleQueue[bool] = SimpleQueue()
        self._pages: SimpleQueue[tuple[int, dict[int, bytes]]] = SimpleQueue()
        self._page: Callable[[], bytes] = bytes
        self._asked: SimpleQueue[int] = SimpleQueue()  # for its page
        self._gathering, self._gathered = threading.Lock(), 0

    def ready(self, line: str) -> None:
        """Says that this worker serves; `line` says what, and where."""
        self._send("ready", line)

    def reload(self, config: Config) -> None:
        """Makes a configuration that of all workers, this one among them; raises `Refused` if one of them cannot."""
        with self._asking:
            self._send("ask", config)
            error = self._answers.get()
        if error:
            raise Refused(*error)

    def gather(self) -> dict[int, bytes]:
        """Returns {worker: what its `page` gives}, of all workers that serve and answer within some seconds."""
        with self._gathering:
            self._gathered += 1
            self._send("gather", self._gathered)
            until = time.monotonic() + GATHER
            with suppress(Empty):
                while True:
                    number, pages = self._pages.get(timeout=max(until - time.monotonic(), 0.001))
                    if number == self._gathered:  # not that of an earlier call, which came late
                        return pages
        return {self.number: self._page()}

    def follow(self, take_over: Callable[[Config, Callable[[], None]], None], page: Callable[[], bytes]) -> None:
        """Takes over configurations that the supervisor sends, in a thread.

        Args:
            page: Returns this worker's part of `gather`.
            take_over: Loads a configuration, calls the function that it gets, which raises `Refused` if another worker
                could not load it, and then serves it; raises `Refused` if it cannot be loaded.
        """
        self._page = page
        threading.Thread(target=self._run, args=[take_over], name="supervisor", daemon=True).start()
        threading.Thread(target=self._give_pages, name="pages", daemon=True).start()

    def _run(self, take_over):
        try:
            while True:
                what, value = self._connection.recv()
                if what == "reload":
                    threading.Thread(target=self._take_over, args=[take_over, value], daemon=True).start()
                elif what == "page":
                    self._asked.put(value)
                elif what == "pages":
                    self._pages.put(value)
                elif what == "decision":
                    self._decisions.put(value)
                else:
                    self._answers.put(value)
        except (EOFError, OSError):  # the supervisor was killed: end, too, after the requests under way
            self._answers.put(("UNAVAILABLE", "the server is ending"))
            self._decisions.put(False)
            os.kill(os.getpid(), signal.SIGTERM)

    def _give_pages(self):
        """Answers apart from `_run`, which always reads: two that wait until the other reads would wait forever."""
        while True:
            number = self._asked.get()
            self._send("page", (number, self._page()))

    def _take_over(self, take_over, config):
        error = None
        try:
            take_over(config, self._agree)
        except Refused as refusal:
            error = (refusal.code, refusal.message)
        except Exception as defect:
            error = ("INTERNAL", f"{type(defect).__name__}: {defect}")
        self._send("done", error)

    def _agree(self):
        self._send("loaded", None)
        if not self._decisions.get():
            raise Refused("ABORTED", "another worker could not load the configuration")

    def _send(self, what, value):
        with self._sending, suppress(OSError):  # the supervisor was killed; `_run` sees it, too
            self._connection.send((what, value))
