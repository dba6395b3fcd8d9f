"""Rows that a thread of its own writes: whoever brings one waits for nothing, and what is too much is left out."""

import threading
from collections import deque
from collections.abc import Callable
from typing import Any


class Background:
    """A thread, and the rows that wait for it.

    Args:
        name: Of the thread.
        write: Called in the thread with all rows that wait, in their order; with none after `wake`. Must not raise.
        most: Rows that may wait.
        most_bytes: Of the rows that wait or are being written.
    """

    def __init__(self, name: str, write: Callable[[list[Any]], None], *, most: int, most_bytes: int) -> None:
        self._write, self._most, self._most_bytes = write, most, most_bytes
        self._rows: deque[tuple[Any, int]] = deque()
        self._bytes = 0
        self._awake = self._ending = False
        self._change = threading.Condition()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def put(self, row: Any, size: int) -> bool:
        """Lets a row of so many bytes wait; returns whether there is room for it."""
        with self._change:
            if len(self._rows) >= self._most or self._bytes + size > self._most_bytes:
                return False
            self._rows.append((row, size))
            self._bytes += size
            self._change.notify()
            return True

    def wake(self) -> None:
        """Has `write` called, whether or not there are rows."""
        with self._change:
            self._awake = True
            self._change.notify()

    def end(self, seconds: float) -> None:
        """Writes what waits, for at most so many seconds."""
        with self._change:
            self._ending = True
            self._change.notify()
        self._thread.join(seconds)

    def _run(self):
        ending = False
        while not ending:
            with self._change:
                while not (self._rows or self._awake or self._ending):
                    self._change.wait()
                rows, self._rows = self._rows, deque()
                self._awake, ending = False, self._ending
            self._write([row for row, _ in rows])
            with self._change:
                self._bytes -= sum(size for _, size in rows)
