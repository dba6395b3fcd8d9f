"""Admission: which requests are accepted, how many run at once, how many wait, how much memory all take together.

Knows nothing of gRPC or HTTP: a transport makes a `Request` of what arrives, and runs it when the gate says so.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from typing import NoReturn, TypeVar

from google.protobuf.message import DecodeError, Message

from serving.server import memory
from serving.server.models.model import log
from serving.server.refusal import Refused
from serving.server.requests.limits import Limits

MAX_SILENT = 64  # requests without a message; if there are more, stalled ones are cancelled
STALLED = 10.0  # seconds without a message before a request counts as stalled; less, the more of them there are
IN_TRANSIT = 0.2  # seconds in which a request that was sent before the server ends may still come
LARGE = 2**20  # bytes; larger messages are parsed one at a time, smaller requests are never refused for their memory
TIMED_OUT = ("DEADLINE_EXCEEDED", "Timed out waiting for notification")
M = TypeVar("M", bound=Message)


class Request:
    """A request under way, of any transport; a transport's own kind says how it runs and is cancelled.

    Args:
        gate: Counts what it takes.
        deadline: When its client gives up, as of `time.time`.
        api: Which method it calls, as `Predict`.
        entrypoint: The transport: `GRPC` or `REST`.
    """

    __slots__ = (
        "_data", "_reserved", "answer_bytes", "api", "counted", "deadline", "entrypoint", "examples", "gate", "gone", "kept",
        "message_bytes", "model", "opened", "runtime", "signature", "version", "waiting",
    )  # fmt: skip

    def __init__(self, gate: "Gate", deadline: float, api: str = "", entrypoint: str = "") -> None:
        self.gate, self.deadline = gate, deadline
        self.api, self.entrypoint = api, entrypoint
        self.model = self.version = self.signature = ""  # as far as they are known
        self.runtime = 0.0  # seconds in the session
        self.examples = self.message_bytes = self.answer_bytes = 0
        self.kept: bytes | None = None  # its message until it has ended, if the gate's `keep` says so
        self.gone = False  # the client has given up
        self.waiting = False  # in the gate's queue
        self.counted = False  # among those that the server answers before it ends
        self.opened = time.monotonic()
        self._data: bytes | None = None
        self._reserved = 0

    def run(self) -> None:
        """Answers it, in the calling thread."""
        raise NotImplementedError

    def cancel(self) -> None:
        """Ends it without an answer."""
        raise NotImplementedError

    def peer(self) -> str:
        """Returns the address of its client, as gRPC writes it; empty if it is not known."""
        return ""

    def ended(self, code: str) -> None:
        """Tells the observers with which status it has ended."""
        for observer in self.gate.observers:
            try:
                observer(self, code, time.monotonic() - self.opened)
            except Exception as error:  # a defect; the request must not suffer for it
                log(f"{type(error).__name__} in noting a request: {error}")
        self.kept = None

    def arrived(self, data: bytes) -> None:
        """Takes its message; raises `Refused` if there is no memory for it."""
        self.message_bytes = len(data)
        self.reserve(len(data) - self._reserved)
        self._data = data
        if self.gate.keep and self.gate.keep():
            self.kept = data

    def take(self) -> tuple[bytes, AbstractContextManager]:
        """Returns its message as bytes, kept here no longer, and what to hold while it is parsed: large ones go one by one."""
        data, self._data = self._data or b"", None
        return data, self.gate.large if len(data) > LARGE else nullcontext()

    def message(self, kind: type[M]) -> M:
        """Returns its message, and keeps it no longer; raises `Refused` if the bytes are no such message."""
        with self.parsed(kind) as message:
            return message

    @contextmanager
    def parsed(self, kind: type[M]) -> Iterator[M]:
        """As `message`, and until the block ends no other large request is parsed.

        A message of many small fields takes fifty times its size, so read it in the block, and forget it.
        """
        data, alone = self.take()
        with alone:
            try:
                message = kind.FromString(data)
            except DecodeError:
                name, size = kind.DESCRIPTOR.full_name, len(data)
                raise Refused("INVALID_ARGUMENT", f"expected a {name}, received {size} bytes that are none") from None
            del data
            yield message

    def require(self) -> None:
        """Raises `Refused` if nobody waits for the answer any more."""
        if self.gone:
            raise Refused("CANCELLED", "the client has gone")
        if time.time() >= self.deadline:
            raise Refused(*TIMED_OUT)

    def reserve(self, count: int) -> None:
        """Counts bytes that it takes until `release`; a single request may reserve any number.

        Raises:
            Refused: Too many, together with those of the other requests.
        """
        self.gate.reserve(self._reserved, count)
        self._reserved += count

    def release(self) -> None:
        """Gives back what was reserved; also called twice."""
        self._data = None
        reserved, self._reserved = self._reserved, 0
        self.gate.unreserve(reserved)


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
