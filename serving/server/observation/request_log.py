"""A line of JSON for each request that has ended, written in a thread of its own: a slow disk loses lines, and delays nobody.

The inputs of requests are not in it unless asked for.
"""

import json
import math
import os
import random
import threading
import time
from pathlib import Path
from typing import Any

from google.protobuf import json_format
from google.protobuf.message import DecodeError
from tensorflow_serving.apis import classification_pb2, inference_pb2, predict_pb2, regression_pb2

from serving import tensors
from serving.server.console import log
from serving.server.observation import prometheus
from serving.server.observation.background import Background
from serving.server.refusal import cut
from serving.server.requests.request import Request

WAITING = 10_000  # lines that may wait for the disk
WAITING_BYTES = 16 * 2**20  # of inputs that may
MAX_INPUTS = 2**16  # bytes of a request's message whose inputs are written
INPUTS = {
    "Classify": classification_pb2.ClassificationRequest,
    "Regress": regression_pb2.RegressionRequest,
    "MultiInference": inference_pb2.MultiInferenceRequest,
}
MAX_VALUES = 2**20  # bytes that a tensor takes whose values are written
PROBES = ("Check", "List", "Watch", "ServerReflectionInfo")  # of health and reflection: no requests of users
DROPPED = prometheus.Counter(
    "lineage_request_log_dropped_total", "Lines of the request log that the disk was too slow for."
)


class RequestLog:
    """The file, and the thread that writes it; called with each request that has ended.

    Args:
        path: It is added to.
        sampling: Part of the requests that are written, 0 to 1.
        inputs: Whether their inputs are, too.

    Raises:
        OSError: The file cannot be opened.
    """

    def __init__(self, path: str | Path, sampling: float = 1.0, inputs: bool = False) -> None:
        self._path, self._sampling, self.inputs = path, sampling, inputs
        self._file = self._open()
        self._dropped = 0  # since the last line that says so
        self._torn = self._failing = self._reopen = False
        self._lock = threading.Lock()
        self._background = Background("request log", self._write_all, most=WAITING, most_bytes=WAITING_BYTES)
        self.end = self._background.end

    def __call__(self, request: Request, code: str, seconds: float) -> None:
        """Notes a request that has ended; never waits for the disk."""
        if request.api in PROBES or random.random() >= self._sampling:
            return
        row = {
            "time": time.time() - seconds,
            "transport": request.entrypoint,
            "peer": request.peer(),
            "method": request.api,
            "model": cut(request.model),
            "version": request.version,
            "signature": cut(request.signature),
            "status": code,
            "ms": round(1000 * seconds, 3),
            "request_bytes": request.message_bytes,
            "response_bytes": request.answer_bytes,
        }
        message = request.kept if self.inputs else None
        if message is not None and len(message) > MAX_INPUTS:
            message = None
        if not self._background.put((row, message), len(message or b"")):
            with self._lock:
                self._dropped += 1
            DROPPED.add(1)

    def wanted(self) -> bool:
        """Returns whether it needs the messages of requests."""
        return self.inputs

    def reopen(self) -> None:
        """Opens the file anew, after it was renamed."""
        self._reopen = True
        self._background.wake()

    def _open(self):
        return os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)

    def _write_all(self, rows):
        with self._lock:
            dropped, self._dropped = self._dropped, 0
        if self._reopen:
            self._reopen = False
            self._open_anew()
        if rows or dropped:
            self._write(rows, dropped)

    def _open_anew(self):
        try:
            file = self._open()
        except OSError as error:
            return log(f"--request_log {self._path}: cannot be opened anew ({error.strerror}); the file before is kept")
        os.close(self._file)
        self._file, self._torn = file, False

    def _write(self, rows, dropped):
        lines = [line_of(row, message, self.inputs) for row, message in rows]
        if dropped:
            lines.append(json.dumps({"time": _time(time.time()), "dropped": dropped}))
        left = memoryview(("\n" * self._torn + "\n".join(lines) + "\n").encode("utf-8", "backslashreplace"))
        try:
            while left:
                left = left[os.write(self._file, left) :]
                self._torn = bool(left)
            self._failing = False
        except OSError as error:
            with self._lock:
                self._dropped += dropped + len(rows)
            DROPPED.add(len(rows))
            if not self._failing:
                log(f"--request_log {self._path}: cannot be written ({error.strerror}); lines are lost")
            self._failing = True


def line_of(row: dict[str, Any], message: bytes | None, inputs: bool) -> str:
    """Returns a row as one line of JSON; its inputs are null where they are too many, or cannot be read."""
    row = row | {"time": _time(row["time"])}
    if inputs:
        row["inputs"] = _inputs(row, message)
    return json.dumps(row, ensure_ascii=False)


def _time(seconds):
    """Returns a moment in UTC, to the millisecond."""
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{int(seconds % 1 * 1000):03d}Z"


def _inputs(row, message):
    """Returns what a request's message holds for the model."""
    if message is None:
        return None
    try:
        if row["transport"] == "REST":
            return json.loads(message, parse_constant=lambda name: None, parse_float=_number)
        if row["method"] == "Predict":
            inputs = predict_pb2.PredictRequest.FromString(message).inputs
            return {name: _values(proto) for name, proto in inputs.items()}
        kind = INPUTS.get(row["method"])
        return json_format.MessageToDict(kind.FromString(message).input) if kind else None
    except (DecodeError, ValueError, RecursionError):
        return None


def _number(text):
    """Returns the number, None if it is too large to be one."""
    number = float(text)
    return None if math.isinf(number) else number


def _values(proto):
    """Returns the values of a tensor as JSON has them, bytes that are no UTF-8 as \\x..; None if they are too many."""
    if tensors.layout(proto).bytes > MAX_VALUES:  # a few bytes can describe any number
        return None
    array = tensors.to_array(proto)
    return _text((array.values if isinstance(array, tensors.Flat) else array).tolist())


def _text(value):
    if isinstance(value, list):
        return [_text(item) for item in value]
    if isinstance(value, bytes):
        return value.decode(errors="backslashreplace")
    if isinstance(value, float) and value - value != 0:
        return None  # JSON has no number for it
    return str(value) if isinstance(value, complex) else value
