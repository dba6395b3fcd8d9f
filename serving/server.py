"""`python -m serving.server`: serves SavedModels over TensorFlow Serving's gRPC and REST APIs, from Python packages alone.

Takes the flags of `tensorflow_model_server` that it has; answers the calls of its two services with its codes and texts
of errors, `grpc.health.v1` with the real state, and server reflection. The ports open when every model is loaded.
SIGTERM ends it after the requests under way; those that come later are UNAVAILABLE, which clients try elsewhere.
"""

import argparse
import errno
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from serving.flags import fail, parse
from serving.limits import Limits

if TYPE_CHECKING:  # imported in the functions, after the flags are checked
    from serving.core import Core
    from serving.gate import Gate
    from serving.health import Health
    from serving.versions import Models

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# The system's allocator: TensorFlow's pool never returns the memory of the largest requests.
os.environ.setdefault("TF_ONEDNN_USE_SYSTEM_ALLOCATOR", "1")
MAX_LINE = 1000  # characters of a model's signatures
GRACE = 30  # seconds for the requests in progress when the server is told to end
LINGER = 0.25  # seconds after them, in which their answers reach the network
PENDING = 100_000  # calls that gRPC keeps until we take them; beyond, it cancels some at random


def import_tensorflow_quietly() -> None:
    """Imports TensorFlow without the notes that its native code writes to standard error whatever its log level."""
    stderr, devnull = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(devnull, 2)
    try:
        import tensorflow as tf

        # Only TF Text's ops, for the graphs that contain them: the package imports Keras, which a server may lack.
        spec = find_spec("tensorflow_text")
        folder = Path(spec.origin).parent if spec else None  # type: ignore[arg-type]  # packages have an origin
        libraries = [*folder.glob("python/*/*.so")] if folder else []
        for library in libraries:
            tf.load_library(str(library))
        tf.config.list_physical_devices()  # writes notes, too
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
        os.close(devnull)
    if not libraries:
        fail("expected the package tensorflow-text (docker/requirements.txt), found none of its ops", status=1)


def bound(flag: str, port: int) -> socket.socket:
    """Returns a socket bound to a port; ends the process if it cannot be, in one line: gRPC would print several."""
    bound = socket.socket()
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a port in TIME_WAIT is free
    try:
        bound.bind(("0.0.0.0", port))
    except OSError as error:
        fail(f"--{flag} {port}: cannot be listened on ({error.strerror})")
    return bound


def check_socket(path: str) -> None:
    """Ends the process if the socket cannot be listened on: gRPC would take it over from another server."""
    try:
        with socket.socket(socket.AF_UNIX) as probe:
            if Path(path).is_socket():
                if probe.connect_ex(path) != errno.ECONNREFUSED:
                    raise OSError(errno.EADDRINUSE, "a server listens there")
                Path(path).unlink()  # left behind by a server that was killed
            probe.bind(path)
            Path(path).unlink()
    except (OSError, ValueError) as error:
        fail(f"--grpc_socket_path {path}: cannot be listened on ({getattr(error, 'strerror', None) or error})")


def load(options: argparse.Namespace) -> "Models":
    """Returns the models, loaded; ends the process if none of a model's versions can be loaded."""
    from serving.config import read_models
    from serving.model import log
    from serving.servable import described
    from serving.settings import disable_xla, settings_of
    from serving.versions import Models

    settings = settings_of(options)
    if not (options.xla_cpu_compilation_enabled or options.xla_gpu_compilation_enabled):
        disable_xla()
    models = Models(read_models(options), settings)
    models.update()
    for model in models.models.values():
        if not model.available():
            fail(f"{model.name}: no version could be loaded from {model.base_path}", status=1)
        newest = model.versions[max(model.available())].servable
        log(f"{model.name}: {described(newest.signatures if newest else {})[:MAX_LINE]}")
        for label, number in model.labels.items():
            if number not in model.available():
                log(f"{model.name}: label {label} is for version {number}, which is not loaded")
    return models


def follower(options: argparse.Namespace) -> Callable[["Models"], None] | None:
    """Returns a function that serves what the configuration file says whenever that has changed; None if not asked for."""
    from serving.config import Follower

    seconds = options.model_config_file_poll_wait_seconds
    if not options.model_config_file or seconds <= 0:
        return None
    file = Follower(options.model_config_file, options.allow_version_labels_for_unavailable_models)

    def run(models):
        while True:
            time.sleep(seconds)
            file.look(models)

    return run


