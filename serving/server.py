"""`python -m serving.server`: serves SavedModels over TensorFlow Serving's gRPC API, from Python packages alone.

Takes the flags of `tensorflow_model_server` that it has; answers Predict, GetModelMetadata and GetModelStatus with its
codes and texts of errors, and `grpc.health.v1` with the real state. The port opens when every model is loaded.
SIGTERM ends it after the requests under way; those that come later are UNAVAILABLE, which clients try elsewhere.
"""

import errno
import os
import signal
import socket
import sys
import threading
import time
from importlib.util import find_spec
from pathlib import Path

from serving.flags import fail, parse
from serving.limits import Limits

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# Memory from the system: TensorFlow's own pool keeps for ever what the largest requests took.
os.environ.setdefault("TF_ONEDNN_USE_SYSTEM_ALLOCATOR", "1")
GRACE = 30  # seconds for the requests under way when the server is told to end
LINGER = 0.25  # seconds after them, in which their answers reach the network
MOST_CALLS = 10_000  # at hand at once; beyond it gRPC answers RESOURCE_EXHAUSTED


def import_tensorflow_quietly():
    """Imports TensorFlow without the notes that its native code writes to standard error before it reads any setting."""
    stderr, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        import tensorflow as tf

        # The ops alone, for the graphs that hold them: the package itself imports Keras, which a server needs not have.
        text = find_spec("tensorflow_text")
        libraries = [*Path(text.origin).parent.glob("python/*/*.so")] if text else []
        for library in libraries:
            tf.load_library(str(library))
        tf.config.list_physical_devices()  # its notes, too
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
        os.close(nowhere)
    if not libraries:
        fail("expected the package tensorflow-text (docker/requirements.txt), found none of its ops", status=1)


def check_port(port):
    """gRPC would tell it in lines of its own."""
    with socket.socket() as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a port just left is free
        try:
            trial.bind(("0.0.0.0", port))
        except OSError as error:
            fail(f"--port {port}: cannot be listened on ({error.strerror})")


def check_socket(path):
    """gRPC takes the path of a socket from whoever listens on it, and tells all else in lines of its own."""
    try:
        with socket.socket(socket.AF_UNIX) as trial:
            if Path(path).is_socket():
                if trial.connect_ex(path) != errno.ECONNREFUSED:
                    raise OSError(errno.EADDRINUSE, "a server listens there")
                Path(path).unlink()  # one that was left behind
            trial.bind(path)
            Path(path).unlink()
    except (OSError, ValueError) as error:
        fail(f"--grpc_socket_path {path}: cannot be listened on ({getattr(error, 'strerror', None) or error})")


def load(options):
    """Returns the `Models`, loaded; ends the process if one of them has no version that can be."""
    from serving.config import read_models
    from serving.versions import Models, log

    models = Models(read_models(options), intra_op_threads=options.tensorflow_intra_op_parallelism)
    models.update()
    for model in models.models.values():
        if not model.available():
            fail(f"{model.name}: no version could be loaded from {model.base_path}", status=1)
        for label, number in model.labels.items():
            if number not in model.available():
                log(f"{model.name}: label {label} is for version {number}, which is not loaded")
    return models


def start(options, models):
    """Opens the port, or the socket; returns (server, gate, health, addresses)."""
    import grpc

    from serving.gate import THREADS, Gate, Threads
    from serving.services import register

    limits = Limits(**{name: getattr(options, name) for name in Limits.__dataclass_fields__})
    gate = Gate(options.grpc_max_threads, limits.max_bytes_under_way)
    arguments = {
        "grpc.max_receive_message_length": limits.max_request_bytes,  # gRPC unpacks no more than this, either
        "grpc.max_send_message_length": -1,
        "grpc.so_reuseport": 0,  # else two servers share a port in silence
        "grpc.server.max_pending_requests": MOST_CALLS,  # from a thousand on, gRPC would cancel some by chance
        "grpc.server.max_pending_requests_hard_limit": 2 * MOST_CALLS,
        "grpc.keepalive_time_ms": 60_000,  # the calls of a client that is gone without a word are ended
    } | options.grpc_channel_arguments
    threads = Threads(gate, max(THREADS, 2 * options.grpc_max_threads))
    server = grpc.server(threads, options=list(arguments.items()), maximum_concurrent_rpcs=MOST_CALLS)
    health = register(server, models, gate, limits)
    addresses = [f"0.0.0.0:{options.port}"] if options.port else []
    addresses += [f"unix:{options.grpc_socket_path}"] if options.grpc_socket_path else []
    for address in addresses:
        try:
            server.add_insecure_port(address)
        except RuntimeError:
            fail(f"{address}: cannot be listened on")
    server.start()
    threading.Thread(target=gate.watch, name="stalled calls", daemon=True).start()
    return server, gate, health, addresses


def told_to_end():
    """Returns a pipe that a byte comes through at SIGTERM or SIGINT.

    Written to by the C code of Python's handler, in whatever thread the signal met. A handler in Python would wait for the
    main thread to wake, which no signal does that met another thread.
    """
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    return reading


def main(arguments=None):
    options = parse(arguments, __doc__)
    for number in (signal.SIGTERM, signal.SIGINT):  # until there are requests to wait for
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    if options.port:
        check_port(options.port)  # before models are loaded for minutes
    if options.grpc_socket_path:
        check_socket(options.grpc_socket_path)
    import_tensorflow_quietly()
    from serving.versions import log

    models = load(options)
    ended = told_to_end()
    _server, gate, health, addresses = start(options, models)  # held: gRPC ends one that nobody refers to
    if options.file_system_poll_wait_seconds > 0:
        models.watch(options.file_system_poll_wait_seconds)
    log(f"serving {', '.join(models.models)} at {', '.join(addresses)}")
    os.read(ended, 1)
    log("ending after the requests under way")
    models.stop()
    health.end()
    gate.close(GRACE)
    # Not `server.stop`, which answers CANCELLED to what it had not begun: the end of the connection is UNAVAILABLE.
    time.sleep(LINGER)
    if options.grpc_socket_path:
        Path(options.grpc_socket_path).unlink(missing_ok=True)
    sys.stderr.flush()
    os._exit(0)  # a version that is just being loaded, or a request past its time, holds nothing up


if __name__ == "__main__":
    main()
