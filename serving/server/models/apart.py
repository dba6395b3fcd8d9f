"""One version of a model whose encoder LiteRT computes, where that is faster; text and decoding stay in TensorFlow.

An export with `--runtime litert` has, beside its SavedModel, in `assets.extra/litert`, which other servers do not look at:

    encoder.tflite   the encoder and its head, for sequences in a row, see `serving.server.models.encoder`
    saved_model.pb   for each signature NAME of the SavedModel that falls apart, NAME_text: the inputs of NAME -> `lengths` [N],
                     the inputs of the encoder [N, S, ...], each as `sequences_NAME`, and what decoding needs of the rest, each as
                     `read_I`, for a classifier nothing;
                     NAME_decode: `outputs`, of the encoder, and each `read_I` -> the outputs of NAME
"""

import os
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2

from serving import tensors
from serving.server import files
from serving.server.configuration.flags import CORES
from serving.server.configuration.settings import Settings
from serving.server.models import servable
from serving.server.models.encoder import OUTPUT, Encoder
from serving.server.models.servable import Servable
from serving.server.models.warm_up import RECORDED
from serving.server.observation import metrics
from serving.server.refusal import Refused
from serving.server.requests import examples

FOLDER = os.path.join(*servable.ENCODER[:-1])
ENCODER = servable.ENCODER[-1]
TEXT, DECODE, SEQUENCES = "_text", "_decode", "sequences_"
MOST_ROWS = 1024  # of a request for LiteRT, which is padded as a whole; TensorFlow reads a few rows at once
TRIED = (32, 8, 2, 1)  # texts of requests with which both runtimes are tried
PIECES = 24  # about as long as a sentence
TRIES = 5


