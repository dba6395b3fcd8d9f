"""The parts of a server, made of its flags; a mistake in them ends the process with one line."""

import argparse
import socket
import threading
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

from serving.server.configuration.flags import CORES, fail
from serving.server.configuration.follow import Config, Follower
from serving.server.console import log
from serving.server.requests.limits import Limits

if TYPE_CHECKING:  # imported in the functions, after the flags are checked
    from serving.server.models.versions import Models
    from serving.server.observation.request_log import RequestLog
    from serving.server.requests.gate import Gate
    from serving.server.transport.core import Core
    from serving.server.transport.health import Health
    from serving.server.workers.link import Link


MAX_LINE = 1000  # characters of a model's signatures
PENDING = 100_000  # calls that gRPC keeps until we take them; beyond, it cancels some at random


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
    from serving.server.observation import metrics, prometheus
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
            page=(lambda: prometheus.joined(link.gather())) if link else prometheus.page,
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
