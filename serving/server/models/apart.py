"""One version of a model whose encoder LiteRT computes, where that is faster; text and decoding stay in TensorFlow.

An export with `--runtime litert` has, beside its SavedModel, in `assets.extra/litert`, which other servers do not look at:

    encoder.tflite   the encoder and its head, for one sequence
    saved_model.pb   for each signature NAME of the SavedModel that falls apart, NAME_text: the inputs of NAME -> `lengths` [N],
                     the inputs of the encoder [N, S, ...], each as `sequences_NAME`, and what decoding needs, `read_0`, ...;
                     NAME_decode: `outputs`, of the encoder, and `read_0`, ... -> the outputs of NAME
"""

import os
import time
from collections.abc import Mapping, Sequence
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

FOLDER = os.path.join(*servable.ENCODER[:-1])
ENCODER = servable.ENCODER[-1]
TEXT, DECODE, SEQUENCES = "_text", "_decode", "sequences_"
ROWS = (32, 8, 2)  # texts of requests with which both runtimes are tried
PIECES = 24  # about as long as a sentence
TRIES = 5


class Apart(Servable):
    """A loaded SavedModel with its parts beside it.

    Args:
        path: Folder of the version.
        settings: How it is loaded and run.

    Raises:
        OSError, tf.errors.OpError, Refused, ValueError: It cannot be loaded, or one of its warm-up requests fails.
    """

    def __init__(self, path: str | os.PathLike, settings: Settings) -> None:
        folder = os.path.join(os.fspath(path), FOLDER)
        self._path, self._most = os.fspath(path), 0.0  # texts of a request that LiteRT answers
        parts_settings = replace(settings, bundle=_without_warm_up(settings.bundle))
        self._parts = Servable(folder, parts_settings)
        threads = settings.session.intra_op_parallelism_threads or CORES
        self._encoder = Encoder(files.read_bytes(os.path.join(folder, ENCODER)), threads)
        super().__init__(path, settings)
        self._apart = {name for name in self.signatures if name + TEXT in self._parts.signatures}
        self._texts = {
            name: [*self._parts.signatures[name + TEXT].outputs] for name in self._apart
        }  # outputs of the first part
        self.note = self._choose(os.fspath(path), settings.runtime)

    def run(
        self, signature_name: str, inputs: Mapping[str, tensors.Value], outputs: Sequence[str]
    ) -> dict[str, tensors.Value]:
        """See `Servable.run`."""
        if not self._suits(signature_name, inputs):
            metrics.RUNS.add(1, self._path, "tensorflow")
            return super().run(signature_name, inputs, outputs)
        metrics.RUNS.add(1, self._path, "litert")
        read: dict[str, Any] = self._parts.run(signature_name + TEXT, inputs, self._texts[signature_name])
        lengths = read.pop("lengths")
        sequences = {name.removeprefix(SEQUENCES): read.pop(name) for name in list(read) if name.startswith(SEQUENCES)}
        try:
            computed = self._encoder(sequences, lengths)
        except (RuntimeError, ValueError) as error:
            raise Refused("INTERNAL", f"Failed to run the encoder: {error}") from None
        return self._parts.run(signature_name + DECODE, {OUTPUT: computed, **read}, outputs)

    def _suits(self, name, inputs):
        """Says whether LiteRT answers a request; what cannot be read as rows is TensorFlow's, which says what is wrong."""
        return (
            bool(self._most)
            and name in self._apart
            and all(
                not isinstance(value, tensors.Flat) and value.ndim and len(value) <= self._most
                for value in inputs.values()
            )
        )

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
        self._parts.close()
        self._encoder.close()

    def _choose(self, path, runtime):
        """Sets how large the requests are that LiteRT answers, by trying both runtimes; returns what was found, in words."""
        self._most = float("inf")
        if runtime == "litert":
            return "LiteRT answers, as --runtime says"
        found = self._example(path)
        if not found:
            return "LiteRT answers: no request is recorded with which both runtimes could be tried"
        name, inputs = found
        for rows in ROWS:
            batch = {field: np.repeat(value, rows) for field, value in inputs.items()}
            litert, tensorflow = self._compared(name, batch)
            if litert <= tensorflow or rows == ROWS[-1]:
                break
        faster = rows if litert <= tensorflow else 1
        self._most = float("inf") if faster == ROWS[0] else faster
        which = "all requests" if faster == ROWS[0] else f"requests of up to {faster} texts, TensorFlow larger ones"
        tried = f"{rows} sentences: {1000 * litert:.1f} ms, TensorFlow {1000 * tensorflow:.1f} ms"
        return f"LiteRT answers {which} ({tried})"

    def _compared(self, name, inputs):
        """Returns the seconds of LiteRT and of TensorFlow: of the fastest of some runs, in turn, for the machine may be busy."""
        outputs = sorted(self.signatures[name].outputs)
        taken: dict[float, list[float]] = {float("inf"): [], 0.0: []}
        for _ in range(TRIES):
            for self._most in taken:
                began = time.perf_counter()
                self.run(name, inputs, outputs)
                taken[self._most].append(time.perf_counter() - began)
        return map(min, taken.values())

    def _example(self, path):
        """Returns (signature, inputs of one row) of a recorded request, its texts about as long as a sentence; or None."""
        recorded = os.path.join(path, RECORDED)
        if not tf.io.gfile.exists(recorded):
            return None
        for record in tf.compat.v1.io.tf_record_iterator(recorded):
            request = prediction_log_pb2.PredictionLog.FromString(record).predict_log.request
            name = request.model_spec.signature_name
            inputs: dict[str, Any] = {field: tensors.to_array(proto) for field, proto in request.inputs.items()}
            if name in self._apart and inputs and all(x.dtype == object and x.ndim == 1 for x in inputs.values()):
                inputs = {field: x[:1] for field, x in inputs.items()}
                read: dict[str, Any] = self._parts.run(name + TEXT, inputs, ["lengths"])
                length = read["lengths"][0]
                times = max(PIECES // int(length), 1)
                return name, {field: np.array([b" ".join([x[0]] * times)], object) for field, x in inputs.items()}
        return None


def _without_warm_up(bundle):
    copied = type(bundle)()
    copied.CopyFrom(bundle)
    copied.enable_model_warmup = False
    return copied