class Apart(Servable):
    """A loaded SavedModel with its parts beside it; without them where they cannot be used, unless LiteRT is asked for.

    Args:
        path: Folder of the version.
        settings: How it is loaded and run.

    Raises:
        OSError, tf.errors.OpError, Refused, ValueError: It cannot be loaded, or one of its warm-up requests fails.
    """

    def __init__(self, path: str | os.PathLike, settings: Settings) -> None:
        self._path, self._most = os.fspath(path), 0  # rows of a request that LiteRT answers
        self._apart: dict[str, list[str]] = {}  # {signature: outputs of its first part}
        self._beside = ExitStack()
        super().__init__(path, settings)
        try:
            self._load_parts(settings)
            self.note = self._choose(settings.runtime)
        except Exception as error:  # of any damaged file; the SavedModel is whole
            self._beside.close()
            reason = f"{type(error).__name__}: {error}".splitlines()[0]
            if settings.runtime == "litert":
                super().close()
                raise ValueError(f"LiteRT cannot answer, as --runtime says: {FOLDER}: {reason}") from None
            self._most, self.note = 0, f"TensorFlow answers, for LiteRT cannot: {FOLDER}: {reason}"

    def _load_parts(self, settings):
        folder = os.path.join(self._path, FOLDER)
        self._parts = Servable(folder, replace(settings, bundle=_without_warm_up(settings.bundle)))
        self._beside.callback(self._parts.close)
        threads = settings.session.intra_op_parallelism_threads or CORES
        self._encoder = Encoder(files.read_bytes(os.path.join(folder, ENCODER)), threads)
        self._beside.callback(self._encoder.close)
        texts = {name: self._parts.signatures.get(name + TEXT) for name in self.signatures}
        self._apart = {name: [*text.outputs] for name, text in texts.items() if text}

    def run(
        self, signature_name: str, inputs: Mapping[str, tensors.Value], outputs: Sequence[str]
    ) -> dict[str, tensors.Value]:
        """See `Servable.run`."""
        if self._suits(signature_name, inputs):
            metrics.RUNS.add(1, self._path, "litert")
            return self._run_apart(signature_name, inputs, outputs)
        metrics.RUNS.add(1, self._path, "tensorflow")
        return super().run(signature_name, inputs, outputs)

    def _suits(self, name, inputs):
        """Says whether LiteRT answers a request; what cannot be read as rows is TensorFlow's, which says what is wrong."""
        return (
            self._most > 0
            and name in self._apart
            and all(
                not isinstance(value, tensors.Flat) and value.ndim and len(value) <= self._most
                for value in inputs.values()
            )
        )

    def _run_apart(self, name, inputs, outputs):
        read: dict[str, Any] = self._parts.run(name + TEXT, inputs, self._apart[name])
        lengths = read.pop("lengths")
        sequences = {key.removeprefix(SEQUENCES): read.pop(key) for key in list(read) if key.startswith(SEQUENCES)}
        try:
            computed = self._encoder(sequences, lengths)
        except (RuntimeError, ValueError) as error:
            raise Refused("INTERNAL", f"Failed to run the encoder: {error}") from None
        return self._parts.run(name + DECODE, {OUTPUT: computed, **read}, outputs)

    def run_together(
        self, inputs: Mapping[str, tensors.Value], requested: Sequence[tuple[str, Sequence[str]]]
    ) -> list[dict[str, tensors.Value]]:
        """See `Servable.run_together`."""
        if len(requested) == 1:
            ((name, outputs),) = requested
            return [self.run(name, inputs, outputs)]
        return super().run_together(inputs, requested)

    def close(self) -> None:
        """Releases the sessions and the interpreters."""
        super().close()
        self._beside.close()

    def _choose(self, runtime):
        """Sets how large the requests are that LiteRT answers, by trying both runtimes; returns what was found, in words."""
        name, inputs = self._example()
        if name:  # that it can, and the first user does not wait
            self._run_apart(name, inputs, sorted(self.signatures[name].outputs))
        if runtime == "litert":
            self._most = MOST_ROWS
            return f"LiteRT answers, as --runtime says, requests of up to {MOST_ROWS} texts"
        if not name:
            self._most = MOST_ROWS
            return "LiteRT answers: no request is recorded with which both runtimes could be tried"
        for rows in TRIED:
            batch = {field: np.repeat(value, rows) for field, value in inputs.items()}
            litert, tensorflow = self._compared(name, batch)
            tried = f"{rows} sentences: {1000 * litert:.1f} ms, TensorFlow {1000 * tensorflow:.1f} ms"
            if litert > tensorflow:
                continue
            if rows == TRIED[0]:
                self._most = MOST_ROWS
                return f"LiteRT answers all requests ({tried})"
            self._most = rows
            return f"LiteRT answers requests of up to {rows} texts, TensorFlow larger ones ({tried})"
        return f"TensorFlow answers all requests (LiteRT with {tried})"

    def _compared(self, name, inputs):
        """Returns the seconds of LiteRT and of TensorFlow: of the fastest of some runs, in turn, for the machine may be busy."""
        outputs = sorted(self.signatures[name].outputs)
        taken: list[list[float]] = [[], []]
        for _ in range(TRIES):
            for run, seconds in zip((self._run_apart, super().run), taken, strict=True):
                began = time.perf_counter()
                run(name, inputs, outputs)
                seconds.append(time.perf_counter() - began)
        return map(min, taken)

    def _example(self):
        """Returns (signature, inputs of one row) of a recorded request, its texts about as long as a sentence; or ("", {})."""
        recorded = os.path.join(self._path, RECORDED)
        if not tf.io.gfile.exists(recorded):
            return "", {}
        for record in tf.compat.v1.io.tf_record_iterator(recorded):
            request = prediction_log_pb2.PredictionLog.FromString(record).predict_log.request
            name = request.model_spec.signature_name or examples.DEFAULT
            inputs: dict[str, Any] = {field: tensors.to_array(proto) for field, proto in request.inputs.items()}
            rows = [x.dtype == object and x.ndim == 1 and len(x) > 0 for x in inputs.values()]
            if name in self._apart and rows and all(rows):
                inputs = {field: x[:1] for field, x in inputs.items()}
                read: dict[str, Any] = self._parts.run(name + TEXT, inputs, ["lengths"])
                length = read["lengths"][0]
                times = max(PIECES // int(length), 1)
                return name, {field: np.array([b" ".join([x[0]] * times)], object) for field, x in inputs.items()}
        return "", {}


def _without_warm_up(bundle):
    copied = type(bundle)()
    copied.CopyFrom(bundle)
    copied.enable_model_warmup = False
    return copied
