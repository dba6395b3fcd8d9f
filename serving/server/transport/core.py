"""The gRPC server itself, on gRPC's completion queue: no thread waits for a message, a cancelled call keeps no place.

`grpc.server` gives every call a thread, also to wait for its message, and hands each of its events from one thread to
another; `grpc.aio` keeps the loop, but a session must run in another thread. Here a few equal threads wait for events,
and the one that gets a message runs the request itself. One of them always waits, so that health, status and refusals
are answered while all others are busy. `tests/bench/serving.py` compares the cost with that of a bare `grpc.server`.

The queue is grpcio's own interface to gRPC (`grpc._cython.cygrpc`), on which its two servers are built, and not a
promised one: the tests of this folder, which use nothing else, show whether a new version of grpcio still has it.
"""

import sys
import threading
import time
import traceback
from collections.abc import Mapping
from typing import Any

from grpc._cython import cygrpc

from serving.server.refusal import Refused, cut
from serving.server.requests.gate import Gate
from serving.server.transport.call import NO_METADATA, QUICK_BYTES, Call, Method, Stream, code_of

POSTED = 128  # calls that gRPC may give us before we ask for more
POLLING = 2  # threads that wait for events while the others rest
APART = 8  # calls of a long method at once, of which one runs


class Core:
    """The gRPC server.

    Args:
        gate: Admits the requests.
        methods: {"/package.Service/Method": it}.
        arguments: gRPC's, {name: value}.
    """

    def __init__(self, gate: Gate, methods: Mapping[str, Method | Stream], arguments: Mapping[str, int | str]) -> None:
        self.gate = gate
        self._methods = {name.encode(): method for name, method in methods.items()}
        self._queue = cygrpc.CompletionQueue()
        self._server = cygrpc.Server(tuple(arguments.items()), False)
        self._server.register_completion_queue(self._queue)
        apart = {method for method in methods.values() if isinstance(method, Method) and method.apart}
        self._turn, self._polling = threading.Condition(), 0  # threads that wait for events
        self._apart = {method: (threading.Lock(), threading.BoundedSemaphore(APART)) for method in apart}

    def listen(self, address: str, credentials: Any = None) -> bool:
        """Listens on `host:port` or `unix:path`, with TLS if there are gRPC's server credentials; returns whether it can."""
        secure = () if credentials is None else (credentials,)
        try:
            return bool(self._server.add_http2_port(address.encode(), *secure))
        except RuntimeError:
            return False

    def start(self) -> None:
        """Accepts calls, until the process ends."""
        self._server.start()
        for _ in range(POSTED):
            self._request()
        self.gate.start_thread = self._start_thread
        for _ in range(2):
            self._start_thread()

    def handle(self, call: Call, data: bytes, method: Method) -> None:
        """Runs a call whose message has come, or lets it wait; never waits itself."""
        if not self.gate.received(call):
            return  # cancelled, and ended
        try:
            call.arrived(data)
            if method.quick and len(data) <= QUICK_BYTES:
                call.run()
            elif method.apart:
                running, places = self._apart[method]
                if not places.acquire(blocking=False):
                    raise Refused("RESOURCE_EXHAUSTED", f"expected at most {APART} calls of this method at once")
                threading.Thread(target=self._run_apart, args=[call, running, places], daemon=True).start()
            elif self.gate.enter(call):
                self._step_out()
                try:
                    self.gate.work(call)
                finally:
                    self._step_in()
        except Refused as refusal:
            call.release()
            call.refuse(refusal.code, refusal.message)

    def _run_apart(self, call, running, places):
        with running:
            call.run()
        places.release()

    def _request(self):
        self._server.request_call(self._queue, self._queue, self._accept)

    def _accept(self, event):
        self._request()
        method = self._methods.get(event.call_details.method)
        if method is None:
            return self._reject(event, "UNIMPLEMENTED", "Method not found!")
        call = Call(self, event, method)
        try:
            self.gate.open(call, always=isinstance(method, Stream) or method.quick)
        except Refused as refusal:
            self._reject(event, refusal.code, refusal.message)
            return call.ended(refusal.code)
        call.begin()

    def _reject(self, event, code, message):
        """Refuses a call before its message has come."""
        operations = (
            cygrpc.SendInitialMetadataOperation(NO_METADATA, 0),
            cygrpc.ReceiveCloseOnServerOperation(0),
            cygrpc.SendStatusFromServerOperation(NO_METADATA, code_of(code), cut(message).encode(), 0),
        )
        event.call.start_server_batch(operations, _nothing)

    def _start_thread(self):
        with self._turn:
            self._polling += 1
        try:
            threading.Thread(target=self._serve, name="calls", daemon=True).start()
        except RuntimeError:  # "can't start new thread"
            with self._turn:
                self._polling -= 1
            raise

    def _step_out(self):
        """The calling thread waits for events no more; if none would be left, wakes one that rests."""
        with self._turn:
            self._polling -= 1
            if not self._polling:
                self._turn.notify()

    def _step_in(self):
        """The calling thread waits for events again; it rests while enough do, for each event would wake another of them."""
        with self._turn:
            while self._polling >= POLLING:
                self._turn.wait()
            self._polling += 1

    def _serve(self):
        while True:
            event = self._queue.poll()
            try:
                event.tag(event)
            except Exception:  # a defect; the other calls must not suffer for it
                print(" ".join(traceback.format_exc().split()), file=sys.stderr, flush=True)
                time.sleep(0.01)
            event = None  # with its call, before the wait for the next


def _nothing(event):
    pass
