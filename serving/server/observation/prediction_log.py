"""Samples of requests as TFRecords of `PredictionLog`, which a model takes as its warm-up file.

TensorFlow Serving has the configuration for it (`ModelConfig.logging_config`), and no logger: this is the collector of type `tfrecord`.
"""

import os
import random
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow_serving.apis import prediction_log_pb2

from serving.server.console import log
from serving.server.observation import prometheus
from serving.server.observation.background import Background
from serving.server.requests.request import Request

if TYPE_CHECKING:
    from serving.server.models.versions import Models

WAITING_BYTES = 64 * 2**20  # of messages that may wait for the disk, or are being written
# {method: field of `PredictionLog`}
FIELDS = {"Predict": "predict_log", "Classify": "classify_log", "Regress": "regress_log", "MultiInference": "multi_inference_log"}  # fmt: skip
DROPPED = prometheus.Counter("lineage_prediction_log_dropped_total", "Sampled requests that the disk was too slow for.")


@dataclass
class _File:
    path: str
    writer: Any = None
    failing: bool = False


class PredictionLog:
    """The files of all models, and the thread that writes them; called with each request that has ended.

    Args:
        models: The served models, whose `logging` says what is sampled.
    """

    def __init__(self, models: "Models") -> None:
        self._models = models
        self._files: dict[str, _File] = {}  # {prefix: its file}
        self._background = Background("prediction log", self._write_all, most=sys.maxsize, most_bytes=WAITING_BYTES)
        self.end = self._background.end

    def wanted(self) -> bool:
        """Returns whether a model's requests are sampled."""
        return any(model.logging for model in self._models.models.values())

    def __call__(self, request: Request, code: str, seconds: float) -> None:
        """Notes a request that was answered over gRPC; never waits for the disk."""
        field, message = FIELDS.get(request.api), request.kept
        if code != "OK" or not field or message is None:
            return
        model = self._models.models.get(request.model)
        if model is None or model.logging is None or random.random() >= model.logging.sampling:
            return
        if not self._background.put((model.logging, field, message), len(message)):
            DROPPED.add(1)

    def _write_all(self, rows):
        for row in rows:
            self._write(*row)
        self._flush()

    def _write(self, logging, field, message):
        if logging.prefix not in self._files:
            name = f"{logging.prefix}-{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}-{os.getpid()}.tfrecord"
            self._files[logging.prefix] = _File(name)
        file = self._files[logging.prefix]
        record = prediction_log_pb2.PredictionLog()
        try:
            getattr(record, field).request.ParseFromString(message)
            file.writer = file.writer or tf.io.TFRecordWriter(file.path)
            file.writer.write(record.SerializeToString())
        except (tf.errors.OpError, OSError, DecodeError) as error:
            DROPPED.add(1)
            if not file.failing:
                log(f"{file.path}: requests cannot be written ({' '.join(str(error).split())}); they are lost")
            file.failing = True

    def _flush(self):
        for file in self._files.values():
            if file.writer:
                with suppress(tf.errors.OpError):  # it fails again at the next record, and is said then
                    file.writer.flush()
