"""A connection to one server, for threads and for asyncio."""

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self

import grpc
import numpy as np
from numpy.typing import ArrayLike

from serving.client import calls
from serving.client.calls import VersionStatus
from serving.client.connection import RETRIES, Tls, channel
from trainer.tasks.table import TASKS, requests


class Client:
    """A connection to one server, safe to share between threads.

    Args:
        server: `host:port`, or `unix:PATH`.
        timeout: Seconds for one call, all its attempts together; each method takes another.
        retries: Attempts after the first while the server is UNAVAILABLE, 0 to 4, see `connection.options`.
        tls: How to speak TLS; None: not at all.

    Raises:
        Mistake: A file of `tls` is wrong.
        grpc.RpcError: Each call: the server refuses it, is unavailable, or the time is over.
    """

    def __init__(
        self,
        server: str = "localhost:8500",
        *,
        timeout: float = 30.0,
        retries: int = RETRIES,
        tls: Tls | None = None,
    ) -> None:
        self.timeout = timeout
        self.channel: grpc.Channel = channel(grpc, server, retries, tls)
        self._calls = _calls(self.channel)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes the connection; calls under way are cancelled."""
        self.channel.close()

    def _ask(self, call, request, timeout):
        return self._calls[call](request, timeout=self.timeout if timeout is None else timeout)

    def predict(
        self,
        model: str,
        inputs: Mapping[str, ArrayLike],
        *,
        signature: str = "",
        version: int | None = None,
        label: str = "",
        timeout: float | None = None,
    ) -> dict[str, np.ndarray]:
        """Returns the outputs {name: array} of `model` for `inputs` {name: array}; strings as bytes.

        Args:
            model: Its name on the server.
            inputs: The signature's.
            signature: By default, `serving_default`.
            version: By default, the newest.
            label: Of the version, instead of its number.
            timeout: Seconds, if not the client's.

        Raises:
            Unexpected: An output is not a valid tensor.
        """
        request = calls.predict_request(model, inputs, signature, version, label)
        return calls.outputs_of(self._ask("predict", request, timeout))

    def answer(
        self,
        task: str,
        rows: Sequence[Mapping[str, Any]],
        *,
        model: str | None = None,
        signature: str | None = None,
        timeout: float | None = None,
    ) -> list[dict[str, Any]]:
        """Returns a dict for each row: its fields and its answer.

        Args:
            task: Name of a task, as `sentiment`.
            rows: Dicts with the fields of one of the task's inputs.
            model: Name of the model on the server; by default, the task's.
            signature: One of the task's `more`, as `nbest`.
            timeout: Seconds for each of its calls (one for the rows of each of the task's inputs), if not the client's.

        Raises:
            KeyError: The model lacks an output of the task.
            Mistake: A row has the fields of none of the task's inputs.
            Unexpected: The outputs do not answer the request.
        """
        answered = []
        for name, inputs, batch in requests(TASKS[task], rows, len(rows), signature):
            outputs = self.predict(model or task, inputs, signature=name, timeout=timeout)
            answered += calls.answers_of(TASKS[task], task, batch, outputs)
        return answered

    def status(self, model: str, version: int | None = None, *, timeout: float | None = None) -> list[VersionStatus]:
        """Returns the state of each version of a model, newest first; or of that version."""
        return calls.statuses_of(self._ask("status", calls.status_request(model, version), timeout))

    def metadata(
        self, model: str, version: int | None = None, *, label: str = "", timeout: float | None = None
    ) -> dict[str, Any]:
        """Returns the signatures of a model: {"model": its name, "version": number, "signatures": {name: {"method": ...,
        "inputs": {name: [type, shape]}, "outputs": {name: [type, shape]}}}}; -1 is a size that may be any, a shape of
        None is any.

        Raises:
            Unexpected: The response has no signatures.
        """
        return calls.metadata_of(self._ask("metadata", calls.metadata_request(model, version, label), timeout))

    def reload(self, config: str, *, timeout: float | None = None) -> list[str]:
        """Makes a text `tensorflow.serving.ModelServerConfig` the server's, in place of the one it has; returns its models.

        Raises:
            Mistake: The text is none.
            Unexpected: The server could not take it over.
        """
        request = calls.reload_request(config)
        calls.check_reloaded(self._ask("reload", request, timeout))
        return calls.names_of(request)


class AsyncClient:
    """As `Client`, for asyncio: its methods are awaited. Made where an event loop runs.

    Args:
        server, timeout, retries, tls: As for `Client`.
    """

    def __init__(
        self,
        server: str = "localhost:8500",
        *,
        timeout: float = 30.0,
        retries: int = RETRIES,
        tls: Tls | None = None,
    ) -> None:
        self.timeout = timeout
        self.channel: grpc.aio.Channel = channel(grpc.aio, server, retries, tls)
        self._calls = _calls(self.channel)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Closes the connection; calls under way are cancelled."""
        await self.channel.close()

    async def _ask(self, call, request, timeout):
        return await self._calls[call](request, timeout=self.timeout if timeout is None else timeout)

    async def predict(
        self,
        model: str,
        inputs: Mapping[str, ArrayLike],
        *,
        signature: str = "",
        version: int | None = None,
        label: str = "",
        timeout: float | None = None,
    ) -> dict[str, np.ndarray]:
        """As `Client.predict`."""
        request = calls.predict_request(model, inputs, signature, version, label)
        return calls.outputs_of(await self._ask("predict", request, timeout))

    async def answer(
        self,
        task: str,
        rows: Sequence[Mapping[str, Any]],
        *,
        model: str | None = None,
        signature: str | None = None,
        timeout: float | None = None,
    ) -> list[dict[str, Any]]:
        """As `Client.answer`."""
        answered = []
        for name, inputs, batch in requests(TASKS[task], rows, len(rows), signature):
            outputs = await self.predict(model or task, inputs, signature=name, timeout=timeout)
            answered += calls.answers_of(TASKS[task], task, batch, outputs)
        return answered

    async def status(
        self, model: str, version: int | None = None, *, timeout: float | None = None
    ) -> list[VersionStatus]:
        """As `Client.status`."""
        return calls.statuses_of(await self._ask("status", calls.status_request(model, version), timeout))

    async def metadata(
        self, model: str, version: int | None = None, *, label: str = "", timeout: float | None = None
    ) -> dict[str, Any]:
        """As `Client.metadata`."""
        return calls.metadata_of(await self._ask("metadata", calls.metadata_request(model, version, label), timeout))

    async def reload(self, config: str, *, timeout: float | None = None) -> list[str]:
        """As `Client.reload`."""
        request = calls.reload_request(config)
        calls.check_reloaded(await self._ask("reload", request, timeout))
        return calls.names_of(request)


def _calls(channel):
    """Returns {method of a client: gRPC's callable}."""
    return {
        name: channel.unary_unary(
            path, request_serializer=lambda request: request.SerializeToString(), response_deserializer=kind.FromString
        )
        for name, (path, kind) in calls.METHODS.items()
    }
