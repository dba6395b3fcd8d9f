"""One version of a model: a SavedModel in a session, as TensorFlow Serving holds it.

A session callable whose operations run in the calling thread costs 8 microseconds a call, a signature of
`tf.saved_model.load` about 300; and a session gives TensorFlow Serving's leniency and texts of errors.
"""

from pathlib import Path

import tensorflow as tf
from tensorflow.core.protobuf import config_pb2
from tensorflow_serving.apis import prediction_log_pb2

from serving import checks, tensors
from serving.refusal import Refused

tf.get_logger().setLevel("ERROR")
v1 = tf.compat.v1
MOST_CALLABLES = 32  # each choice of outputs has its own; past this, all are run and those wanted are picked


class Servable:
    """A loaded SavedModel.

    Args:
        path: Folder that holds `saved_model.pb`.
        intra_op_threads: Threads that one operation may use; 0 for as many as there are cores.

    Raises:
        OSError, tf.errors.OpError, Refused, ValueError: It cannot be loaded, or a request of its warm-up fails.
    """

    def __init__(self, path, *, intra_op_threads=0):
        self._graph = tf.Graph()
        config = v1.ConfigProto(intra_op_parallelism_threads=intra_op_threads)
        self._session = v1.Session(graph=self._graph, config=config)
        with self._graph.as_default():
            meta_graph = v1.saved_model.loader.load(self._session, [tf.saved_model.SERVING], str(path))
        self.signatures = dict(meta_graph.signature_def)
        self._fetches = {}  # {name of a tensor: that of the one fetched for it}
        for signature in self.signatures.values():
            for output in signature.outputs.values():
                self._fetches[output.name] = self._checked(output)
        self._callables = {}
        self._warm_up(Path(path) / "assets.extra" / "tf_serving_warmup_requests")

    def signature(self, name):
        """Returns the `SignatureDef` of a name; raises `Refused` if there is none."""
        if name not in self.signatures:
            raise Refused("FAILED_PRECONDITION", f'Serving signature key "{name}" not found.')
        return self.signatures[name]

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
        signature = self.signature(signature_name)
        checks.names(signature, inputs)
        outputs = checks.outputs(signature, output_filter)
        checks.types(signature, {name: tensors.NUMBERS[array.dtype] for name, array in inputs.items()})
        return self.run(signature_name, inputs, outputs)

    def run(self, signature_name, inputs, outputs):
        """Runs one signature on inputs that `checks` let pass; `outputs` are the names of those wanted, sorted."""
        names = sorted(inputs)
        call, fetched = self._callable(signature_name, names, outputs)
        try:
            values = zip(fetched, call(*[inputs[name] for name in names]), strict=True)
            return {name: value for name, value in values if fetched is outputs or name in outputs}
        except tf.errors.OpError as error:
            raise Refused(CODES.get(error.error_code, "UNKNOWN"), error.message) from None
        except UnicodeDecodeError as error:
            # The text of an error that quotes bytes of the input. TensorFlow loses its code with it; operations that
            # quote what they read call it an invalid argument.
            raise Refused("INVALID_ARGUMENT", bytes(error.object).decode("utf-8", "replace")) from None

    def _checked(self, output):
        """Returns the name of the tensor to fetch for an output: strings of too many dimensions would end the process."""
        if output.dtype != tensors.STRING or not output.tensor_shape.unknown_rank or not output.name:
            return output.name
        most = tensors.HELD_DIMENSIONS_OF_STRINGS
        with self._graph.as_default():
            tensor = self._graph.get_tensor_by_name(output.name)
            message = f"expected an output of at most {most} dimensions, as {output.name} has not"
            with tf.control_dependencies([tf.debugging.Assert(tf.rank(tensor) <= most, [message])]):
                return tf.identity(tensor).name

    def _warm_up(self, path):
        """Runs the recorded Predict requests that came with the model; an error among them is an error of loading."""
        if path.is_file():
            for record in tf.compat.v1.io.tf_record_iterator(str(path)):
                request = prediction_log_pb2.PredictionLog.FromString(record).predict_log.request
                inputs = {name: tensors.to_array(proto) for name, proto in request.inputs.items()}
                self.predict(request.model_spec.signature_name or "serving_default", inputs)

    def close(self):
        self._session.close()

    def _callable(self, signature_name, inputs, outputs):
        """Returns (callable, names of the outputs that it gives)."""
        key = (signature_name, *outputs)
        if key not in self._callables:  # two threads may both build one: no harm, and no lock for all others
            signature = self.signatures[signature_name]
            if len(self._callables) >= MOST_CALLABLES and len(outputs) < len(signature.outputs):
                return self._callable(signature_name, inputs, sorted(signature.outputs))
            options = config_pb2.CallableOptions()
            options.feed.extend(signature.inputs[name].name for name in inputs)
            options.fetch.extend(self._fetches[signature.outputs[name].name] for name in outputs)
            options.run_options.inter_op_thread_pool = -1  # run in the calling thread
            self._callables[key] = self._session._make_callable_from_options(options)
        return self._callables[key], outputs


# Codes of tf.errors are those of gRPC.
CODES = {
    1: "CANCELLED", 2: "UNKNOWN", 3: "INVALID_ARGUMENT", 4: "DEADLINE_EXCEEDED", 5: "NOT_FOUND", 6: "ALREADY_EXISTS",
    7: "PERMISSION_DENIED", 8: "RESOURCE_EXHAUSTED", 9: "FAILED_PRECONDITION", 10: "ABORTED", 11: "OUT_OF_RANGE",
    12: "UNIMPLEMENTED", 13: "INTERNAL", 14: "UNAVAILABLE", 15: "DATA_LOSS", 16: "UNAUTHENTICATED",
}  # fmt: skip
