"""Several processes on one port, each with a TensorFlow of its own, and the supervisor that keeps them.

It forks them before anything of TensorFlow or gRPC is imported: so it stays small, has one thread, and can fork again when
one has ended. The first is started alone, so that a mistake is said once; the others when it serves. A configuration
that replaces the one before is loaded by every worker; when all have it, all take it over, and if one cannot, none does.
"""

import os
import signal
import socket
import sys
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from multiprocessing.connection import Pipe, wait
from typing import Any, NoReturn

from serving.server.configuration.follow import FILE, Config, Follower
from serving.server.console import log
from serving.server.workers.link import Error, Link
from serving.server.workers.reload import Reload
from serving.server.workers.worker import Worker

ENDING = (signal.SIGTERM, signal.SIGINT)
BACKOFF = 60.0  # seconds at most between two starts of a worker that cannot start


@dataclass(eq=False)
class _Gather:
    """Pages of all workers, which one of them has asked for; `number` is that of its own count."""

    asker: Worker
    number: int
    missing: set[Worker]
    pages: dict[int, bytes] = field(default_factory=dict)


class Supervisor:
    """Keeps so many workers until SIGTERM or SIGINT.

    Args:
        count: Workers.
        serve: What a worker does, in a process of its own, until it ends.
        grace: Seconds that a worker may take to end.
        follower: Says when `--model_config_file` has changed; None: it is not looked at.
        seconds: Between two looks at it.
        forwarded: Further signals that are sent on to the workers.
    """

    def __init__(
        self,
        count: int,
        serve: Callable[[Link], None],
        *,
        grace: float,
        follower: Follower | None = None,
        seconds: float = 1.0,
        forwarded: Iterable[signal.Signals] = (),
    ) -> None:
        self._count, self._serve, self._grace = count, serve, grace
        self._follower, self._seconds = follower, seconds
        self._look_at = time.monotonic() + seconds
        self._following = False
        self._workers: dict[int, Worker] = {}
        self._due: dict[int, float] = {}  # {number: when it is started again}
        self._failures: dict[int, int] = {}  # {number: starts that failed, one after the other}
        self._config: Config | None = None
        self._requests: deque[tuple[Config, Callable[[Error], None]]] = deque()
        self._reload: Reload | None = None
        self._gathers: dict[int, _Gather] = {}
        self._last_gather = 0
        self._line = ""  # what the first serves, and where
        self._started = False  # all of them served at the same time
        self._status: int | None = None  # of this process; set when it ends
        self._kill_at = float("inf")
        self._wakeup, self._wakeup_write = os.pipe()
        os.set_blocking(self._wakeup_write, False)
        self._signals = (*ENDING, *forwarded)

    def run(self) -> int:
        """Returns the exit status of the process, when all have ended."""
        signal.set_wakeup_fd(self._wakeup_write, warn_on_full_buffer=False)
        for number in self._signals:
            signal.signal(number, lambda *_: None)
        self._start(0)
        while self._workers or self._status is None:
            self._step()
        return self._status or 0

    def _step(self):
        connections: dict[Any, Worker] = {worker.connection: worker for worker in self._workers.values()}
        for source in wait([self._wakeup, *connections], self._timeout()):
            if source == self._wakeup:
                for number in os.read(self._wakeup, 64):
                    self._signalled(number)
            else:
                self._read(connections[source])
        now = time.monotonic()
        if now >= self._kill_at:
            self._kill_at = float("inf")
            for worker in self._workers.values():
                log(f"worker {worker.number} (process {worker.pid}) has not ended in time: killed")
                os.kill(worker.pid, signal.SIGKILL)
        if self._reload and self._reload.over:
            self._reload = None
        if self._status is None and not self._reload:  # nobody comes or goes while a configuration is taken over
            for number in [number for number, due in self._due.items() if due <= now]:
                del self._due[number]
                self._start(number)
        self._look_at_file(now)
        if self._requests and not self._reload and all(worker.ready for worker in self._workers.values()):
            config, answer = self._requests.popleft()
            self._reload = Reload(config, self._workers.values(), answer)

    def _timeout(self):
        """Returns the seconds until something has to be done."""
        times = [self._kill_at]
        if not self._reload:  # until it is over, none is started
            times += self._due.values()
        if self._follower and self._started and not self._following:
            times.append(self._look_at)
        if self._reload and self._reload.over:
            return 0
        return min(max(min(times) - time.monotonic(), 0), 3600)

    def _start(self, number):
        ours, theirs = Pipe()
        sys.stderr.flush()
        signal.pthread_sigmask(signal.SIG_BLOCK, self._signals)
        pid = os.fork()
        if not pid:
            ours.close()
            self._be_worker(Link(theirs, number, self._config))
        signal.pthread_sigmask(signal.SIG_UNBLOCK, self._signals)
        theirs.close()
        self._workers[number] = Worker(number, pid, ours)

    def _be_worker(self, link) -> NoReturn:
        status: Any = 1
        try:
            for worker in self._workers.values():
                worker.connection.close()  # else none would see that the supervisor has ended
            signal.set_wakeup_fd(-1)
            for end in (self._wakeup, self._wakeup_write):
                os.close(end)
            for signal_number in self._signals:  # until the worker takes them itself
                ends = signal_number in ENDING
                signal.signal(signal_number, (lambda number, _: sys.exit(128 + number)) if ends else signal.SIG_IGN)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, self._signals)
            self._serve(link)
            status = 0
        except SystemExit as stop:
            status = stop.code
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(status if isinstance(status, int) else 1)

    def _read(self, worker):
        try:
            what, value = worker.connection.recv()
        except (EOFError, OSError):
            return self._ended(worker)
        if what == "ready":
            worker.ready = True
            self._failures.pop(worker.number, None)
            self._served(worker, value)
        elif what == "ask":
            self._requests.append((value, lambda error: self._answer(worker, value, error)))
        elif what == "gather":
            self._gather(worker, value)
        elif what == "page":
            number, page = value
            if number in self._gathers:
                self._gathers[number].pages[worker.number] = page
                self._gathered(number, worker)
        elif what == "loaded" and self._reload:
            self._reload.loaded(worker)
        elif what == "done" and self._reload:
            self._reload.done(worker, value)

    def _gather(self, asker, number):
        self._last_gather += 1
        ready = {worker for worker in self._workers.values() if worker.ready}
        for old in [key for key, gather in self._gathers.items() if gather.asker is asker]:
            del self._gathers[old]  # it no longer waits for that one
        self._gathers[self._last_gather] = _Gather(asker, number, ready)
        for worker in ready:
            worker.send("page", self._last_gather)

    def _gathered(self, number, worker):
        """A worker has given its page, or never will."""
        gather = self._gathers[number]
        gather.missing.discard(worker)
        if not gather.missing:
            del self._gathers[number]
            gather.asker.send("pages", (gather.number, gather.pages))

    def _answer(self, worker, config, error):
        if not error:
            self._config = config
        worker.send("answer", error)

    def _served(self, worker, line):
        """A worker serves: says so, and starts the others after the first."""
        if self._started:
            log(f"worker {worker.number} (process {worker.pid}) serves")
            return
        if worker.number == 0:
            self._line = line
        if worker.number == 0 and len(self._workers) == 1 and self._status is None:
            for number in range(1, self._count):
                self._start(number)
        if sum(worker.ready for worker in self._workers.values()) == self._count:
            self._started = True
            log(f"{self._line} with {self._count} workers")

    def _ended(self, worker):
        """A worker has ended: start another, unless all are to end, or none could ever serve."""
        worker.connection.close()
        code = os.waitstatus_to_exitcode(os.waitpid(worker.pid, 0)[1])
        del self._workers[worker.number]
        if self._reload:
            self._reload.gone(worker)
        for number in list(self._gathers):
            self._gathered(number, worker)
        how = f"status {code}" if code >= 0 else f"signal {-code}"
        name = f"worker {worker.number} (process {worker.pid})"
        if self._status is not None:
            if code and self._started:
                log(f"{name} ended with {how}")
                self._status = 1
        elif not self._started:
            if code < 0 or worker.ready:  # else it has said why
                log(f"{name} ended with {how} before all workers served")
            self._end(max(code, 1) if not worker.ready else 1)
        else:
            failures = self._failures.get(worker.number, 0)
            self._failures[worker.number] = failures + 1
            seconds = 0 if worker.ready else min(2.0**failures, BACKOFF)
            self._due[worker.number] = time.monotonic() + seconds
            log(f"{name} ended with {how}; another is started" + (f" in {seconds:.0f} s" if seconds else ""))

    def _signalled(self, number):
        if number not in ENDING:
            for worker in self._workers.values():
                os.kill(worker.pid, number)
        elif self._status is None:
            self._end(0 if self._started else 128 + number)

    def _end(self, status):
        """Ends all workers, each after its requests under way."""
        self._status = status
        self._due.clear()
        self._kill_at = time.monotonic() + self._grace
        for worker in self._workers.values():
            os.kill(worker.pid, signal.SIGTERM)

    def _look_at_file(self, now):
        """Takes over --model_config_file if it has changed."""
        follower = self._follower
        if not follower or self._following or not self._started or now < self._look_at:
            return
        self._look_at = now + self._seconds
        content = follower.news()
        if content is None:
            return
        self._following = True

        def answer(error):
            self._following = False
            self._look_at = time.monotonic() + self._seconds
            if error:
                follower.refused(error[1])
            else:
                self._config = (FILE, content)
                follower.took(content)

        self._requests.append(((FILE, content), answer))


def reserve(port: int) -> socket.socket:
    """Returns a socket that holds a port for the workers of this process while none of them listens; raises OSError."""
    held = socket.socket()
    try:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        held.bind(("0.0.0.0", port))
    except OSError:
        held.close()
        raise
    return held
