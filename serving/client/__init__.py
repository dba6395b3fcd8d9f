"""Asks a server that speaks TensorFlow Serving's gRPC API, without TensorFlow; `python -m serving.client` is the command."""

from serving.client.calls import Unexpected, VersionStatus
from serving.client.clients import AsyncClient, Client
from serving.client.connection import Tls

__all__ = ["AsyncClient", "Client", "Tls", "Unexpected", "VersionStatus"]
