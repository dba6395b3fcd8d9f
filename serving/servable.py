"""One version of a model: a SavedModel in a session, as TensorFlow Serving holds it.

A session callable whose operations run in the calling thread costs 8 microseconds a call, a signature of
`tf.saved_model.load` about 300; and a session gives TensorFlow Serving's leniency and texts of errors.
"""

from pathlib import Path

import tensorflow as tf
from tensorflow.core.protobuf import config_pb2
from tensorflow_serving.apis import prediction_log_pb2

from serving import tensors

tf.get_logger().setLevel("ERROR")
v1 = tf.compat.v1


class Refused(Exception):
    """A request that cannot be answered.

    Args:
        code: Name of a gRPC status code.
        message: TensorFlow Serving's text.
    """

    def __init__(self, code, message):
        super().__init__(message)
        self.code, self.message = code, message


class Servable:
    """A loaded SavedModel.

    Args:
        path: Folder that holds `saved_model.pb`.
        intra_op_threads: Threads that one operation may use; 0 for as many as there are cores.

    Raises:
        OSError, tf.errors.OpError, Refused, ValueError: It cannot be loaded, or a request of its warm-up fails.
    """

    def __init__(self, path, *, intra_op_threads=0):
        graph = tf.Graph()
        config = v1.ConfigProto(intra_op_parallelism_threads=intra_op_threads)
        self._session = v1.Session(graph=graph, config=config)
        with graph.as_default():
            meta_graph = v1.saved_model.loader.load(self._session, [tf.saved_model.SERVING], str(path))
        self.signatures = dict(meta_graph.signature_def)
        self._callables = {}
        self._warm_up(Path(path) / "assets.extra" / "tf_serving_warmup_requests")

    def predict(self, signature_name, inputs, output_filter=()):
        """Runs one signature.

        Args:
            signature_name: Its name.
            inputs: {name: array}; strings as object arrays of bytes.
            output_filter: Names of the outputs wanted; none means all.

        Returns:
            {name: array}.

        Raises:
            Refused: With TensorFlow Serving's code and text.
        """
        signature = self.signatures.get(signature_name)
        if signature is None:
            raise Refused("FAILED_PRECONDITION", f'Serving signature key "{signature_name}" not found.')
        _check_inputs(signature, inputs)
        outputs = _check_outputs(signature, output_filter)
        names = sorted(inputs)
        for i, name in enumerate(names):
            expected, given = signature.inputs[name].dtype, _type_number(inputs[name])
            if expected != given:
                types = [tf.as_dtype(number).name for number in (expected, given)]
                raise Refused("INVALID_ARGUMENT", f"Expects arg[{i}] to be {types[0]} but {types[1]} is provided")
        call = self._callable(signature_name, signature, names, outputs)
        try:
            return dict(zip(outputs, call(*[inputs[name] for name in names]), strict=True))
        except tf.errors.OpError as error:
            raise Refused(CODES.get(error.error_code, "UNKNOWN"), error.message) from None

    def _warm_up(self, path):
        """Runs the recorded Predict requests that came with the model; an error among them is an error of loading."""
        if path.is_file():
            for record in tf.compat.v1.io.tf_record_iterator(str(path)):
                request = prediction_log_pb2.PredictionLog.FromString(record).predict_log.request
                inputs = {name: tensors.to_array(proto) for name, proto in request.inputs.items()}
                self.predict(request.model_spec.signature_name or "serving_default", inputs)

    def close(self):
        self._session.close()

    def _callable(self, signature_name, signature, inputs, outputs):
        key = (signature_name, *outputs)
        if key not in self._callables:  # two threads may both build one: no harm, and no lock for all others
            options = config_pb2.CallableOptions()
            options.feed.extend(signature.inputs[name].name for name in inputs)
            options.fetch.extend(signature.outputs[name].name for name in outputs)
            options.run_options.inter_op_thread_pool = -1  # run in the calling thread
            self._callables[key] = self._session._make_callable_from_options(options)
        return self._callables[key]


def _check_inputs(signature, inputs):
    known, given = set(signature.inputs), set(inputs)
    if len(given) != len(known):
        raise Refused(
            "INVALID_ARGUMENT",
            f"input size does not match signature: {len(given)}!={len(known)} len({{{','.join(sorted(given))}}}) != "
            f"len({{{','.join(sorted(known))}}}). Sent extra: {{{','.join(sorted(given - known))}}}. "
            f"Missing but required: {{{','.join(sorted(known - given))}}}.",
        )
    for name in sorted(known - given):
        raise Refused(
            "INVALID_ARGUMENT",
            f"Signature input alias: {name}(feed name: {signature.inputs[name].name}) not found in request and no default "
            f"value provided. Inputs expected to be in the request {{{','.join(sorted(given))}}}, or default input alias set: ",
        )


def _check_outputs(signature, output_filter):
    for i, name in enumerate(output_filter):
        if name not in signature.outputs:
            expected = ",".join(sorted(signature.outputs))
            raise Refused(
                "INVALID_ARGUMENT",
                f"output tensor alias not found in signature: {name} Outputs expected to be in the set {{{expected}}}.",
            )
        if name in output_filter[:i]:
            raise Refused("INVALID_ARGUMENT", f"duplicate output tensor alias: {name}")
    return sorted(output_filter or signature.outputs)


def _type_number(array):
    return tensors.STRING if array.dtype == object else tf.as_dtype(array.dtype).as_datatype_enum


# Codes of tf.errors are those of gRPC.
CODES = {
    1: "CANCELLED", 2: "UNKNOWN", 3: "INVALID_ARGUMENT", 4: "DEADLINE_EXCEEDED", 5: "NOT_FOUND", 6: "ALREADY_EXISTS",
    7: "PERMISSION_DENIED", 8: "RESOURCE_EXHAUSTED", 9: "FAILED_PRECONDITION", 10: "ABORTED", 11: "OUT_OF_RANGE",
    12: "UNIMPLEMENTED", 13: "INTERNAL", 14: "UNAVAILABLE", 15: "DATA_LOSS", 16: "UNAUTHENTICATED",
}  # fmt: skip
