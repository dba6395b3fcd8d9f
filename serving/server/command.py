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
from collections.abc import Callable, Iterable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from serving.server import memory
from serving.server.configuration.flags import CORES, fail, parse
from serving.server.configuration.follow import Config, Follower
from serving.server.models import model
from serving.server.models.model import log
from serving.server.requests.limits import Limits

if TYPE_CHECKING:  # imported in the functions, after the flags are checked
    from serving.server.models.versions import Models
    from serving.server.observation.request_log import RequestLog
    from serving.server.requests.gate import Gate
    from serving.server.transport.core import Core
    from serving.server.transport.health import Health
    from serving.server.workers.supervisor import Link

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# The system's allocator: TensorFlow's pool never returns the memory of the largest requests.
os.environ.setdefault("TF_ONEDNN_USE_SYSTEM_ALLOCATOR", "1")
ENDING, REOPENING = (signal.SIGTERM, signal.SIGINT), (signal.SIGHUP,)
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
    """Ends the process if a socket cannot be listened on; that of a running server is taken over, when the models are loaded."""
    try:
        with socket.socket(socket.AF_UNIX) as probe:
            if Path(path).is_socket():
                if probe.connect_ex(path) != errno.ECONNREFUSED:
                    log(f"--grpc_socket_path {path}: a server listens there; taken over when the models are loaded")
                    return
                Path(path).unlink()  # left behind by a server that was killed
            probe.bind(path)
            Path(path).unlink()
    except (OSError, ValueError) as error:
        fail(f"--grpc_socket_path {path}: cannot be listened on ({getattr(error, 'strerror', None) or error})")


def identity(path: str) -> tuple[int, int] | None:
    """Returns what tells a file from another of the same path; None if there is none."""
    try:
        stat = os.stat(path)
    except OSError:
        return None
    return stat.st_dev, stat.st_ino


def load(options: argparse.Namespace, config: Config | None = None) -> "Models":
    """Returns the models of the options, or of a later configuration, loaded; ends the process if one has no version."""
    from serving.server.configuration.model_config import read_models
    from serving.server.configuration.settings import disable_xla, settings_of
    from serving.server.models.servable import described
    from serving.server.models.versions import Models

    if options.workers > 1 and not options.tensorflow_session_parallelism:  # each has threads of its own
        options.tensorflow_intra_op_parallelism = options.tensorflow_intra_op_parallelism or max(
            1, CORES // options.workers
        )
    settings = settings_of(options)
    if not (options.xla_cpu_compilation_enabled or options.xla_gpu_compilation_enabled):
        disable_xla()
    models = Models(read_models(options, config), settings)
    models.update()
    for one in models.models.values():
        if not one.available():
            fail(f"{one.name}: no version could be loaded from {one.base_path}", status=1)
        newest = one.versions[max(one.available())].servable
        log(f"{one.name}: {described(newest.signatures if newest else {})[:MAX_LINE]}")
        for label, number in one.labels.items():
            if number not in one.available():
                log(f"{one.name}: label {label} is for version {number}, which is not loaded")
    return models


def reloading(options: argparse.Namespace, models: "Models") -> Callable[..., None]:
    """Returns a function that serves a configuration from now on; raises `Refused`.

    Its arguments are the configuration, and one to call when its models are loaded, see `Models.reload`.
    """
    from serving.server.configuration.model_config import models_in

    def reload(config, agree=lambda: None):
        models.reload(
            models_in(config, options.model_config_file),
            unavailable_labels=options.allow_version_labels_for_unavailable_models,
            agree=agree,
        )

    return reload


def follower(options: argparse.Namespace) -> Follower | None:
    """Returns what says when --model_config_file has changed; None if not asked for."""
    asked = options.model_config_file and options.model_config_file_poll_wait_seconds > 0
    return Follower(options.model_config_file) if asked else None


def follow(file: Follower, seconds: float, reload: Callable[..., None]) -> NoReturn:
    """Serves what the file says whenever that has changed."""
    while True:
        time.sleep(seconds)
        file.look(reload)


def path_of_metrics(options: argparse.Namespace) -> str:
    """Returns where the metrics shall be; empty for nowhere. Ends the process if the configuration cannot be read."""
    if not options.monitoring_config_file:
        return ""
    from serving.server.configuration import protos
    from serving.server.observation import metrics

    try:
        prometheus = protos.read(options.monitoring_config_file, protos.MonitoringConfig).prometheus_config
    except protos.Unreadable as error:
        fail(str(error))
    if prometheus.path and not prometheus.path.startswith("/"):
        fail(f"{options.monitoring_config_file}: expected a path that begins with /, received {prometheus.path}")
    return (prometheus.path or metrics.PATH) if prometheus.enable else ""


