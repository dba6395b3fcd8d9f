"""What `--runtime litert` adds to an export: its encoder for LiteRT, and what stands around it, see `serving.server.models.apart`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from serving import outliers
from serving.server.models.apart import DECODE, ENCODER, FOLDER, SEQUENCES, TEXT
from serving.server.models.encoder import OUTPUT, Encoder
from trainer.tasks.parts import Parts
from trainer.training.step import in_float32

PRECISIONS = ("fp32", "int8")


def write(folder: Path, model: keras.Model, parts: Mapping[str, Parts], precision: str) -> bytes:
    """Writes the encoder and its parts below the folder of a version; returns the encoder.

    Args:
        folder: With the SavedModel.
        model, parts: Of `trainer.runs.run.Run.apart`.
        precision: Of `PRECISIONS`: of the weights; int8: activations are quantized as they come, row by row.

    Raises:
        OSError, tf.errors.OpError: Writing failed.
    """
    content = converted(model, precision)
    functions: dict[str, Any] = {}
    for name, each in parts.items():
        functions |= {name + kind: function for kind, function in _functions(each, model).items()}
    tf.saved_model.save(tf.Module(), str(folder / FOLDER), signatures=functions)
    (folder / FOLDER / ENCODER).write_bytes(content)
    return content


def converted(model: keras.Model, precision: str) -> bytes:
    """Returns a model in LiteRT's form.

    Args:
        model: From sequences one after the other in one row, [1, T], see `models.bert`, to [N, C] or [1, T, C].
        precision: Of `PRECISIONS`.
    """
    if precision == "int8":
        model = outliers.apart(model)

    @tf.function(
        input_signature=[{name: tf.TensorSpec(x.shape, x.dtype, name) for name, x in model.input.items()}],
        autograph=False,
    )
    def encode(row):
        return in_float32(model(row, training=False))

    # Else the converter would leave the weights variables, which LiteRT does not pack in advance
    frozen = convert_variables_to_constants_v2(encode.get_concrete_function())
    converter = tf.lite.TFLiteConverter.from_concrete_functions([frozen], tf.Module())
    if precision == "int8":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    return converter.convert()


def _functions(parts: Parts, model: keras.Model) -> dict[str, Any]:
    """Returns both parts of a signature as tf.functions, from tensors to tensors by name; decoding is given only what it uses."""
    structure: Any = None

    def read(*strings):
        nonlocal structure
        structure = parts.read(*strings)
        inputs = parts.frame(structure)
        lengths = tf.reduce_sum(tf.cast(inputs.pop("mask"), tf.int32), axis=1)
        sequences = {SEQUENCES + name: x for name, x in inputs.items() if name in model.input}
        return {"lengths": lengths} | sequences, tf.nest.flatten(structure, expand_composites=True)

    def decode(outputs, *values):
        return parts.decode(tf.nest.pack_sequence_as(structure, values, expand_composites=True), outputs)

    reading = tf.function(read, input_signature=parts.signature, autograph=False).get_concrete_function()
    specs = [tf.TensorSpec(x.shape, x.dtype, f"read_{i}") for i, x in enumerate(reading.structured_outputs[1])]
    of_model = tf.TensorSpec([None, model.output.shape[-1]], tf.float32, OUTPUT)
    decoding = tf.function(decode, input_signature=[of_model, *specs], autograph=False).get_concrete_function()
    # What no operation of decoding reads need not leave the first session
    used = [i for i in range(len(specs)) if decoding.inputs[1 + i].consumers()]

    def text(*strings):
        inputs, values = reading(*strings)
        return inputs | {specs[i].name: values[i] for i in used}

    def answer(outputs, *values):
        given: list[tf.Tensor] = [tf.zeros([size or 0 for size in spec.shape], spec.dtype) for spec in specs]
        for i, value in zip(used, values, strict=True):
            given[i] = value
        return decoding(outputs, *given)

    return {
        TEXT: tf.function(text, input_signature=parts.signature, autograph=False),
        DECODE: tf.function(answer, input_signature=[of_model, *(specs[i] for i in used)], autograph=False),
    }


class Computed:
    """Stands for a run's model where it is scored: LiteRT computes it, as in a server.

    Args:
        model: That of the run, padded inputs [B, S] to [B, C] or [B, S, C].
        content: The encoder.
        threads: Rows at once.
    """

    def __init__(self, model: keras.Model, content: bytes, threads: int) -> None:
        self._model, self._encoder = model, Encoder(content, threads)

    def __call__(self, inputs: Mapping[str, tf.Tensor], training: bool = False) -> tf.Tensor:
        """Returns the outputs of sequences, zeros at padding."""
        names = [name for name in self._model.input if name != "mask"]
        shape = self._model.output.shape

        def compute(mask, *values):
            outputs = self._encoder(dict(zip(names, values, strict=True)), mask.sum(axis=1))
            if len(shape) == 2:
                return outputs
            padded = np.zeros([*mask.shape, shape[-1]], np.float32)
            padded[mask] = outputs
            return padded

        computed = tf.numpy_function(compute, [inputs["mask"], *(inputs[name] for name in names)], tf.float32)
        return tf.ensure_shape(computed, shape)
