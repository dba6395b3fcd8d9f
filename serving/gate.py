"""Who may come in: which requests are taken, how many run at once, how many bytes all together may hold.

gRPC's own ways out are not enough. A call whose message never comes holds a thread for good; a server that is stopped
cancels what it had not begun; and neither counts bytes.
"""

import ctypes
import queue
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, nullcontext, suppress

from serving.refusal import Refused

THREADS = 256  # calls that may be at hand at once, most of them waiting: for their message, or for their turn
MOST_WAITING = 64  # calls without a message; if there are more, those that have waited for long are ended:
STALLED = 10.0  # after so many seconds, and the sooner the fewer threads are left
LARGE = 2**20  # bytes: larger messages are read one at a time, and what takes less always comes in
LATE = ("DEADLINE_EXCEEDED", "Timed out waiting for notification")


class Threads(ThreadPoolExecutor):
    """Threads for gRPC, which calls `submit` as soon as a request comes in: that is when it counts as taken.

    Where no further thread can be had, those there are do the work: the error would end gRPC's own thread.
    """

    def __init__(self, gate, number):
        super().__init__(number, thread_name_prefix="call")
        self._gate = gate

    def submit(self, *work):
        in_time = self._gate.count()
        try:
            return super().submit(self._run, in_time, *work)
        except RuntimeError:  # "can't start new thread", after the work was queued
            done = Future()
            done.set_result(None)
            return done

    def _run(self, in_time, work, *arguments):
        self._gate.call.in_time = in_time
        try:
            return work(*arguments)
        finally:
            self._gate.uncount(in_time)


class Gate:
    """The requests of one server.

    Args:
        running: Requests that may run at once.
        most_bytes: Bytes that all requests under way may hold.
    """

    def __init__(self, running, most_bytes):
        self.most_bytes = most_bytes
        self._large = threading.Lock()
        self.call = threading.local()  # in_time: whether this thread's call came before the end of the server
        self._lock = threading.Lock()
        self._turns = queue.SimpleQueue()  # a queue of tokens: as a semaphore, but in C
        for _ in range(running):
            self._turns.put(None)
        self._bytes = self._taken = 0
        self._waiting = {}  # {context: since when its message is waited for}
        self._ending = False
        self._trim = getattr(ctypes.CDLL(None), "malloc_trim", lambda _: None)  # of glibc
        self._to_trim = False

    def count(self):
        """Counts a call as taken; returns False, and does not, if the server ends."""
        with self._lock:
            self._taken += not self._ending
            return not self._ending

    def uncount(self, in_time):
        with self._lock:
            self._taken -= in_time

    def message(self, messages, context):
        """Returns the one message of a call, as bytes; raises `Refused` if none came."""
        self._waiting[context] = time.monotonic()
        try:
            data = next(messages, None)
        finally:
            del self._waiting[context]
        if data is None:
            raise Refused("INVALID_ARGUMENT", "expected one message, received none")
        return data

    def require_in_time(self):
        """Raises `Refused` if the call of this thread came when the server was told to end."""
        if not self.call.in_time:
            raise Refused("UNAVAILABLE", "the server is ending")

    def reading(self, data):
        """Returns the lock under which to read a message: of many small fields, one takes fifty times its size."""
        return self._large if len(data) > LARGE else nullcontext()

    @contextmanager
    def turn(self, context):
        """Waits until the call may run.

        Raises:
            Refused: Its time is over, or nobody waits for its answer.
        """
        try:
            self._turns.get(timeout=min(context.time_remaining(), threading.TIMEOUT_MAX))
        except queue.Empty:
            raise Refused(*LATE) from None
        try:
            if context.time_remaining() <= 0:
                raise Refused(*LATE)
            if not context.is_active():
                raise Refused("CANCELLED", "the client has gone")
            yield
        finally:
            self._turns.put(None)

    @contextmanager
    def bytes(self):
        """Gives a function that counts bytes as held, until the end of the block; a request alone may hold any number.

        Raises:
            Refused: From the function: together with those of the other requests they are too many.
        """
        held = 0

        def hold(count):
            nonlocal held
            with self._lock:
                others = self._bytes - held
                if others and count > LARGE and self._bytes + count > self.most_bytes:
                    raise Refused(
                        "UNAVAILABLE",
                        f"expected at most {self.most_bytes} bytes of all requests under way (--max_bytes_under_way), "
                        f"received {count} more beside {others}; try again",
                    )
                self._bytes += count
                held += count
            self._to_trim |= held > LARGE

        try:
            yield hold
        finally:
            with self._lock:
                self._bytes -= held

    def close(self, seconds):
        """Takes no call any more, and waits for those taken, so long at most; not for those whose message does not come.

        What was on its way when the server was told to end still comes in, for a second if there is much of it.
        """
        ends = time.monotonic() + 1
        while time.monotonic() < ends and self._taken > len(self._stalled(0.1)):
            time.sleep(0.02)
        with self._lock:
            self._ending = True
        ends = time.monotonic() + seconds
        while time.monotonic() < ends and self._taken > len(self._stalled(1.0)):
            time.sleep(0.02)

    def watch(self):
        """Ends calls whose message does not come, where they are many, and gives memory back after large requests."""
        while True:
            time.sleep(0.5)
            if self._to_trim and not self._bytes:
                self._to_trim = False
                self._trim(0)  # glibc would keep it, for each of its arenas
            waiting = len(self._waiting)
            if waiting > MOST_WAITING:
                for context in self._stalled(STALLED * (1 - waiting / THREADS)):
                    with suppress(Exception):  # the others are to be ended, too
                        context.cancel()

    def _stalled(self, seconds):
        """Returns the calls whose message has been waited for so long."""
        now = time.monotonic()
        return [context for context, since in dict(self._waiting).items() if now - since > seconds]
