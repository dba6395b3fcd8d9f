"""Ports and UNIX sockets, looked at before the models are loaded, which can take minutes."""

import errno
import os
import socket
from pathlib import Path

from serving.server.configuration.flags import fail
from serving.server.console import log


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
