"""Training in less memory: what the layers of a Transformer give is forgotten, and computed again for the gradient.

Of a batch of long rows, attention maps and what stands between the products of a layer take many times the memory of the weights.
Kept is what each layer begins with; on the way back the layer is computed anew, with the same dropout (Chen et al. 2016, "Training
Deep Nets with Sublinear Memory Cost", arXiv 1604.06174). A step takes about a third longer.
"""

from itertools import pairwise
from typing import Any, NamedTuple

import keras
import tensorflow as tf

from trainer.errors import Mistake
from trainer.training import machine

SHARE = 0.8  # of the free memory that what is kept may take


class Recompute(NamedTuple):
    """Whether layers are computed anew, and lines that say so."""

    on: bool
    said: list[str]

    @classmethod
    def of(cls, choice: str, model: keras.Model, rows: int, length: int) -> "Recompute":
        """Returns the decision about a training run.

        Args:
            choice: `yes`, `no`, or `auto`: where what is kept of the longest batch does not fit into the memory that is free; on a
                GPU never.
            model: That is trained.
            rows, length: Of the longest batch.

        Raises:
            Mistake: `yes`, and the model has no layers of a Transformer.
        """
        transformer = bool(_bounds(model))
        if choice == "yes" and not transformer:
            raise Mistake("--recompute yes: expected a model of Transformer layers, received one without")
        if choice == "no" or not transformer:
            return cls(False, [])
        free, needed = machine.free_memory(), kept_bytes(model, rows, length)
        if choice == "auto" and (free is None or needed < SHARE * free):
            return cls(False, [])
        of_free = f" of {free / 1e9:.1f} that are free" if free else ""
        why = f"what they give of {rows} x {length} takes {needed / 1e9:.1f} GB{of_free}"
        return cls(True, [f"recompute layers are computed anew for the gradient: {why}"])


def kept_bytes(model: keras.Model, rows: int, length: int) -> int:
    """Returns about how many bytes a training step of a model holds of a batch, where nothing is computed anew.

    Of a layer that is attention's map and a byte of dropout for each of its elements, 14 tensors as wide as the model and 4 as wide as the
    feed-forward network, counted in a step of BERT; and 4 maps while one layer's gradient is computed.
    """
    layers = len(_bounds(model)) - 1
    attention, inner = model.get_layer("layer_0_attention"), model.get_layer("layer_0_feed_forward_inner")
    width = model.get_layer("layer_0_attention_qkv").units // 3
    size = 4 if attention.compute_dtype == "float32" else 2  # bytes
    of_map = rows * attention.heads * length**2
    of_layer = of_map * (size + 1) + rows * length * (14 * width + 4 * inner.units) * size
    return layers * of_layer + 4 * of_map * size


class Recomputing:
    """Computes what a functional model with layers of `models.transformer` computes, on its variables; called like the model.

    Results and gradients are the model's, to the last bits; so are the random seeds behind a step.
    """

    def __init__(self, model: keras.Model) -> None:
        self.trainable_variables = model.trainable_variables
        self.names = [tensor.name for tensor in model.inputs]
        shared = [layer.output for layer in model.layers if layer.name == "packing"]  # of all layers
        bounds, outputs = _bounds(model), keras.tree.flatten(model.output)
        self.begin = _Part(model.inputs, [*shared, bounds[0]])
        self.layers = [_Layer([*model.inputs, *shared, x], y, outputs) for x, y in pairwise(bounds)]
        inside = [tensor for layer in self.layers for tensor in layer.inside]
        self.end = _Part([*model.inputs, *shared, *bounds, *inside], model.output)

    def __call__(self, inputs: dict[str, tf.Tensor], training: bool = True) -> Any:
        given = [inputs[name] for name in self.names]
        *shared, x = self.begin(given, training=training)
        states, inside = [x], []
        for layer in self.layers:
            x, *others = layer([*given, *shared], x, training=training)
            states.append(x)
            inside += others
        return self.end([*given, *shared, *states, *inside], training=training)


def _bounds(model):
    """Returns what each layer of a Transformer begins with, then what the last one gives; of other models nothing."""
    names = {layer.name for layer in model.layers}
    layers = 0
    while f"layer_{layers}_attention_qkv" in names:
        layers += 1
    if not layers:
        return []
    last = f"layer_{layers - 1}"
    norm_first = f"{last}_output_norm" in names
    first = "attention_norm" if norm_first else "attention_qkv"
    given = model.get_layer(f"{last}_output_norm" if norm_first else f"{last}_feed_forward_norm").output
    return [*(model.get_layer(f"layer_{i}_{first}").input for i in range(layers)), given]


class _Part(keras.layers.Layer):
    """A part of a functional model, from some of its tensors to others; as a layer, so that those inside know whether they train."""

    def __init__(self, inputs: list[keras.KerasTensor], outputs: Any) -> None:
        super().__init__(name="part", autocast=False)
        self.function = keras.Function(inputs, outputs)

    def call(self, tensors, training=None):
        return self.function(tensors)

    def seeds(self) -> list[keras.Variable]:
        """Returns the states of the random generators."""
        layers = [layer for layer in self.function.operations if isinstance(layer, keras.layers.Layer)]
        return [v for layer in layers for v in layer.non_trainable_variables if v.path.endswith("seed_generator_state")]


class _Layer:
    """A layer of a Transformer, from what all layers read and from the one before; computed anew for its gradient.

    Args:
        inputs: What all read, and what the layer begins with.
        output: What it gives.
        outputs: Of the whole model; those that are made inside this layer (maps, keys and values) are `inside`.
    """

    def __init__(
        self, inputs: list[keras.KerasTensor], output: keras.KerasTensor, outputs: list[keras.KerasTensor]
    ) -> None:
        made = {id(x) for layer in keras.Function(inputs, output).operations for x in keras.tree.flatten(layer.output)}
        self.inside = [x for x in outputs if id(x) in made and x is not output]
        self.part = _Part(inputs, [output, *self.inside])
        self.seeds = self.part.seeds()

    def __call__(self, shared: list[tf.Tensor], x: tf.Tensor, *, training: bool) -> list[tf.Tensor]:
        @tf.custom_gradient
        def run(x):
            before = [tf.identity(seed.value) for seed in self.seeds]
            outputs = self.part([*shared, x], training=training)

            def gradient(*of_outputs, variables=()):
                with tf.control_dependencies(of_outputs):  # or all would be computed at once, and kept
                    again = tf.identity(x)
                drawn = keras.StatelessScope(state_mapping=list(zip(self.seeds, before, strict=True)))
                with tf.GradientTape() as tape, drawn:
                    tape.watch(again)
                    outputs = self.part([*shared, again], training=training)
                return tape.gradient(outputs, (again, list(variables)), output_gradients=of_outputs)

            return outputs, gradient

        return run(x)
