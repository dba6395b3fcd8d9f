"""A worker, as its supervisor sees it."""

from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any


@dataclass(eq=False)
class Worker:
    """A process, and the connection to it."""

    number: int
    pid: int
    connection: Connection
    ready: bool = False

    def send(self, what: str, value: Any) -> None:
        """Sends a message to it, unless it has ended."""
        with suppress(OSError):  # it has ended, and is forgotten when its end of the connection is read
            self.connection.send((what, value))
