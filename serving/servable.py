"""One version of a model: a SavedModel in a session, as in TensorFlow Serving.

The overhead of a session callable that runs in the calling thread is 8 microseconds a call, that of a signature of
`tf.saved_model.load` about 300. A session also accepts what TensorFlow Serving accepts, with the same error messages.
"""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf
from google.protobuf.message import Message
from tensorflow.core.protobuf import config_pb2
from tensorflow_serving.apis import prediction_log_pb2

from serving import checks, tensors
from serving.refusal import Refused

tf.get_logger().setLevel("ERROR")
v1 = tf.compat.v1
# One for each set of requested outputs; beyond, all outputs are computed, and the requested ones picked
MAX_CALLABLES = 32


class Servable:
    """A loaded SavedModel.

    Args:
        path: Folder that holds `saved_model.pb`.
        intra_op_threads: Threads of one operation; 0 for the number of cores.

    Raises:
        OSError, tf.errors.OpError, Refused, ValueError: It cannot be loaded, or one of its warm-up requests fails.
    """

    def __init__(self, path: str | os.PathLike, *, intra_op_threads: int = 0) -> None:
        self._graph = tf.Graph()
        config = v1.ConfigProto(intra_op_parallelism_threads=intra_op_threads)
        self._session = v1.Session(graph=self._graph, config=config)
        with self._graph.as_default():
            meta_graph = v1.saved_model.loader.load(self._session, [tf.saved_model.SERVING], str(path))
        self.signatures: dict[str, Message] = dict(meta_graph.signature_def)  # {name: `SignatureDef`}
        self._fetches = {}  # {tensor of an output: tensor fetched for it}, by name
        for signature in self.signatures.values():
            for output in signature.outputs.values():
                self._fetches[output.name] = self._checked(output)
        self._callables: dict[tuple[str, ...], Callable] = {}  # {(signature, *outputs): function}
        self._warm_up(Path(path) / "assets.extra" / "tf_serving_warmup_requests")

    def signature(self, name: str) -> Message:
        """Returns the `SignatureDef` of that name; raises `Refused` if there is none."""
        if name not in self.signatures:
            raise Refused("FAILED_PRECONDITION", f'Serving signature key "{name}" not found.')
        return self.signatures[name]

    def predict(
        self, signature_name: str, inputs: Mapping[str, np.ndarray], output_filter: Iterable[str] = ()
    ) -> dict[str, np.ndarray]:
        """Checks the inputs, and runs a signature.

        Args:
            signature_name: Its name.
            inputs: {name: array}; strings as object arrays of bytes.
            output_filter: Names of the requested outputs; empty for all.

        Returns:
            {output: array}.

        Raises:
            Refused: With TensorFlow Serving's code and message.
        """
        signature = self.signature(signature_name)
        checks.names(signature, inputs)
        outputs = checks.outputs(signature, output_filter)
        checks.types(signature, {name: tensors.NUMBERS[array.dtype] for name, array in inputs.items()})
        return self.run(signature_name, inputs, outputs)

    def run(
        self, signature_name: str, inputs: Mapping[str, np.ndarray], outputs: Sequence[str]
    ) -> dict[str, np.ndarray]:
        """As `predict`, for inputs that `checks` has accepted; `outputs` are the requested names, sorted."""
        names = sorted(inputs)
        function, fetched = self._callable(signature_name, names, outputs)
        try:
            values = zip(fetched, function(*[inputs[name] for name in names]), strict=True)
            return {name: value for name, value in values if fetched is outputs or name in outputs}
        except tf.errors.OpError as error:
            raise Refused(CODES.get(error.error_code, "UNKNOWN"), error.message) from None
        except UnicodeDecodeError as error:
            # An error message that quotes bytes of the input. TensorFlow loses its code; for the operations that quote
            # their input, it is INVALID_ARGUMENT.
            raise Refused("INVALID_ARGUMENT", bytes(error.object).decode("utf-8", "replace")) from None

    def _checked(self, output):
        """Returns the name of the tensor to fetch for an output: strings of too many dimensions abort the process."""
        if output.dtype != tensors.STRING or not output.tensor_shape.unknown_rank or not output.name:
            return output.name
        max_rank = tensors.MAX_STRING_DIMENSIONS
        with self._graph.as_default():
            tensor = self._graph.get_tensor_by_name(output.name)
            message = f"expected an output of at most {max_rank} dimensions, as {output.name} has not"
            with tf.control_dependencies([tf.debugging.Assert(tf.rank(tensor) <= max_rank, [message])]):
                return tf.identity(tensor).name

    def _warm_up(self, path):
        """Runs the Predict requests recorded with the model; if one fails, so does loading."""
        if path.is_file():
            for record in tf.compat.v1.io.tf_record_iterator(str(path)):
                request = prediction_log_pb2.PredictionLog.FromString(record).predict_log.request
                inputs = {name: tensors.to_array(proto) for name, proto in request.inputs.items()}
                self.predict(request.model_spec.signature_name or "serving_default", inputs)

    def close(self) -> None:
        """Releases the session."""
        self._session.close()

    def _callable(self, signature_name, inputs, outputs):
        """Returns (function from the inputs, in that order, to the outputs; names of those outputs)."""
        key = (signature_name, *outputs)
        if key not in self._callables:  # two threads may build the same one, which is harmless
            signature = self.signatures[signature_name]
            if len(self._callables) >= MAX_CALLABLES and len(outputs) < len(signature.outputs):
                return self._callable(signature_name, inputs, sorted(signature.outputs))
            options = config_pb2.CallableOptions()
            options.feed.extend(signature.inputs[name].name for name in inputs)
            options.fetch.extend(self._fetches[signature.outputs[name].name] for name in outputs)
            options.run_options.inter_op_thread_pool = -1  # run in the calling thread
            self._callables[key] = self._session._make_callable_from_options(options)
        return self._callables[key], outputs


# Codes of tf.errors, which are those of gRPC
CODES = {
    1: "CANCELLED", 2: "UNKNOWN", 3: "INVALID_ARGUMENT", 4: "DEADLINE_EXCEEDED", 5: "NOT_FOUND", 6: "ALREADY_EXISTS",
    7: "PERMISSION_DENIED", 8: "RESOURCE_EXHAUSTED", 9: "FAILED_PRECONDITION", 10: "ABORTED", 11: "OUT_OF_RANGE",
    12: "UNIMPLEMENTED", 13: "INTERNAL", 14: "UNAVAILABLE", 15: "DATA_LOSS", 16: "UNAUTHENTICATED",
}  # fmt: skip