def credentials_of(options: argparse.Namespace) -> Any:
    """Returns gRPC's server credentials, None without TLS; ends the process with one line if the file is wrong."""
    from serving.pem import Wrong
    from serving.server.transport.tls import credentials

    try:
        return credentials(options.ssl_config_file) if options.ssl_config_file else None
    except Wrong as error:
        fail(f"--ssl_config_file: {error}")


def start(
    options: argparse.Namespace,
    models: "Models",
    reload: Callable[[Config], None],
    credentials: Any,
    rest_socket: socket.socket | None,
    metrics_path: str,
    observers: Sequence[Any],
    link: "Link | None",
) -> tuple["Core", "Gate", "Health", list[str]]:
    """Starts the servers; returns (that of gRPC, gate, health service, addresses they listen on).

    Args:
        options: The flags.
        models: The served models.
        reload: Serves a configuration from now on; raises `Refused`.
        credentials: gRPC's, of the server; None without TLS.
        rest_socket: Bound, for REST; None without.
        metrics_path: Where the metrics are on it; empty: nowhere.
        observers: Logs of the requests.
        link: To the supervisor, if this is one of several workers.
    """
    from serving.server.observation import metrics
    from serving.server.observation.profiler import Profiler
    from serving.server.requests.gate import Gate
    from serving.server.requests.services import Services
    from serving.server.transport.api import methods
    from serving.server.transport.core import Core
    from serving.server.transport.health import Health

    limits = Limits(**{name: getattr(options, name) for name in Limits.__dataclass_fields__})
    gate, health = Gate(options.grpc_max_threads, limits), Health(models)
    arguments = {
        "grpc.max_receive_message_length": limits.max_request_bytes,  # after decompression, too
        "grpc.max_send_message_length": -1,
        "grpc.so_reuseport": int(options.workers > 1),  # else two servers could share a port unnoticed
        "grpc.server.max_pending_requests": PENDING,
        "grpc.server.max_pending_requests_hard_limit": 2 * PENDING,
        "grpc.keepalive_time_ms": 60_000,  # ends the calls of clients that vanished without closing the connection
    } | options.grpc_channel_arguments
    services = Services(
        models,
        limits,
        reload,
        check_methods=options.enable_signature_method_name_check,
        as_content=options.enable_serialization_as_tensor_content,
    )
    profiler = Profiler() if options.enable_profiler else None
    core = Core(gate, methods(services, health, profiler), arguments)
    addresses = [f"0.0.0.0:{options.port}"] if options.port else []
    addresses += [f"unix:{options.grpc_socket_path}"] if options.grpc_socket_path else []
    for address in addresses:
        if not core.listen(address, credentials):
            fail(f"{address}: cannot be listened on")
    metrics.watch(gate, models)
    gate.observers += observers
    gate.keep = lambda: any(observer.wanted() for observer in observers)
    core.start()
    if rest_socket:
        from serving.server.transport.rest import Rest

        rest = Rest(
            services,
            gate,
            limits,
            seconds=options.rest_api_timeout_in_ms / 1000,
            threads=options.rest_api_num_threads,
            cors=options.rest_api_enable_cors_support,
            metrics_path=metrics_path,
            page=(lambda: metrics.joined(link.gather())) if link else metrics.page,
        )
        rest.start(rest_socket)
        addresses.append(f"http://0.0.0.0:{options.rest_api_port}")
    threading.Thread(target=gate.watch, name="stalled requests", daemon=True).start()
    return core, gate, health, addresses


def request_log(options: argparse.Namespace) -> "RequestLog | None":
    """Returns the request log, None if not asked for; ends the process with one line if it cannot be opened."""
    from serving.server.observation.request_log import RequestLog

    try:
        return RequestLog(options.request_log, options.request_log_sampling, options.request_log_inputs)
    except OSError as error:
        fail(f"--request_log {options.request_log}: cannot be opened ({error.strerror})")


def signal_pipe() -> int:
    """Returns the read end of a pipe that receives the number of each signal that Python handles, a byte.

    Python's C handler writes it, in whichever thread gets the signal. A handler in Python would run only when the main
    thread wakes up, which a signal to another thread does not cause.
    """
    read_end, write_end = os.pipe()
    os.set_blocking(write_end, False)
    signal.set_wakeup_fd(write_end, warn_on_full_buffer=False)
    return read_end


