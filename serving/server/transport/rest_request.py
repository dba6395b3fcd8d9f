"""One request over HTTP."""

import asyncio
import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from serving.server.refusal import Refused, cut
from serving.server.requests.gate import Gate
from serving.server.requests.jobs import follow, throw
from serving.server.requests.request import Request
from serving.server.transport import json_answers


class RestRequest(Request):
    """One request over HTTP.

    Args:
        gate: Counts what it takes.
        loop: In which it is awaited.
        abort: Closes its connection.
        peer: (host, port) of its client, if known.
    """

    __slots__ = ("_abort", "_loop", "_peer", "answer", "entered", "opened_gate", "result")

    def __init__(
        self, gate: Gate, loop: asyncio.AbstractEventLoop, abort: Callable[[], None], peer: Sequence[Any] | None = None
    ) -> None:
        super().__init__(gate, math.inf, "", "REST")
        self._loop, self._abort, self._peer = loop, abort, peer
        self.opened_gate = self.entered = False  # the gate knows of it; it runs, or waits to run
        self.answer: Callable[[Request], Any]  # returns the body of the answer, or the steps to it; raises `Refused`
        self.result: asyncio.Future[tuple[str, bytes]] = loop.create_future()

    def run(self) -> None:
        """Answers, in any thread; a request that has to wait for its batch is answered by the batch's thread."""
        try:
            self.require()
            steps = self.answer(self)
        except BaseException as error:
            return self._finish(partial(throw, error))
        follow(steps, self, self._finish)

    def _finish(self, answer):
        self._loop.call_soon_threadsafe(self._settle, self.outcome(answer))

    def outcome(self, answer: Callable[[], bytes]) -> tuple[str, bytes]:
        """Returns (code, body) of what `answer` returns, or raises."""
        try:
            return "OK", answer()
        except Refused as refusal:
            return refusal.code, json_answers.error(cut(refusal.message))
        except MemoryError:
            return "RESOURCE_EXHAUSTED", json_answers.error("not enough memory for this request")
        except Exception as error:
            return "INTERNAL", json_answers.error(cut(f"{type(error).__name__}: {error}"))
        finally:
            self.release()

    def cancel(self) -> None:
        """Closes its connection."""
        self._loop.call_soon_threadsafe(self._abort)

    def peer(self) -> str:
        """Returns the address of its client, as gRPC writes it."""
        return f"ipv4:{self._peer[0]}:{self._peer[1]}" if self._peer else ""

    def _settle(self, outcome):
        if not self.result.done():
            self.result.set_result(outcome)
