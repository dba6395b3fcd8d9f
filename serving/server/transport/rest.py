"""TensorFlow Serving's REST API, beside gRPC: the same models, the same gate, JSON instead of messages.

One asyncio loop in a thread of its own reads and writes (aiohttp's server); requests run in other threads. Errors are
`{"error": "..."}` with TensorFlow Serving's HTTP statuses.
"""

import asyncio
import json
import logging
import re
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.web_protocol import RequestHandler
from google.protobuf import json_format
from tensorflow_serving.apis import get_model_metadata_pb2

from serving.server.console import log
from serving.server.observation import prometheus
from serving.server.refusal import Refused, cut
from serving.server.requests.gate import Gate
from serving.server.requests.limits import Limits
from serving.server.requests.request import LARGE, TIMED_OUT
from serving.server.requests.services import Services
from serving.server.transport import json_answers, rest_paths
from serving.server.transport.rest_request import RestRequest

ORIGIN = re.compile(r"^https?://[^/?]*", re.IGNORECASE)  # of a request to a proxy
HTTP = {
    "OK": 200, "CANCELLED": 499, "INVALID_ARGUMENT": 400, "DEADLINE_EXCEEDED": 504, "NOT_FOUND": 404,
    "ALREADY_EXISTS": 409, "PERMISSION_DENIED": 403, "RESOURCE_EXHAUSTED": 429, "FAILED_PRECONDITION": 400,
    "ABORTED": 409, "OUT_OF_RANGE": 400, "UNIMPLEMENTED": 501, "UNAVAILABLE": 503, "UNAUTHENTICATED": 401,
}  # codes of gRPC -> statuses; the others are 500  # fmt: skip
CORS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Methods": "POST, GET",
    "Access-Control-Allow-Headers": "Content-Type",
}
JSON, TEXT = "application/json", "text/plain"
KEEPALIVE = 75.0  # seconds that a connection without requests is kept
SWEEP = 5.0  # seconds between two looks for connections without requests
MAX_SILENT = 1000  # connections that have not sent a request; if there are more, the oldest are closed


class _Lines(logging.Handler):
    """What aiohttp says of defects, a line each; of malformed requests, which their clients are told of, nothing."""

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        if not isinstance(error, HttpProcessingError):
            log(f"{record.getMessage()}{f': {type(error).__name__}: {error}' if error else ''}")


LOGGER = logging.Logger("serving.rest", logging.WARNING)
LOGGER.addHandler(_Lines())


class _TooLarge(Refused):
    """A body larger than the limit: trying again does not help, so it is no 429."""