def only_note(numbers: Iterable[int]) -> None:
    """Lets these signals do nothing but reach the pipe."""
    for number in numbers:
        signal.signal(number, lambda *_: None)


def main(arguments: Sequence[str] | None = None) -> None:
    """Serves until SIGTERM or SIGINT.

    Args:
        arguments: The command line; by default, that of the process.
    """
    options = parse(arguments, __doc__)
    for number in (signal.SIGTERM, signal.SIGINT):  # end at once until there are requests to wait for
        signal.signal(number, lambda number, _: os._exit(128 + number))
    if options.request_log:  # which is not open yet
        for number in REOPENING:
            signal.signal(number, signal.SIG_IGN)
    if options.port:  # before the models, which can take minutes to load
        bound("port", options.port).close()
    rest_socket = bound("rest_api_port", options.rest_api_port) if options.rest_api_port else None
    if options.grpc_socket_path:
        check_socket(options.grpc_socket_path)
    if options.workers > 1:
        sys.exit(supervise(options, rest_socket))
    serve(options, rest_socket)


def supervise(options: argparse.Namespace, rest_socket: socket.socket | None) -> int:
    """Serves with several processes, which accept connections of one socket for REST; returns the exit status."""
    from serving.server.workers.supervisor import Supervisor, reserve

    try:
        _held = reserve(options.port)  # other servers find it taken while the workers load
    except OSError as error:
        fail(f"--port {options.port}: cannot be listened on ({error.strerror})")
    return Supervisor(
        options.workers,
        lambda link: serve(options, rest_socket, link),
        grace=GRACE + 15,
        follower=follower(options),
        seconds=options.model_config_file_poll_wait_seconds,
        forwarded=REOPENING if options.request_log else (),
    ).run()


def serve(options: argparse.Namespace, rest_socket: socket.socket | None, link: "Link | None" = None) -> NoReturn:
    """Serves until SIGTERM or SIGINT, then ends the process.

    Args:
        options: The flags.
        rest_socket: Bound, for REST; None without.
        link: To the supervisor, if this is one of several workers.
    """
    if link:
        model.source = f"worker {link.number}: "
        if link.number:  # a path has one listener
            options.grpc_socket_path = ""
        elif options.grpc_socket_path:
            check_socket(options.grpc_socket_path)
    import_tensorflow_quietly()
    from serving.server.observation.prediction_log import PredictionLog

    memory.set_aside()
    credentials, metrics_path = credentials_of(options), path_of_metrics(options)
    requests, signals = request_log(options) if options.request_log else None, signal_pipe()
    if requests:
        only_note(REOPENING)  # also while models are loaded, which can take minutes
    file = None if link else follower(options)
    models = load(options, link.config if link else None)
    logs: list[RequestLog | PredictionLog] = [PredictionLog(models), *([requests] if requests else [])]
    only_note(ENDING)
    reload = reloading(options, models)
    # gRPC stops a server that is not referenced
    _core, gate, health, addresses = start(
        options, models, link.reload if link else reload, credentials, rest_socket, metrics_path, logs, link
    )
    listening = identity(options.grpc_socket_path) if options.grpc_socket_path else None
    if options.file_system_poll_wait_seconds > 0:
        models.watch(options.file_system_poll_wait_seconds)
    if file:
        arguments = (file, options.model_config_file_poll_wait_seconds, reload)
        threading.Thread(target=follow, args=arguments, name="configuration", daemon=True).start()
    line = f"serving {', '.join(models.models)} at {', '.join(addresses)}"
    if link:
        from serving.server.observation import metrics

        link.follow(reload, metrics.page)
        link.ready(line)
    else:
        log(line)
    while os.read(signals, 1)[0] not in ENDING:
        if requests:
            requests.reopen()
    log("ending after the requests under way")
    models.stop()
    health.end()
    gate.end(GRACE)
    # gRPC's own shutdown would answer CANCELLED to calls that it has not begun; a closed connection is UNAVAILABLE.
    time.sleep(LINGER)
    for each in logs:
        each.end(LINGER)
    if listening and identity(options.grpc_socket_path) == listening:  # not that of a server that has taken it over
        Path(options.grpc_socket_path).unlink(missing_ok=True)
    sys.stderr.flush()
    os._exit(0)  # without waiting for a version that is being loaded or a request that exceeds GRACE
