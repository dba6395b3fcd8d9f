"""`grpc.health.v1`: the state of the models, by name; "" (or a service's name) for all of them.

Not the servicer of grpcio-health-checking: that one keeps every name it was ever asked to watch, and sends to those who
watch under a lock that all its calls need, so that one of them who does not read stops everybody.
"""

import threading
from concurrent.futures import ThreadPoolExecutor

import grpc
from google.protobuf.message import DecodeError
from grpc_health.v1 import health_pb2

from serving.refusal import Refused

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
UNKNOWN = health_pb2.HealthCheckResponse.SERVICE_UNKNOWN
ALL = ("", "PredictionService", "ModelService")
WATCHERS = 64  # calls of Watch at once; each takes a thread


class Health:
    """The states, and both methods.

    Args:
        models: `Models`; tell us when they change.
        gate: `Gate`.
    """

    def __init__(self, models, gate):
        self._models, self._gate = models, gate
        self.threads = ThreadPoolExecutor(
            2 * WATCHERS, thread_name_prefix="health"
        )  # answers however busy the others are
        self._changed = threading.Condition()
        self._ending = False
        self._watchers = 0
        self._states = {}
        models.changed = self.tell
        self.tell()

    def tell(self):
        """Looks at the models again, and tells those who watch."""
        with self._changed:
            ready = {name: bool(model.available()) for name, model in self._models.models.items()}
            good = dict.fromkeys(ALL, all(ready.values())) | ready
            self._states = {name: SERVING if good[name] and not self._ending else NOT_SERVING for name in good}
            self._changed.notify_all()

    def end(self):
        """Says from now on that nothing is served."""
        self._ending = True
        self.tell()

    def check(self, data, context, hold):
        state = self._states.get(_service(data))
        if state is None:
            raise Refused("NOT_FOUND", "")
        return health_pb2.HealthCheckResponse(status=state)

    def watching(self):
        """Returns the handler of Watch."""

        def watch(messages, context):
            try:
                yield from self._watch(_service(self._gate.message(messages, context)), context)
            except Refused as refusal:
                context.abort(grpc.StatusCode[refusal.code], refusal.message)

        watch.experimental_thread_pool = self.threads
        return grpc.stream_stream_rpc_method_handler(
            watch, response_serializer=health_pb2.HealthCheckResponse.SerializeToString
        )

    def _watch(self, service, context):
        with self._changed:
            if self._watchers >= WATCHERS:
                raise Refused("RESOURCE_EXHAUSTED", f"expected at most {WATCHERS} calls of Watch at once")
            self._watchers += 1
        try:
            context.add_callback(self._wake)
            told = None
            while context.is_active():
                state = self._states.get(service, UNKNOWN)
                if state != told:
                    yield health_pb2.HealthCheckResponse(status=state)
                    told = state
                with self._changed:
                    if context.is_active() and self._states.get(service, UNKNOWN) == told:
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
