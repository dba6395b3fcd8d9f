"""`python -m serving.server`: serves SavedModels over TensorFlow Serving's gRPC and REST APIs, from Python packages alone.

Takes the flags of `tensorflow_model_server` that it has; answers the calls of its two services with its codes and texts
of errors, `grpc.health.v1` with the real state, and server reflection. The ports open when every model is loaded.
SIGTERM ends it after the requests under way; those that come later are UNAVAILABLE, which clients try elsewhere.
"""

import argparse
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from serving.server import console, memory
from serving.server.assembly import (
    credentials_of,
    follow,
    follower,
    load,
    path_of_metrics,
    reloading,
    request_log,
    start,
)
from serving.server.configuration.flags import fail, parse
from serving.server.console import log
from serving.server.quiet import import_tensorflow_quietly
from serving.server.sockets import bound, check_socket, identity

if TYPE_CHECKING:  # imported in the functions, after the flags are checked
    from serving.server.observation.request_log import RequestLog
    from serving.server.workers.link import Link


ENDING, REOPENING = (signal.SIGTERM, signal.SIGINT), (signal.SIGHUP,)
GRACE = 30  # seconds for the requests in progress when the server is told to end
LINGER = 0.25  # seconds after them, in which their answers reach the network


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
        console.source = f"worker {link.number}: "
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
        from serving.server.observation import prometheus

        link.follow(reload, prometheus.page)
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
