"""One version of a model as `model.tflite`, run by LiteRT interpreters, with the signatures that TensorFlow Serving finds.

Those are: the `SignatureDef`s in the model's metadata; else, unlike there, the model's own signatures, so that clients of the
SavedModel from which it was made can stay as they are; else one of all inputs and outputs, named as their tensors.
"""

import importlib.util
import os
import sys
import threading
import warnings
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
from flatbuffers import flexbuffers
from google.protobuf.message import DecodeError, Message
from tensorflow.core.protobuf import meta_graph_pb2
from tensorflow.lite.python import interpreter as lite
from tensorflow.lite.python import schema_py_generated as schema

from serving import tensors
from serving.server import files
from serving.server.configuration.settings import Settings
from serving.server.models.servable import DEFAULTS, Servable
from serving.server.models.warm_up import warm_up
from serving.server.refusal import Refused
from serving.server.requests import examples

FILE = "model.tflite"
METADATA = b"signature_defs_metadata"
REGISTRAR = "tensorflow_text.core.pybinds.tflite_registrar"
MAX_DIMENSIONS = 5  # an interpreter crashes the process on some operations of more


class Lite(Servable):
    """A loaded `model.tflite`.

    Args:
        path: Folder that holds it.
        settings: How it is loaded and run.

    Raises:
        OSError, Refused, ValueError: It cannot be loaded, or one of its warm-up requests fails.
    """

    def __init__(self, path: str | os.PathLike, settings: Settings = DEFAULTS) -> None:
        bundle = settings.bundle
        self._content = files.read_bytes(os.path.join(path, FILE))
        self._threads = settings.session.intra_op_parallelism_threads or None
        pools = bundle.num_tflite_pools or bundle.num_tflite_interpreters
        self._places = threading.BoundedSemaphore(max(pools, 1) * max(bundle.num_tflite_interpreters_per_pool, 1))
        self._idle: list[Any] = []
        self.queue, self.note = None, ""
        first = self._interpreter()
        self.signatures, self._own = _signatures(first, self._content)
        self.defaults = {name: {} for name in self.signatures}
        self._idle.append(first)
        warm_up(self, os.fspath(path), settings.warm_ups)

    def run(
        self, signature_name: str, inputs: Mapping[str, tensors.Value], outputs: Sequence[str]
    ) -> dict[str, tensors.Value]:
        """See `Servable.run`; an interpreter runs one request at a time."""
        signature = self.signatures[signature_name]
        for name in signature.inputs:
            if name not in inputs:
                raise Refused("INTERNAL", f"Missing input TFLite tensor: {signature.inputs[name].name}")
            if len(inputs[name].shape) > MAX_DIMENSIONS:
                raise Refused("INVALID_ARGUMENT", f"input {name}: expected at most {MAX_DIMENSIONS} dimensions")
        with self._places:
            try:
                interpreter = self._idle.pop()
            except IndexError:
                interpreter = self._interpreter()
            if self._own:
                values = _run_own(interpreter, signature_name, inputs)
            else:
                values = _run(interpreter, signature, inputs, outputs)
            self._idle.append(interpreter)  # one that failed is not used again
        return {name: values[name] for name in outputs}

    def run_together(
        self, inputs: Mapping[str, tensors.Value], requested: Sequence[tuple[str, Sequence[str]]]
    ) -> list[dict[str, tensors.Value]]:
        """See `Servable.run_together`."""
        return [self.run(name, inputs, outputs) for name, outputs in requested]

    def close(self) -> None:
        """Forgets the interpreters."""
        self._idle.clear()

    def _interpreter(self):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that it will move to another package
            made = lite.InterpreterWithCustomOps(
                custom_op_registerers=_text_operations(), model_content=self._content, num_threads=self._threads
            )
        made.allocate_tensors()
        return made


@cache
def _text_operations():
    """Returns what adds TF Text's operations to an interpreter; the package itself would import Keras."""
    if REGISTRAR not in sys.modules:
        spec = importlib.util.find_spec("tensorflow_text")
        folder = os.path.dirname(spec.origin) if spec and spec.origin else ""
        path = os.path.join(folder, "core", "pybinds", "tflite_registrar.so")
        if not os.path.isfile(path):
            return []
        library = importlib.util.spec_from_file_location(REGISTRAR, path)
        module = importlib.util.module_from_spec(library)  # type: ignore[arg-type]  # the file exists
        library.loader.exec_module(module)  # type: ignore[union-attr]
        sys.modules[REGISTRAR] = module  # loaded twice, also by the package, it would crash the process at its end
    module = sys.modules[REGISTRAR]
    return [getattr(module, name) for name in dir(module) if name.startswith("Add")]


