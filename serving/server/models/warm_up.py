"""The requests that were recorded with a version, run before it serves."""

import os
from typing import TYPE_CHECKING

import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2

from serving import tensors
from serving.server.observation import metrics
from serving.server.requests import examples, jobs
from serving.server.requests.limits import Limits

if TYPE_CHECKING:  # which imports this
    from serving.server.models.servable import Servable

RECORDED = os.path.join("assets.extra", "tf_serving_warmup_requests")  # in a version's folder


def warm_up(servable: "Servable", path: str, times: int) -> None:
    """Runs the requests recorded with a version so often; if one fails, so does loading.

    Args:
        servable: The version.
        path: Its folder.
        times: How often; 0: not at all.

    Raises:
        OSError, tf.errors.OpError, Refused: A record cannot be read, or answered.
    """
    recorded = os.path.join(path, RECORDED)
    if not times or not tf.io.gfile.exists(recorded):
        return
    with metrics.timed_warm_up(path):
        for record in tf.compat.v1.io.tf_record_iterator(recorded):
            log = prediction_log_pb2.PredictionLog.FromString(record)
            for _ in range(times):
                _replay(servable, log)
            metrics.WARMUP_RECORDS.add(1, path, "OK")


def _replay(servable, log):
    kind = log.WhichOneof("log_type")
    request, limits = getattr(log, kind or "predict_log").request, Limits()
    if kind == "predict_log":
        inputs = {name: tensors.to_array(proto) for name, proto in request.inputs.items()}
        servable.predict(request.model_spec.signature_name or examples.DEFAULT, inputs)
    elif kind in ("classify_log", "regress_log"):
        raw = examples.RawRequest.FromString(request.SerializeToString())
        method = examples.CLASSIFY if kind == "classify_log" else examples.REGRESS
        name = raw.model_spec.signature_name or examples.DEFAULT
        jobs.now(examples.run(examples.KINDS[method], servable, name, raw.input, limits, lambda count: None))
    elif kind == "multi_inference_log":
        raw = examples.RawMultiRequest.FromString(request.SerializeToString())
        tasks = [(task.model_spec.signature_name or examples.DEFAULT, task.method_name) for task in raw.tasks]
        jobs.now(examples.run_together(tasks, servable, raw.input, limits, lambda count: None))
