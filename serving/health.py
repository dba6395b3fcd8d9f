"""`grpc.health.v1`: the state of each model by its name, and of all together by "" or a service's name.

Replaces the servicer of grpcio-health-checking, which keeps every name that was ever watched, and sends to watchers
while it holds a lock that all its calls need, so that a single watcher that does not read blocks everyone.
"""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import grpc
from google.protobuf.message import DecodeError
from grpc_health.v1 import health_pb2

from serving.gate import Gate
from serving.refusal import Refused

if TYPE_CHECKING:  # imports TensorFlow
    from serving.versions import Models

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
UNKNOWN = health_pb2.HealthCheckResponse.SERVICE_UNKNOWN
ALL = ("", "PredictionService", "ModelService")
MAX_WATCHERS = 64  # calls of Watch at once; each occupies a thread


class Health:
    """The service's state and its two methods.

    Args:
        models: The served models; their `changed` hook is set.
        gate: The server's.
    """

    def __init__(self, models: "Models", gate: Gate) -> None:
        self._models, self._gate = models, gate
        # A separate pool, so that health checks are answered while all other threads are busy
        self.threads = ThreadPoolExecutor(2 * MAX_WATCHERS, thread_name_prefix="health")
        self._changed = threading.Condition()
        self._ending = False
        self._watchers = 0
        self._states: dict[str, int] = {}
        models.changed = self.update
        self.update()

    def update(self) -> None:
        """Reads the models' states, and notifies the watchers."""
        with self._changed:
            ready = {name: bool(model.available()) for name, model in self._models.models.items()}
            ready = dict.fromkeys(ALL, all(ready.values())) | ready
            self._states = {name: SERVING if ready[name] and not self._ending else NOT_SERVING for name in ready}
            self._changed.notify_all()

    def end(self) -> None:
        """Reports NOT_SERVING from now on."""
        self._ending = True
        self.update()

    def check(
        self, data: bytes, context: grpc.ServicerContext, reserve: Callable[[int], None]
    ) -> health_pb2.HealthCheckResponse:
        """Answers Check; see `serving.services.Services` for the arguments."""
        state = self._states.get(_service(data))
        if state is None:
            raise Refused("NOT_FOUND", "")
        return health_pb2.HealthCheckResponse(status=state)

    def watch_handler(self) -> grpc.RpcMethodHandler:
        """Returns the handler of Watch."""

        def watch(messages, context):
            try:
                yield from self._watch(_service(self._gate.message(messages, context)), context)
            except Refused as refusal:
                context.abort(grpc.StatusCode[refusal.code], refusal.message)

        watch.experimental_thread_pool = self.threads  # type: ignore[attr-defined]  # read by gRPC
        return grpc.stream_stream_rpc_method_handler(
            watch, response_serializer=health_pb2.HealthCheckResponse.SerializeToString
        )

    def _watch(self, service, context):
        with self._changed:
            if self._watchers >= MAX_WATCHERS:
                raise Refused("RESOURCE_EXHAUSTED", f"expected at most {MAX_WATCHERS} calls of Watch at once")
            self._watchers += 1
        try:
            context.add_callback(self._wake)
            sent = None
            while context.is_active():
                state = self._states.get(service, UNKNOWN)
                if state != sent:
                    yield health_pb2.HealthCheckResponse(status=state)
                    sent = state
                with self._changed:
                    if context.is_active() and self._states.get(service, UNKNOWN) == sent:
                        self._changed.wait()
        finally:
            with self._changed:
                self._watchers -= 1

    def _wake(self):
        with self._changed:
            self._changed.notify_all()


def _service(data):
    try:
        return health_pb2.HealthCheckRequest.FromString(data).service
    except DecodeError:
        raise Refused(
            "INVALID_ARGUMENT", f"expected a grpc.health.v1.HealthCheckRequest, received {len(data)} bytes"
        ) from None
