"""Processes that make batches by their numbers: all together give the same as one alone. Imports no framework."""

import multiprocessing
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from itertools import cycle, islice
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Generic, TypeVar

from trainer.errors import Failure

AHEAD = 4  # batches that a process is asked for at once
X = TypeVar("X")


class Makers(Generic[X]):
    """Processes that make things by their numbers; a context manager.

    They are forked: start them before a framework starts its threads.

    Args:
        make: number -> what is made.
        processes: How many; 0: this one makes it.

    Raises:
        Failure: When called: one of them is gone.
    """

    def __init__(self, make: Callable[[int], X], processes: int) -> None:
        self.make = make
        context = multiprocessing.get_context("fork")
        self._ends: list[Connection] = []
        for _ in range(processes):
            here, there = context.Pipe()
            context.Process(target=_serve, args=(make, there, here, *self._ends), daemon=True).start()
            there.close()
            self._ends.append(here)

    def __enter__(self) -> "Makers[X]":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for end in self._ends:
            end.close()  # by which the process ends

    def __call__(self, numbers: Iterable[int]) -> Iterator[X]:
        """Yields what is made of numbers, in their order."""
        if not self._ends:
            yield from map(self.make, numbers)
            return
        asked: deque = deque()
        pairs = zip(numbers, cycle(self._ends), strict=False)
        for number, end in islice(pairs, AHEAD * len(self._ends)):
            end.send(number)
            asked.append(end)
        while asked:
            try:
                made = asked.popleft().recv()
            except (EOFError, OSError):
                raise Failure("a process that draws batches ended (out of memory?); the same command goes on") from None
            for number, end in islice(pairs, 1):
                with suppress(OSError):  # it ended: said when it is its turn
                    end.send(number)
                asked.append(end)
            yield made


def _serve(make, end, *others):
    """Makes what is asked for, until nobody asks."""
    for other in others:  # as long as it is open here, too, another process would wait for ever
        other.close()
    try:
        while True:
            end.send(make(end.recv()))
    except (EOFError, OSError):
        pass
