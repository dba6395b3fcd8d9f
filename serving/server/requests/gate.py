"""Admission: which requests are accepted, how many run at once, how many wait, how much memory all take together.

Knows nothing of gRPC or HTTP: a transport makes a `Request` of what arrives, and runs it when the gate says so.
"""

import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import NoReturn

from serving.server import memory
from serving.server.refusal import Refused
from serving.server.requests.limits import Limits
from serving.server.requests.request import LARGE, Request

MAX_SILENT = 64  # requests without a message; if there are more, stalled ones are cancelled
STALLED = 10.0  # seconds without a message before a request counts as stalled; less, the more of them there are
IN_TRANSIT = 0.2  # seconds in which a request that was sent before the server ends may still come


class Gate:
    """Admits the requests of one server.

    Args:
        running: Requests that may run at once.
        limits: Of all requests.
    """

    def __init__(self, running: int, limits: Limits) -> None:
        self._limits = limits
        self.large = threading.Lock()
        self.start_thread: Callable[[], None] = lambda: None  # starts one more of the transport's threads, all equal
        self._threads = 2
        self._running, self._max_running = 0, running
        self._lock = threading.Lock()
        self._queue: deque[Request] = deque()
        self._bytes = self._open = self._accepted = self._dropped = 0
        self._silent: dict[Request, None] = {}  # those without their message, the first first
        self.ending = False  # no more requests are accepted
        # Called with each request that has ended, its status, and the seconds that it took
        self.keep: Callable[[], bool] | None = None  # says whether observers need the messages of requests, too
        self.observers: list[Callable[[Request, str, float], None]] = []
        self._to_trim = False

    def open(self, request: Request, *, always: bool = False) -> None:
        """Begins a request, whose message is to come.

        Args:
            request: It.
            always: It is no work, and accepted while the server is full or ending, too.

        Raises:
            Refused: The server ends, or has too many requests.
        """
        most = self._limits.max_requests_under_way
        with self._lock:
            if not always and self.ending:
                raise Refused("UNAVAILABLE", "the server is ending")
            if self._open >= (2 * most if always else most):
                message = f"expected at most {most} requests under way (--max_requests_under_way), received one more; try again"
                raise Refused("UNAVAILABLE", message)
            request.counted = not always
            self._accepted += request.counted
            self._open += 1
            self._silent[request] = None

    def received(self, request: Request) -> bool:
        """Its message has come; returns False if it was dropped before."""
        with self._lock:
            return self._silent.pop(request, self) is None

    def close(self, request: Request) -> None:
        """Ends a request that was opened."""
        with self._lock:
            self._silent.pop(request, None)
            self._open -= 1
            self._accepted -= request.counted

    def enter(self, request: Request) -> bool:
        """Returns whether the calling thread shall run it now, and then call `leave`; else it waits in the queue."""
        with self._lock:
            if self._running >= self._max_running:
                request.waiting = True
                self._queue.append(request)
                return False
            self._running += 1
            more = self._running == self._threads  # else none would be left for what comes next
            self._threads += more
        if more:
            try:
                self.start_thread()
            except RuntimeError:  # "can't start new thread": fewer must do
                with self._lock:
                    self._threads -= 1
                    self._max_running = self._threads - 1
                    if self._running > self._max_running:
                        self._running -= 1
                        request.waiting = True
                        self._queue.append(request)
                        return False
        return True

    def work(self, request: Request | None) -> None:
        """Runs a request that may run now, in the calling thread, then those that wait."""
        while request is not None:
            request.run()
            request = None  # freed before the next one
            request = self.leave()

    def requests(self) -> dict[str, int]:
        """Returns how many requests are open, running and waiting."""
        return {"open": self._open, "running": self._running, "waiting": len(self._queue) - self._dropped}

    @property
    def bytes_under_way(self) -> int:
        """Bytes that all requests have reserved."""
        return self._bytes

    @property
    def max_running(self) -> int:
        """Requests that may run at once."""
        return self._max_running

    def leave(self) -> Request | None:
        """Returns the next request, for the calling thread to run; None: there is none, and its place is given back."""
        with self._lock:
            while self._queue:
                request = self._queue.popleft()
                if request.waiting:
                    request.waiting = False
                    return request
                self._dropped -= 1
            self._running -= 1
            return None

    def drop(self, request: Request) -> bool:
        """Notes that a client has gone; returns whether its request had not begun: its place and memory are free now."""
        with self._lock:
            request.gone = True
            silent = self._silent.pop(request, self) is None
            begun = not (silent or request.waiting)
            if request.waiting:
                request.waiting = False
                self._dropped += 1
                if self._dropped > 1000 and 2 * self._dropped > len(self._queue):
                    self._queue = deque(request for request in self._queue if request.waiting)
                    self._dropped = 0
        if not begun:
            request.release()
        return not begun

    def reserve(self, reserved: int, count: int) -> None:
        """See `Request.reserve`; `reserved` are the bytes that the request has reserved already."""
        most = self._limits.max_bytes_under_way
        with self._lock:
            others = self._bytes - reserved
            if others and count > LARGE and self._bytes + count > most:
                raise Refused(
                    "UNAVAILABLE",
                    f"expected at most {most} bytes of all requests under way (--max_bytes_under_way), "
                    f"received {count} more beside {others}; try again",
                )
            self._bytes += count
        self._to_trim |= reserved + count > LARGE

    def unreserve(self, count: int) -> None:
        """See `Request.release`."""
        with self._lock:
            self._bytes -= count

    def end(self, seconds: float) -> None:
        """Accepts no more requests, and waits at most `seconds` for those accepted, except stalled ones.

        Requests that were in transit when the shutdown began are still accepted, for up to a second.
        """
        began = time.monotonic()
        while (passed := time.monotonic() - began) < 1 and (
            passed < IN_TRANSIT or self._accepted > self._stalled_work(0.1)
        ):
            time.sleep(0.02)
        with self._lock:
            self.ending = True
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and self._accepted > self._stalled_work(1.0):
            time.sleep(0.02)

    def watch(self) -> NoReturn:
        """Cancels stalled requests when there are many, and returns memory to the system after large ones."""
        while True:
            time.sleep(0.5)
            if self._to_trim and not self._bytes:
                self._to_trim = False
                memory.trim(0)
            memory.tidy()
            silent = len(self._silent)
            if silent > MAX_SILENT:
                part = min(silent / self._limits.max_requests_under_way, 1)
                for request in self._stalled(STALLED * (1 - part)):
                    with suppress(Exception):  # so that the rest are cancelled, too
                        request.cancel()

    def _stalled(self, seconds):
        """Returns the requests that have waited longer than that for their message."""
        now = time.monotonic()
        with self._lock:
            return [request for request in self._silent if now - request.opened > seconds]

    def _stalled_work(self, seconds):
        return sum(request.counted for request in self._stalled(seconds))
