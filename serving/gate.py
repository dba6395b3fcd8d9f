"""Admission control: which requests are accepted, how many run at once, how much memory they take together.

gRPC's own limits are not enough: a call whose message never arrives occupies a thread forever, a server that is stopped
cancels the calls that it has not begun, and nothing counts bytes.
"""

import ctypes
import queue
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from typing import Any, NoReturn

import grpc

from serving.refusal import Refused

THREADS = 256  # calls in progress at once, most of them waiting for their message or their turn
MAX_WAITING = 64  # calls without a message; if there are more, stalled ones are cancelled
STALLED = 10.0  # seconds without a message before a call counts as stalled; less when few threads are left
LARGE = 2**20  # bytes; larger messages are parsed one at a time, smaller requests are never refused for their memory
TIMED_OUT = ("DEADLINE_EXCEEDED", "Timed out waiting for notification")


class Threads(ThreadPoolExecutor):
    """gRPC's threads; gRPC calls `submit` as soon as a request arrives, which is when it counts as accepted.

    If no more threads can be started, the existing ones do the work: the error would end gRPC's own thread.

    Args:
        gate: Counts the calls.
        number: Threads at most.
    """

    def __init__(self, gate: "Gate", number: int) -> None:
        super().__init__(number, thread_name_prefix="call")
        self._gate = gate

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        in_time = self._gate.count()
        try:
            return super().submit(self._run, in_time, fn, *args, **kwargs)
        except RuntimeError:  # "can't start new thread", after the work was queued
            done: Future[Any] = Future()
            done.set_result(None)
            return done

    def _run(self, in_time, fn, *args, **kwargs):
        self._gate.call.in_time = in_time
        try:
            return fn(*args, **kwargs)
        finally:
            self._gate.uncount(in_time)


class Gate:
    """Admits the requests of one server.

    Args:
        running: Requests that may run at once.
        max_bytes: Memory that all requests in progress may take.
    """

    def __init__(self, running: int, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self._large = threading.Lock()
        self.call = threading.local()  # in_time: whether this thread's call arrived before the shutdown
        self._lock = threading.Lock()
        self._turns: queue.SimpleQueue[None] = queue.SimpleQueue()  # tokens; faster than a semaphore, which is not in C
        for _ in range(running):
            self._turns.put(None)
        self._bytes = self._accepted = 0
        self._waiting: dict[grpc.ServicerContext, float] = {}  # {call without its message: monotonic time of its start}
        self._ending = False
        self._trim = getattr(ctypes.CDLL(None), "malloc_trim", lambda _: None)  # glibc only
        self._to_trim = False

    def count(self) -> bool:
        """Counts a call as accepted and returns True, or returns False if the server is ending."""
        with self._lock:
            self._accepted += not self._ending
            return not self._ending

    def uncount(self, in_time: bool) -> None:
        """Ends a call for which `count` returned `in_time`."""
        with self._lock:
            self._accepted -= in_time

    def message(self, messages: Iterator[bytes], context: grpc.ServicerContext) -> bytes:
        """Returns the one message of a call; raises `Refused` if there is none."""
        self._waiting[context] = time.monotonic()
        try:
            data = next(messages, None)
        finally:
            del self._waiting[context]
        if data is None:
            raise Refused("INVALID_ARGUMENT", "expected one message, received none")
        return data

    def require_in_time(self) -> None:
        """Raises `Refused` if this thread's call arrived after the shutdown began."""
        if not self.call.in_time:
            raise Refused("UNAVAILABLE", "the server is ending")

    def parsing(self, data: bytes) -> AbstractContextManager:
        """Returns the lock for parsing a message: parsed, one of many small fields takes fifty times its size."""
        return self._large if len(data) > LARGE else nullcontext()

    @contextmanager
    def turn(self, context: grpc.ServicerContext) -> Iterator[None]:
        """Waits until the call may run.

        Raises:
            Refused: Its deadline has passed, or the client has gone.
        """
        try:
            self._turns.get(timeout=min(context.time_remaining(), threading.TIMEOUT_MAX))
        except queue.Empty:
            raise Refused(*TIMED_OUT) from None
        try:
            if context.time_remaining() <= 0:
                raise Refused(*TIMED_OUT)
            if not context.is_active():
                raise Refused("CANCELLED", "the client has gone")
            yield
        finally:
            self._turns.put(None)

    @contextmanager
    def memory(self) -> Iterator[Callable[[int], None]]:
        """Yields a function that reserves bytes until the end of the block; a single request may reserve any number.

        Raises:
            Refused: From that function: too many, together with those of the other requests.
        """
        reserved = 0

        def reserve(count: int) -> None:
            nonlocal reserved
            with self._lock:
                others = self._bytes - reserved
                if others and count > LARGE and self._bytes + count > self.max_bytes:
                    raise Refused(
                        "UNAVAILABLE",
                        f"expected at most {self.max_bytes} bytes of all requests under way (--max_bytes_under_way), "
                        f"received {count} more beside {others}; try again",
                    )
                self._bytes += count
                reserved += count
            self._to_trim |= reserved > LARGE

        try:
            yield reserve
        finally:
            with self._lock:
                self._bytes -= reserved

    def close(self, seconds: float) -> None:
        """Accepts no more calls, and waits at most `seconds` for those accepted, except stalled ones.

        Calls that were in transit when the shutdown began are still accepted, for up to a second.
        """
        deadline = time.monotonic() + 1
        while time.monotonic() < deadline and self._accepted > len(self._stalled(0.1)):
            time.sleep(0.02)
        with self._lock:
            self._ending = True
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and self._accepted > len(self._stalled(1.0)):
            time.sleep(0.02)

    def watch(self) -> NoReturn:
        """Cancels stalled calls when there are many, and returns memory to the system after large requests."""
        while True:
            time.sleep(0.5)
            if self._to_trim and not self._bytes:
                self._to_trim = False
                self._trim(0)  # glibc would keep it in each of its arenas
            waiting = len(self._waiting)
            if waiting > MAX_WAITING:
                for context in self._stalled(STALLED * (1 - waiting / THREADS)):
                    with suppress(Exception):  # so that the rest are cancelled, too
                        context.cancel()

    def _stalled(self, seconds):
        """Returns the calls that have waited longer than that for their message."""
        now = time.monotonic()
        return [context for context, start in dict(self._waiting).items() if now - start > seconds]