class Rest:
    """The HTTP server.

    Args:
        services: What answers.
        gate: Admits the requests.
        limits: Of one request.
        seconds: For one request whose body has come.
        threads: Requests that run at once, at most.
        cors: Whether pages of other origins may ask.
        metrics_path: Where the metrics are; empty for nowhere.
        page: Returns them.
    """

    def __init__(
        self,
        services: Services,
        gate: Gate,
        limits: Limits,
        *,
        seconds: float,
        threads: int,
        cors: bool = False,
        metrics_path: str = "",
        page: Callable[[], bytes] = prometheus.page,
    ) -> None:
        self._services, self._gate, self._limits = services, gate, limits
        self._seconds, self._headers, self._metrics_path = seconds, CORS if cors else {}, metrics_path
        self._page = page
        self._places = asyncio.Semaphore(threads)
        self._threads = ThreadPoolExecutor(gate.max_running, "rest")  # each that the gate lets run finds one
        self._silent: dict[RequestHandler, float] = {}  # connections without a request yet: since when
        self._work = {
            "predict": services.predict_json, "classify": services.classify_json, "regress": services.regress_json,
            "metadata": self._metadata,
        }  # fmt: skip

    def start(self, listening: socket.socket) -> None:
        """Serves on a socket until the process ends."""
        started = threading.Event()

        async def serve():
            server = web.Server(
                self._handle,
                access_log=None,
                logger=LOGGER,
                keepalive_timeout=KEEPALIVE,
                handler_cancellation=True,
                lingering_time=2,
            )
            loop = asyncio.get_running_loop()
            await loop.create_server(lambda: self._connected(server()), sock=listening, backlog=1024)
            started.set()
            while True:
                await asyncio.sleep(SWEEP)
                self._close_silent()

        threading.Thread(target=lambda: asyncio.run(serve()), name="REST", daemon=True).start()
        started.wait()

    def _connected(self, connection):
        self._silent[connection] = time.monotonic()
        return connection

    def _close_silent(self):
        """Forgets connections that have gone, and closes the oldest silent ones if there are too many."""
        for connection in [connection for connection in self._silent if connection.transport is None]:
            if time.monotonic() - self._silent[connection] > 1:  # else it is about to be connected
                del self._silent[connection]
        for connection in list(self._silent)[: max(len(self._silent) - MAX_SILENT, 0)]:
            del self._silent[connection]
            connection.force_close()

    async def _handle(self, request):
        """Answers one HTTP request."""
        self._silent.pop(request.protocol, None)
        path = ORIGIN.sub("", request.raw_path).partition("?")[0]
        if self._metrics_path and path == self._metrics_path:
            page = await asyncio.to_thread(self._page)
            return await _write(request, 200, page, {"Content-Type": TEXT})
        if not path.lower().startswith("/v1/"):
            return await self._reply(request, 404, json_answers.error(f"Not found: {path}"))
        if request.method == "OPTIONS":
            if re.search("https?://", request.headers.get("Origin", "")):
                return await self._reply(request, 200, b"")
            return await self._reply(request, 400, json_answers.error("Origin header is missing in CORS preflight"))
        peer = request.transport.get_extra_info("peername")
        call = RestRequest(self._gate, asyncio.get_running_loop(), request.transport.abort, peer)
        code = "CANCELLED"  # unless it is answered
        try:
            status, code, body = await self._outcome(request, path, call)
            call.answer_bytes = len(body)
            return await self._reply(request, status, body)
        finally:
            self._gate.drop(call)  # if its client has gone, or it was given up
            if not call.entered:
                call.release()
            call.ended(code)
            if call.opened_gate:
                self._gate.close(call)

    async def _outcome(self, request, path, call):
        """Returns (HTTP status, code, body)."""
        try:
            call.api, spec = rest_paths.parse(request.method, path)
            call.model = spec.name
            work = self._work.get(call.api)
            self._gate.open(call, always=not work)
            call.opened_gate = True
            await self._read(request, call)
            if work:
                call.answer = lambda call: work(call, spec)
                code, body = await self._run(call)
            else:
                call.answer = lambda call: _json(self._services.status_of(spec))
                code, body = call.outcome(partial(call.answer, call))
            return HTTP.get(code, 500), code, body
        except Refused as refusal:
            status = 413 if isinstance(refusal, _TooLarge) else HTTP.get(refusal.code, 500)
            return status, refusal.code, json_answers.error(cut(refusal.message))
        except (HttpProcessingError, web.RequestPayloadError) as error:
            return 400, "INVALID_ARGUMENT", json_answers.error(cut(f"malformed body: {error}"))

    async def _read(self, request, call):
        """Reads the body of a request; memory is reserved while it comes."""
        most = self._limits.max_request_bytes
        size = request.content_length or 0
        if size <= most and request.headers.get("Expect", "").lower() == "100-continue":
            await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            request.writer.output_size = 0
        parts, reserved = [], 0
        if size <= most:
            size = 0
            async for part in request.content.iter_any():
                size += len(part)
                if size > most:
                    break
                parts.append(part)
                if size - reserved > LARGE:
                    call.reserve(size - reserved)
                    reserved = size
        if size > most:
            text = f"expected a body of at most {most} bytes (--max_request_bytes), received {size} or more"
            raise _TooLarge("RESOURCE_EXHAUSTED", text)
        self._gate.received(call)
        call.arrived(b"".join(parts))
        call.deadline = time.time() + self._seconds

    async def _run(self, call):
        """Runs a request in another thread, now or when there is a place; returns (code, body)."""
        try:
            async with asyncio.timeout(self._seconds), self._places:
                call.entered = True
                if self._gate.enter(call):
                    self._threads.submit(self._gate.work, call)
                return await call.result
        except TimeoutError:  # it may still run, but nobody waits for it
            code, message = TIMED_OUT
            return code, json_answers.error(message)

    def _metadata(self, call, spec):
        response = self._services.metadata_of(spec)
        signatures = get_model_metadata_pb2.SignatureDefMap()
        response.metadata["signature_def"].Unpack(signatures)
        metadata = {"signature_def": _dict(signatures)}
        return json.dumps({"model_spec": _dict(response.model_spec), "metadata": metadata}, indent=1).encode()

    async def _reply(self, request, status, body):
        return await _write(request, status, body, {"Content-Type": JSON} | self._headers)


async def _write(request, status, body, headers):
    """Sends an answer, and returns it when it was sent."""
    response = web.Response(status=status, body=body, headers=headers)
    if status in (413, 503):
        response.force_close()
    await response.prepare(request)
    await response.write_eof()
    return response


def _dict(message):
    return json_format.MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )


def _json(message):
    return json.dumps(_dict(message), indent=1).encode()
