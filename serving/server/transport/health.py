"""`grpc.health.v1`: the state of each model by its name, and of all together by "" or a service's name.

Replaces the servicer of grpcio-health-checking, which keeps every name that was ever watched, and needs a thread for
each watcher. A watcher that does not read has one message sent to it, and gets the newest state when it reads again.
"""

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

from grpc_health.v1 import health_pb2

from serving.server.refusal import Refused
from serving.server.requests.request import Request
from serving.server.transport.call import Call

if TYPE_CHECKING:  # imports TensorFlow
    from serving.server.models.versions import Models

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
UNKNOWN = health_pb2.HealthCheckResponse.SERVICE_UNKNOWN
SERVICES = ("PredictionService", "ModelService")  # with TensorFlow Serving's names, and with their full ones
ALL = ("", *SERVICES, *(f"tensorflow.serving.{name}" for name in SERVICES))
MAX_WATCHERS = 1000  # calls of Watch at once


@dataclass(eq=False)
class _Watcher:
    call: Call
    service: str
    sent: int | None = None
    sending: bool = False


class Health:
    """The service's state and its methods.

    Args:
        models: The served models; their `changed` hook is set.
    """

    def __init__(self, models: "Models") -> None:
        self._models = models
        self._lock = threading.Lock()
        self._ending = False
        self._watchers: dict[Call, _Watcher] = {}
        self._states: dict[str, int] = {}
        models.changed = self.update
        self.update()

    def update(self) -> None:
        """Reads the models' states, and tells the watchers."""
        with self._lock:
            ready = {name: bool(model.available()) for name, model in self._models.models.items()}
            ready = dict.fromkeys(ALL, all(ready.values())) | ready
            self._states = {name: SERVING if ready[name] and not self._ending else NOT_SERVING for name in ready}
            watchers = list(self._watchers.values())
        for watcher in watchers:
            self._tell(watcher)

    def end(self) -> None:
        """Reports NOT_SERVING from now on."""
        self._ending = True
        self.update()

    def check(self, request: Request) -> health_pb2.HealthCheckResponse:
        """Answers Check."""
        state = self._states.get(request.message(health_pb2.HealthCheckRequest).service)
        if state is None:
            raise Refused("NOT_FOUND", "")
        return health_pb2.HealthCheckResponse(status=state)

    def list(self, request: Request) -> health_pb2.HealthListResponse:
        """Answers List: the state of every name."""
        request.message(health_pb2.HealthListRequest)
        response = health_pb2.HealthListResponse()
        for name, state in self._states.items():
            response.statuses[name].status = state
        return response

    def watch(self, call: Call, message: bytes | None) -> None:
        """Begins a call of Watch."""
        try:
            if message is None:
                raise Refused("INVALID_ARGUMENT", "expected one message, received none")
            call.arrived(message)
            watcher = _Watcher(call, call.message(health_pb2.HealthCheckRequest).service)
            with self._lock:
                if len(self._watchers) >= MAX_WATCHERS:
                    raise Refused("RESOURCE_EXHAUSTED", f"expected at most {MAX_WATCHERS} calls of Watch at once")
                self._watchers[call] = watcher
        except Refused as refusal:
            call.refuse(refusal.code, refusal.message)
        else:
            call.sent_hook = lambda: self._tell(watcher, sent=True)
            call.ended_hook = lambda: self._forget(call)
            if call.gone:  # before the hook was there
                self._forget(call)
            self._tell(watcher)
        finally:
            call.release()

    def _tell(self, watcher, sent=False):
        """Sends a watcher the state that it has not, one message at a time."""
        with self._lock:
            watcher.sending &= not sent
            state = self._states.get(watcher.service, UNKNOWN)
            if watcher.sending or state == watcher.sent or watcher.call not in self._watchers:
                return
            watcher.sending, watcher.sent = True, state
        watcher.call.send(health_pb2.HealthCheckResponse(status=state).SerializeToString())

    def _forget(self, call):
        with self._lock:
            self._watchers.pop(call, None)
