"""One call over gRPC: the method that it is for, its message, its answer, its end."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from google.protobuf.message import Message
from grpc._cython import cygrpc

from serving.server.refusal import Refused, cut
from serving.server.requests.jobs import Steps, follow, throw
from serving.server.requests.request import Request

if TYPE_CHECKING:  # which imports this
    from serving.server.transport.core import Core

QUICK_BYTES = 2**16  # a larger message is work, whatever its method
NO_METADATA: tuple[()] = ()


@dataclass(frozen=True)
class Method:
    """One method of a service.

    Args:
        answer: Returns the answer to a request of which the message has come, or the steps to it; raises `Refused`.
        quick: Takes no time: answered in the thread that got it, also while the server is full, busy or ending.
        apart: Takes long, and no core: runs in a thread of its own, one of the method at a time.
    """

    answer: Callable[[Request], Message | Steps]
    quick: bool = False
    apart: bool = False


@dataclass(frozen=True)
class Stream:
    """A method that answers with any number of messages; `opened` is called with each call's first message, and None later.

    Args:
        opened: Takes (call, message); the message is None when the client has sent its last. Never waits.
    """

    opened: Callable[["Call", bytes | None], None]


def code_of(name: str) -> int:
    """Returns the number of a gRPC status code."""
    return getattr(cygrpc.StatusCode, name.lower())


class Call(Request):
    """One call of a client. Its methods that take an event are called by gRPC's threads when the event has come."""

    __slots__ = ("_core", "_empty", "_ended", "_initial", "_lock", "_method", "_rpc", "ended_hook", "sent_hook")

    def __init__(self, core: "Core", event: Any, method: Method | Stream) -> None:
        name = event.call_details.method.decode("utf-8", "replace").rpartition("/")[2]
        super().__init__(core.gate, event.call_details.deadline, name, "GRPC")
        self._core, self._rpc = core, event.call
        self._method: Any = method
        self._ended = self._initial = False
        self._empty = False  # no message came: there is none, or the client has gone, which `_closed` knows
        self._lock = threading.Lock()
        self.ended_hook: Callable[[], None] | None = None  # the call has ended, whatever ended it
        self.sent_hook: Callable[[], None] | None = None  # of a stream: the next message may be sent

    def begin(self) -> None:
        """Waits for its message and for its end."""
        self._rpc.start_server_batch((cygrpc.ReceiveCloseOnServerOperation(0),), self._closed)
        self.receive()

    def receive(self) -> None:
        """Waits for a message."""
        self._rpc.start_server_batch((cygrpc.ReceiveMessageOperation(0),), self._received)

    def run(self) -> None:
        """Answers, or refuses; a call that has to wait for its batch is answered by the batch's thread."""
        try:
            self.require()
            steps = self._method.answer(self)
        except BaseException as error:
            return self._settle(partial(throw, error))
        follow(steps, self, self._settle)

    def _settle(self, answer):
        """Ends the call with what `answer` returns, or raises."""
        try:
            message = answer().SerializeToString()
        except Refused as refusal:
            self.refuse(refusal.code, refusal.message)
        except MemoryError:
            self.refuse("RESOURCE_EXHAUSTED", "not enough memory for this request")
        except Exception as error:
            self.refuse("INTERNAL", f"{type(error).__name__}: {error}")
        else:
            self.answer_bytes = len(message)
            self._over("OK")
            self._finish(0, b"", message)

    def peer(self) -> str:
        """Returns the address of its client, as `ipv4:127.0.0.1:40000`."""
        return unquote(self._rpc.peer().decode("utf-8", "replace"))

    def refuse(self, code: str, message: str) -> None:
        """Ends the call with that status."""
        self._over(code)
        self._finish(code_of(code), cut(message).encode())

    def _over(self, code):
        """Notes its end, and gives back its memory, before its client can ask for more."""
        self.ended(code)
        self.release()

    def send(self, message: bytes) -> None:
        """Sends one message of a stream; the next only when `sent_hook` was called."""
        operations = [cygrpc.SendMessageOperation(message, 0)]
        if not self._initial:
            operations.insert(0, cygrpc.SendInitialMetadataOperation(NO_METADATA, 0))
        self._initial = True
        self._rpc.start_server_batch(operations, self._sent)

    def finish(self) -> None:
        """Ends a stream."""
        self._finish(0, b"")

    def cancel(self) -> None:
        """Ends a call without an answer."""
        self._rpc.cancel()

    def _finish(self, code, details, message=None):
        operations = [cygrpc.SendStatusFromServerOperation(NO_METADATA, code, details, 0)]
        if message is not None:
            operations.insert(0, cygrpc.SendMessageOperation(message, 0))
        if not self._initial:
            operations.insert(0, cygrpc.SendInitialMetadataOperation(NO_METADATA, 0))
        self._rpc.start_server_batch(operations, self._done)

    def _received(self, event):
        data = event.batch_operations[0].message()
        if isinstance(self._method, Stream):
            self.gate.received(self)
            if data is not None and len(data) > QUICK_BYTES:
                return self.refuse("RESOURCE_EXHAUSTED", f"expected at most {QUICK_BYTES} bytes, received {len(data)}")
            self._method.opened(self, data)
        elif data is None:
            self._empty = True
            if self.gate.received(self):
                self._finish(code_of("INVALID_ARGUMENT"), b"expected one message, received none")
        else:
            self._core.handle(self, data, self._method)

    def _sent(self, event):
        if self.sent_hook and event.success:
            self.sent_hook()

    def _closed(self, event):
        cancelled = event.batch_operations[0].cancelled()
        dropped = cancelled and self.gate.drop(self)
        if dropped or self._empty:
            self.ended("CANCELLED" if cancelled else "INVALID_ARGUMENT")
        if dropped or isinstance(self._method, Stream):
            self._end()  # it had not begun, and nobody waits for an answer
        if self.ended_hook:
            self.ended_hook()

    def _done(self, event):
        self._end()

    def _end(self):
        with self._lock:
            ended, self._ended = self._ended, True
        if not ended:
            self.gate.close(self)
