"""One version of a model: a SavedModel in a session, as in TensorFlow Serving.

The overhead of a session callable that runs in the calling thread is 8 microseconds a call, that of a signature of
`tf.saved_model.load` about 300. A session also accepts what TensorFlow Serving accepts, with the same error messages.
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
from google.protobuf.message import Message
from tensorflow.core.protobuf import config_pb2

from serving import tensors
from serving.server import files
from serving.server.configuration.settings import Settings
from serving.server.models import saved_model
from serving.server.models.warm_up import warm_up
from serving.server.refusal import Refused
from serving.server.requests import checks, jobs

tf.get_logger().setLevel("ERROR")
v1 = tf.compat.v1
# One for each set of requested outputs; beyond, all outputs are computed, and the requested ones picked
MAX_CALLABLES = 32
INITIALIZE = "__saved_model_init_op"  # of TensorFlow, not to be called
ENCODER = ("assets.extra", "litert", "encoder.tflite")  # see `serving.server.models.apart`
DEFAULTS = Settings()


class _Callable(NamedTuple):
    """A function of the session, and what it takes and gives."""

    function: Any
    inputs: tuple[str, ...]  # names in the signature, in the function's order
    outputs: tuple[str, ...]
    wide: frozenset[str]  # of the outputs: those that come as a flat array and their shape


class Servable:
    """A loaded SavedModel, of TensorFlow 1 or 2.

    Args:
        path: Folder that holds `saved_model.pb`.
        settings: How it is loaded and run.

    Raises:
        OSError, tf.errors.OpError, Refused, ValueError: It cannot be loaded, or one of its warm-up requests fails.
    """

    def __init__(self, path: str | os.PathLike, settings: Settings = DEFAULTS) -> None:
        path = os.fspath(path)
        self._graph = tf.Graph()
        config = settings.session
        # The calling thread starts all operations unless the number of threads is asked for
        self._pool = 0 if config.inter_op_parallelism_threads > 0 else -1
        self._session = v1.Session(graph=self._graph, config=config)
        try:
            meta_graph = saved_model.load(self._session, settings.tags, path)
        except BaseException:
            self._session.close()
            raise
        self.queue: jobs.Queue | None = None  # where its jobs wait for a batch
        self.note = ""  # what is to be said of how it answers
        self.signatures: dict[str, Message] = dict(meta_graph.signature_def)  # {name: `SignatureDef`}
        self.defaults = {  # {signature: {input that a request may lack: its value}}
            name: {alias: tensors.to_array(proto) for alias, proto in signature.defaults.items()}
            for name, signature in self.signatures.items()
        }
        self._flat: dict[
            str, list[str]
        ] = {}  # {tensor of an output whose rank may be too large for an array: its values and its shape}
        for signature in self.signatures.values():
            for output in signature.outputs.values():
                self._flatten(output)
        self._callables: dict[tuple, _Callable] = {}
        warm_up(self, path, settings.warm_ups)

    def signature(self, name: str) -> Message:
        """Returns the `SignatureDef` of that name; raises `Refused` if there is none."""
        if name not in self.signatures:
            raise Refused("FAILED_PRECONDITION", f'Serving signature key "{name}" not found.')
        return self.signatures[name]

    def predict(
        self, signature_name: str, inputs: Mapping[str, tensors.Value], output_filter: Iterable[str] = ()
    ) -> dict[str, tensors.Value]:
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
        given = {name: inputs[name] for name in signature.inputs if name in inputs}
        checks.types(signature, {name: tensors.NUMBERS[array.dtype] for name, array in given.items()})
        return self.run(signature_name, given, outputs)

    def run(
        self, signature_name: str, inputs: Mapping[str, tensors.Value], outputs: Sequence[str]
    ) -> dict[str, tensors.Value]:
        """As `predict`, for inputs that `checks` has accepted; `outputs` are the requested names."""
        signature = self.signatures[signature_name]
        if len(inputs) < len(signature.inputs):
            inputs = {**self.defaults[signature_name], **inputs}
        flat = any(isinstance(value, tensors.Flat) for value in inputs.values())
        with _Errors():
            chosen = self._callables.get((flat, signature_name, *outputs))
            if chosen is None:
                chosen = self._callable(signature_name, outputs, flat)
            values = chosen.function(*_arguments([inputs[name] for name in chosen.inputs], flat))
        return {name: value for name, value in _named(chosen, values) if name in outputs}

    def run_together(
        self, inputs: Mapping[str, tensors.Value], requested: Sequence[tuple[str, Sequence[str]]]
    ) -> list[dict[str, tensors.Value]]:
        """Runs several signatures of one input at once.

        Args:
            inputs: {"inputs": array}, for the tensor that is each one's input: of TensorFlow 2, each has its own.
            requested: (signature, names of its outputs).

        Returns:
            {output: array} of each.
        """
        key = (False, "", *((name, *outputs) for name, outputs in requested))
        if key not in self._callables:
            if len(requested) == 1 or len(self._callables) >= MAX_CALLABLES:
                return [self.run(name, inputs, outputs) for name, outputs in requested]
            taken = {info.name for name, _ in requested for info in self.signatures[name].inputs.values()}
            infos = [self.signatures[name].outputs[output] for name, outputs in requested for output in outputs]
            fetched = tuple(sorted({info.name for info in infos}))
            with _Errors():
                function, wide = self._make(sorted(taken), fetched)
            self._callables[key] = _Callable(function, tuple(inputs) * len(taken), fetched, wide)
        chosen = self._callables[key]
        with _Errors():
            values = dict(_named(chosen, chosen.function(*(inputs[name] for name in chosen.inputs))))
        tensor_of = lambda name, output: self.signatures[name].outputs[output].name
        return [{output: values[tensor_of(name, output)] for output in outputs} for name, outputs in requested]

    def close(self) -> None:
        """Releases the session."""
        self._session.close()

    def _callable(self, signature_name, outputs, flat):
        """Returns the callable of a signature for those outputs, or for all, if there are too many callables."""
        signature = self.signatures[signature_name]
        if len(self._callables) >= MAX_CALLABLES and len(outputs) < len(signature.outputs):
            outputs = sorted(signature.outputs)
        key = (flat, signature_name, *outputs)
        if key not in self._callables:  # two threads may build the same one, which is harmless
            names = tuple(sorted(signature.inputs))
            infos = [signature.inputs[name] for name in names]
            feeds = [self._reshaped(info) for info in infos] if flat else [info.name for info in infos]
            function, wide = self._make(feeds, [signature.outputs[name].name for name in outputs])
            wide = frozenset(name for name in outputs if signature.outputs[name].name in wide)
            self._callables[key] = _Callable(function, names, tuple(outputs), wide)
        return self._callables[key]

    def _make(self, feeds, fetches):
        """Returns (function, those of the fetched tensors that come flat, with their shape).

        A feed is the name of a tensor, or (flat, shape, reshaped, tensor): what to feed, and what replaces the tensor.
        """
        options = config_pb2.CallableOptions()
        for feed in feeds:
            if isinstance(feed, str):
                options.feed.append(feed)
            else:
                options.feed.extend(feed[:2])
                options.tensor_connection.add(from_tensor=feed[2], to_tensor=feed[3])
        for name in fetches:
            options.fetch.extend(self._flat.get(name, [name]))
        options.run_options.inter_op_thread_pool = self._pool
        wide = frozenset(name for name in fetches if name in self._flat)
        return self._session._make_callable_from_options(options), wide

    def _flatten(self, output):
        """Notes how to fetch an output that may have too many dimensions; of strings, TensorFlow aborts the process."""
        with self._graph.as_default():
            try:
                tensor = self._graph.get_tensor_by_name(output.name)
            except (KeyError, ValueError):  # of a form without one tensor, or none of the graph: running it says so
                return
            rank = tensor.shape.rank
            if rank is None or rank > tensors.max_dimensions(output.dtype):
                self._flat[output.name] = [tf.reshape(tensor, [-1]).name, tf.shape(tensor, tf.int64).name]

    def _reshaped(self, info):
        """Returns the tensors by which an input of any rank is fed: its values, its shape, both together, the input."""
        with self._graph.as_default():
            values = v1.placeholder(tf.as_dtype(info.dtype), [None])
            shape = v1.placeholder(tf.int64, [None])
            return values.name, shape.name, tf.reshape(values, shape).name, info.name


def load(path: str, settings: Settings = DEFAULTS) -> Servable:
    """Returns the version in a folder, loaded; raises as `Servable` does."""
    if settings.bundle.prefer_tflite_model and files.is_file(os.path.join(path, "model.tflite")):
        from serving.server.models.lite import Lite  # takes a second to import

        return Lite(path, settings)
    if settings.runtime != "tensorflow" and files.is_file(os.path.join(path, *ENCODER)):
        from serving.server.models.apart import Apart  # likewise

        return Apart(path, settings)
    return Servable(path, settings)


def described(signatures: Mapping[str, Message]) -> str:
    """Returns the signatures in one line, as `serving_default: text string [-1] -> label string [-1]`."""
    return "; ".join(
        f"{name}: {_described(signature.inputs)} -> {_described(signature.outputs)}"
        for name, signature in sorted(signatures.items())
        if name != INITIALIZE
    )


def _described(infos):
    parts = []
    for name, info in sorted(infos.items()):
        sizes = [dimension.size for dimension in info.tensor_shape.dim]
        shape = "of any shape" if info.tensor_shape.unknown_rank else f"[{', '.join(map(str, sizes))}]"
        parts.append(f"{name} {tensors.NAMES.get(info.dtype, info.dtype)} {shape}")
    return ", ".join(parts) or "nothing"


def _arguments(values, flat):
    """Returns the arguments of a callable."""
    if not flat:
        return values
    pairs = [
        (value.values, value.shape) if isinstance(value, tensors.Flat) else (value.ravel(), value.shape)
        for value in values
    ]
    return [argument for values, shape in pairs for argument in (values, np.array(shape, np.int64))]


def _named(chosen, values):
    """Yields (output, value) of what a callable returned."""
    values = iter(values)
    for name in chosen.outputs:
        value = next(values)
        yield name, tensors.shaped(value, tuple(next(values).tolist())) if name in chosen.wide else value


class _Errors:
    """Turns TensorFlow's errors into `Refused`."""

    def __enter__(self):
        return self

    def __exit__(self, kind, error, traceback):
        if isinstance(error, tf.errors.OpError):
            raise Refused(CODES.get(error.error_code, "UNKNOWN"), error.message) from None
        if isinstance(error, UnicodeDecodeError):
            # An error message that quotes bytes of the input. TensorFlow loses its code; for the operations that quote
            # their input, it is INVALID_ARGUMENT.
            raise Refused("INVALID_ARGUMENT", bytes(error.object).decode("utf-8", "replace")) from None


# Codes of tf.errors, which are those of gRPC
CODES = {
    1: "CANCELLED", 2: "UNKNOWN", 3: "INVALID_ARGUMENT", 4: "DEADLINE_EXCEEDED", 5: "NOT_FOUND", 6: "ALREADY_EXISTS",
    7: "PERMISSION_DENIED", 8: "RESOURCE_EXHAUSTED", 9: "FAILED_PRECONDITION", 10: "ABORTED", 11: "OUT_OF_RANGE",
    12: "UNIMPLEMENTED", 13: "INTERNAL", 14: "UNAVAILABLE", 15: "DATA_LOSS", 16: "UNAUTHENTICATED",
}  # fmt: skip
