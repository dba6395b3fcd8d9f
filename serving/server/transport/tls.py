"""TLS of the gRPC port: what `--ssl_config_file` says."""

from typing import Any

from grpc._cython import cygrpc

from serving.pem import Wrong, check_certificates, check_key
from serving.server.configuration.protos import SSLConfig, Unreadable, read


def credentials(path: str) -> Any:
    """Returns gRPC's server credentials for a text `tensorflow.serving.SSLConfig`; with `client_verify`, clients need a
    certificate that `custom_ca` has signed.

    Raises:
        Wrong: The file cannot be read, or its key and certificates are none, or do not fit.
    """
    try:
        config = read(path, SSLConfig)
    except Unreadable as error:
        raise Wrong(str(error)) from None
    for field in ("server_key", "server_cert"):
        if not getattr(config, field):
            raise Wrong(f"{path}: expected {field}, found none")
    if config.client_verify and not config.custom_ca:
        raise Wrong(f"{path}: expected custom_ca, whose clients client_verify lets in, found none")
    check_certificates(f"{path}: server_cert", config.server_cert)
    if config.custom_ca:
        check_certificates(f"{path}: custom_ca", config.custom_ca)
    check_key(f"{path}: server_key", config.server_key, config.server_cert)
    pair = cygrpc.SslPemKeyCertPair(config.server_key.encode(), config.server_cert.encode())
    return cygrpc.server_credentials_ssl(config.custom_ca.encode() or None, [pair], config.client_verify)