def path_of_metrics(options: argparse.Namespace) -> str:
    """Returns where the metrics shall be; empty for nowhere. Ends the process if the configuration cannot be read."""
    if not options.monitoring_config_file:
        return ""
    from serving import metrics, protos

    try:
        prometheus = protos.read(options.monitoring_config_file, protos.MonitoringConfig).prometheus_config
    except protos.Unreadable as error:
        fail(str(error))
    if prometheus.path and not prometheus.path.startswith("/"):
        fail(f"{options.monitoring_config_file}: expected a path that begins with /, received {prometheus.path}")
    return (prometheus.path or metrics.PATH) if prometheus.enable else ""


def start(
    options: argparse.Namespace, models: "Models", rest_socket: socket.socket | None, metrics_path: str
) -> tuple["Core", "Gate", "Health", list[str]]:
    """Starts the servers; returns (that of gRPC, gate, health service, addresses they listen on)."""
    from serving import metrics
    from serving.api import methods
    from serving.core import Core
    from serving.gate import Gate
    from serving.health import Health
    from serving.services import Services

    limits = Limits(**{name: getattr(options, name) for name in Limits.__dataclass_fields__})
    gate, health = Gate(options.grpc_max_threads, limits), Health(models)
    arguments = {
        "grpc.max_receive_message_length": limits.max_request_bytes,  # after decompression, too
        "grpc.max_send_message_length": -1,
        "grpc.so_reuseport": 0,  # else two servers could share a port unnoticed
        "grpc.server.max_pending_requests": PENDING,
        "grpc.server.max_pending_requests_hard_limit": 2 * PENDING,
        "grpc.keepalive_time_ms": 60_000,  # ends the calls of clients that vanished without closing the connection
    } | options.grpc_channel_arguments
    services = Services(
        models,
        limits,
        check_methods=options.enable_signature_method_name_check,
        unavailable_labels=options.allow_version_labels_for_unavailable_models,
    )
    core = Core(gate, methods(services, health), arguments)
    addresses = [f"0.0.0.0:{options.port}"] if options.port else []
    addresses += [f"unix:{options.grpc_socket_path}"] if options.grpc_socket_path else []
    for address in addresses:
        if not core.listen(address):
            fail(f"{address}: cannot be listened on")
    metrics.watch(gate, models)
    core.start()
    if rest_socket:
        from serving.rest import Rest

        rest = Rest(
            services,
            gate,
            limits,
            seconds=options.rest_api_timeout_in_ms / 1000,
            threads=options.rest_api_num_threads,
            cors=options.rest_api_enable_cors_support,
            metrics_path=metrics_path,
        )
        rest.start(rest_socket)
        addresses.append(f"http://0.0.0.0:{options.rest_api_port}")
    threading.Thread(target=gate.watch, name="stalled requests", daemon=True).start()
    return core, gate, health, addresses


def termination_pipe() -> int:
    """Returns the read end of a pipe that receives a byte at SIGTERM or SIGINT.

    Python's C handler writes it, in whichever thread gets the signal. A handler in Python would run only when the main
    thread wakes up, which a signal to another thread does not cause.
    """
    read_end, write_end = os.pipe()
    os.set_blocking(write_end, False)
    signal.set_wakeup_fd(write_end, warn_on_full_buffer=False)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    return read_end


def main(arguments: Sequence[str] | None = None) -> None:
    """Serves until SIGTERM or SIGINT.

    Args:
        arguments: The command line; by default, that of the process.
    """
    options = parse(arguments, __doc__)
    for number in (signal.SIGTERM, signal.SIGINT):  # end at once until there are requests to wait for
        signal.signal(number, lambda number, _: os._exit(128 + number))
    if options.port:  # before the models, which can take minutes to load
        bound("port", options.port).close()
    rest_socket = bound("rest_api_port", options.rest_api_port) if options.rest_api_port else None
    metrics_path = path_of_metrics(options)
    if options.grpc_socket_path:
        check_socket(options.grpc_socket_path)
    import_tensorflow_quietly()
    from serving.model import log

    follow = follower(options)
    models = load(options)
    termination = termination_pipe()
    _core, gate, health, addresses = start(options, models, rest_socket, metrics_path)  # gRPC stops an unreferenced one
    if options.file_system_poll_wait_seconds > 0:
        models.watch(options.file_system_poll_wait_seconds)
    if follow:
        threading.Thread(target=follow, args=[models], name="configuration", daemon=True).start()
    log(f"serving {', '.join(models.models)} at {', '.join(addresses)}")
    os.read(termination, 1)
    log("ending after the requests under way")
    models.stop()
    health.end()
    gate.end(GRACE)
    # gRPC's own shutdown would answer CANCELLED to calls that it has not begun; a closed connection is UNAVAILABLE.
    time.sleep(LINGER)
    if options.grpc_socket_path:
        Path(options.grpc_socket_path).unlink(missing_ok=True)
    sys.stderr.flush()
    os._exit(0)  # without waiting for a version that is being loaded or a request that exceeds GRACE


if __name__ == "__main__":
    main()
