"""How a client reaches its server: TLS, and what is tried again."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc

from serving.pem import Wrong, check_certificates, check_key
from trainer.errors import Mistake

RETRIES = 4  # after the first attempt; more gRPC does not make
UNLIMITED = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
RETRIED_BYTES = 2**30  # of a request; by default, gRPC does not repeat those above 256 KiB


@dataclass(frozen=True)
class Tls:
    """TLS of a connection; all are files in PEM.

    Args:
        ca: Certificates of the authorities that may have signed the server's; empty: those that gRPC knows.
        key, cert: The client's own, for a server that asks for them.
        name: What the server's certificate must be for; empty: the host that is asked, localhost for a UNIX socket.
    """

    ca: str | Path = ""
    key: str | Path = ""
    cert: str | Path = ""
    name: str = ""

    def credentials(self) -> grpc.ChannelCredentials:
        """Returns gRPC's; raises `Mistake` if a file is wrong."""
        if bool(self.key) != bool(self.cert):
            raise Mistake(f"TLS: expected the client's key and certificate, received only {self.key or self.cert}")
        ca, key, cert = (_read(path) for path in (self.ca, self.key, self.cert))
        try:
            if ca is not None:
                check_certificates(str(self.ca), ca.decode(errors="replace"))
            if key is not None and cert is not None:
                check_certificates(str(self.cert), cert.decode(errors="replace"))
                check_key(str(self.key), key.decode(errors="replace"), cert.decode(errors="replace"))
        except Wrong as error:
            raise Mistake(str(error)) from None
        return grpc.ssl_channel_credentials(ca, key, cert)


def _read(path):
    """Returns the content of a file; None if there is none to read."""
    if not path:
        return None
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise Mistake(f"{path}: cannot be read ({error.strerror})") from None


def channel(library: Any, server: str, retries: int, tls: Tls | None) -> Any:
    """Returns a channel.

    Args:
        library: `grpc` or `grpc.aio`.
        server, retries, tls: As for `Client`.

    Raises:
        Mistake: A file of `tls` is wrong.
    """
    if tls is None:
        return library.insecure_channel(server, options=options(retries))
    name = tls.name or ("localhost" if server.startswith("unix:") else "")
    named = [("grpc.ssl_target_name_override", name)] if name else []
    return library.secure_channel(server, tls.credentials(), options=[*options(retries), *named])


def options(retries: int) -> list[tuple[str, int | str]]:
    """Returns gRPC's options of a channel that tries a call so many times again.

    It does so while the server is UNAVAILABLE (not reached, ending, full), after 0.1, 0.2, 0.4 ... seconds, a fifth more
    or less, within the call's deadline. No other status: the same request would get the same answer, and
    RESOURCE_EXHAUSTED is mostly one that is too large.
    """
    if not retries:
        return [*UNLIMITED, ("grpc.enable_retries", 0)]
    policy = {
        "maxAttempts": retries + 1,
        "initialBackoff": "0.1s",
        "maxBackoff": "2s",
        "backoffMultiplier": 2,
        "retryableStatusCodes": ["UNAVAILABLE"],
    }
    config = json.dumps({"methodConfig": [{"name": [{}], "retryPolicy": policy}]})
    return [*UNLIMITED, ("grpc.service_config", config), ("grpc.per_rpc_retry_buffer_size", RETRIED_BYTES)]