def _signatures(interpreter, content):
    """Returns ({name: `SignatureDef`}, whether they are the model's own)."""
    details = {"inputs": interpreter.get_input_details(), "outputs": interpreter.get_output_details()}
    tensors_of = {kind: {detail["name"]: detail for detail in listed} for kind, listed in details.items()}
    found = _in_metadata(content)
    if found:
        for signature in found.values():
            for kind, names in tensors_of.items():
                for alias, info in getattr(signature, kind).items():
                    known = info.name if info.name in names else info.name.partition(":")[0]
                    if known not in names:
                        raise ValueError(
                            f"Signature {kind[:-1]} {alias} references an unknown tensor: Unknown tensor '{info.name}'."
                        )
                    info.name = known
        return found, False
    own = {name: interpreter.get_signature_runner(name) for name in interpreter.get_signature_list()}
    if own:
        return {
            name: _described(runner.get_input_details(), runner.get_output_details()) for name, runner in own.items()
        }, True
    return {examples.DEFAULT: _described(*map(_short, tensors_of.values()))}, False


def _short(named):
    """Returns {name without its number: details of a tensor}; with it, where TensorFlow Serving would lose one of two."""
    short = [name.partition(":")[0] for name in named]
    return {name if short.count(brief) > 1 else brief: named[name] for name, brief in zip(named, short, strict=True)}


def _described(inputs, outputs):
    """Returns the `SignatureDef` of {name: details of a tensor}s."""
    signature: Any = meta_graph_pb2.SignatureDef(method_name=examples.PREDICT)
    for infos, details in ((signature.inputs, inputs), (signature.outputs, outputs)):
        for name, detail in details.items():
            dtype = (
                np.dtype(object) if detail["dtype"] in (np.bytes_, np.str_, np.object_) else np.dtype(detail["dtype"])
            )
            shape = detail["shape_signature"] if len(detail["shape_signature"]) else detail["shape"]
            infos[name].name, infos[name].dtype = detail["name"], tensors.NUMBERS[dtype]
            for size in shape:
                infos[name].tensor_shape.dim.add(size=int(size))
    return signature


def _in_metadata(content) -> dict[str, Message]:
    """Returns the {name: `SignatureDef`} that older converters wrote into a model."""
    model = schema.Model.GetRootAsModel(content, 0)
    found = {}
    for i in range(model.MetadataLength()):
        if model.Metadata(i).Name() != METADATA:
            continue
        data = model.Buffers(model.Metadata(i).Buffer()).DataAsNumpy().tobytes()
        try:
            entries = flexbuffers.GetRoot(bytearray(data)).AsMap
            for key in entries.Keys:
                name = key.AsKey
                found[name] = meta_graph_pb2.SignatureDef.FromString(bytes(entries[name].AsStringBytes))
        except (DecodeError, ValueError, TypeError, AttributeError) as error:
            raise ValueError(f"Invalid SignatureDefs found in TfLite model: {error}") from None
    return found


def _run(interpreter, signature, inputs, outputs):
    given = {detail["name"]: detail for detail in interpreter.get_input_details()}
    taken = {detail["name"]: detail["index"] for detail in interpreter.get_output_details()}
    step = "resize input tensors"
    try:
        resized = False
        for name, value in inputs.items():
            detail = given[signature.inputs[name].name]
            if tuple(detail["shape"]) != value.shape:
                interpreter.resize_tensor_input(detail["index"], list(value.shape))
                resized = True
        step = "allocate tensors"
        if resized:
            interpreter.allocate_tensors()
        step = "invoke TfLite interpreter"
        for name, value in inputs.items():
            interpreter.set_tensor(given[signature.inputs[name].name]["index"], value)
        interpreter.invoke()
        return {name: _array(interpreter.get_tensor(taken[signature.outputs[name].name])) for name in outputs}
    except (RuntimeError, ValueError) as error:
        raise Refused("INTERNAL", f"Failed to {step}: {error}") from None


def _run_own(interpreter, signature_name, inputs):
    try:
        runner = interpreter.get_signature_runner(signature_name)
        return {name: _array(value) for name, value in runner(**inputs).items()}
    except (RuntimeError, ValueError) as error:
        raise Refused("INTERNAL", f"Failed to invoke TfLite interpreter: {error}") from None


def _array(value):
    return value.astype(object) if value.dtype.kind in "SU" else value
