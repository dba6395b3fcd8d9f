"""`tensorflow.ProfilerService`, as TensorFlow Serving has it: what TensorBoard and `tf.profiler.experimental.client` ask.

Answered in this process: TensorFlow's own server would open another port, on all addresses and without TLS.
"""

import threading
import time

import tensorflow as tf
from google.protobuf import descriptor_pool
from google.protobuf.message import Message
from tensorflow.python.profiler.internal import _pywrap_profiler
from tensorflow.tsl.profiler.protobuf import profiler_options_pb2

from serving.declare import declare
from serving.server.refusal import Refused
from serving.server.requests.request import Request

SERVICE = "tensorflow.ProfilerService"
METHODS = ("Profile", "Terminate", "Monitor")
MAX_SECONDS = 600  # of one profile: its events take memory
_classes = declare(
    descriptor_pool.Default(),
    "serving/profiler.proto",
    {
        "ProfileRequest": {
            "duration_ms": (1, "uint64"),
            "max_events": (2, "uint64"),
            "tools": (3, "repeated string"),
            "opts": (4, ".tensorflow.ProfileOptions"),
            "repository_root": (5, "string"),
            "session_id": (6, "string"),
            "host_name": (7, "string"),
            "emit_xspace": (9, "bool"),
        },
        "ProfileResponse": {
            "empty_trace": (7, "bool"),
            "xspace": (8, "bytes"),  # a serialized XSpace, which is the same on the wire
        },
        "TerminateRequest": {"session_id": (1, "string")},
        "TerminateResponse": {},
        "MonitorRequest": {"duration_ms": (1, "uint64"), "monitoring_level": (2, "int32"), "timestamp": (3, "bool")},
        "MonitorResponse": {"data": (1, "string")},
    },
    [profiler_options_pb2.DESCRIPTOR.name],
    package="tensorflow",
    services={SERVICE.partition(".")[2]: {name: (f"{name}Request", f"{name}Response") for name in METHODS}},
)


class Profiler:
    """The methods of the service."""

    def __init__(self) -> None:
        self._sessions: dict[str, threading.Event] = {}  # {session_id of a profile under way: ends it}
        self._lock = threading.Lock()

    def profile(self, request: Request) -> Message:
        """Answers Profile, after `duration_ms`: writes REPOSITORY_ROOT/SESSION_ID/HOST_NAME.xplane.pb.

        Ends early at Terminate, when the client goes, and when the server ends.
        """
        message = request.message(_classes["ProfileRequest"])
        seconds = (message.opts.duration_ms or message.duration_ms) / 1000
        if seconds > MAX_SECONDS:
            raise Refused(
                "INVALID_ARGUMENT",
                f"expected duration_ms of at most {1000 * MAX_SECONDS}, received {1000 * seconds:.0f}",
            )
        if not message.repository_root and not message.emit_xspace:
            raise Refused("INVALID_ARGUMENT", "expected a repository_root, where the profile is written, received none")
        levels = [f"{name}_tracer_level" for name in ("host", "python", "device")] if message.HasField("opts") else []
        session = _pywrap_profiler.ProfilerSession()
        try:
            session.start("", {name: getattr(message.opts, name) for name in levels})
        except tf.errors.OpError as error:  # as when another one is under way
            raise Refused("INTERNAL", error.message) from None
        ended = threading.Event()
        with self._lock:
            self._sessions[message.session_id] = ended
        try:
            until = time.monotonic() + seconds
            while (left := until - time.monotonic()) > 0 and not request.gate.ending:
                if ended.wait(min(left, 0.05)):
                    break
                request.require()
        finally:
            with self._lock:
                self._sessions.pop(message.session_id, None)
            data = session.stop()
        if message.repository_root:
            _write(message.repository_root, message.session_id, message.host_name, data)
        return _classes["ProfileResponse"](empty_trace=not data, xspace=data if message.emit_xspace else b"")

    def terminate(self, request: Request) -> Message:
        """Answers Terminate: ends the profile of that session, whose data is kept."""
        message = request.message(_classes["TerminateRequest"])
        with self._lock:
            if message.session_id in self._sessions:
                self._sessions[message.session_id].set()
        return _classes["TerminateResponse"]()

    def monitor(self, request: Request) -> Message:
        """Answers Monitor as TensorFlow's server does, which has it for TPUs alone."""
        raise Refused("UNIMPLEMENTED", "unimplemented.")


def _write(root, session, host, data):
    """Writes a profile where TensorBoard looks for it; the folder may be one of TensorFlow's file systems, as gs://."""
    folder = f"{root.rstrip('/')}/{session}"
    try:
        tf.io.gfile.makedirs(folder)
        with tf.io.gfile.GFile(f"{folder}/{host.replace(':', '_')}.xplane.pb", "wb") as file:
            file.write(data)
    except tf.errors.OpError as error:
        raise Refused("INTERNAL", f"{folder}: the profile cannot be written: {error.message}") from None
