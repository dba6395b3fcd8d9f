"""A request under way, of any transport: who waits for it until when, its message, and the memory that it takes."""

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, TypeVar

from google.protobuf.message import DecodeError, Message

from serving.server.console import log
from serving.server.refusal import Refused

if TYPE_CHECKING:  # which imports this
    from serving.server.requests.gate import Gate

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
