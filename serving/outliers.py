"""Units of feed-forward networks that 8 bits cannot hold, computed beside the others; the answers stay the same.

In int8 the weights of a column have one scale. Pretrained encoders have units whose weights to the next layer are many times those
of the others: in five of MiniLM's six layers the largest are 11 to 55 times the median, and leave the others a few steps. The
largest of them get matrices of their own, small enough to stay in float32: two of a layer of MiniLM, one of BERT-base; a row of
BERT-large is too long for one. LLM.int8() (Dettmers et al. 2022, arXiv 2208.07339) does so with features of large activations.

Glossary of shapes: D width, F units of a feed-forward network, K of them apart.
"""

import keras
import numpy as np

INNER, OUTPUT = "_feed_forward_inner", "_feed_forward_output"  # endings of the names in `models.transformer`
FACTOR = 5  # times the median of the units' largest weights
SMALL = 1023  # most numbers of a matrix that LiteRT's converter leaves in float32


def apart(model: keras.Model) -> keras.Model:
    """Returns a model that gives the same answers and computes the outliers of each feed-forward network apart.

    Args:
        model: Functional and flat, of `models.transformer`, each network called once; it stays as it is.
    """
    units = {
        layer.name.removesuffix(OUTPUT): found
        for layer in model.layers
        if layer.name.endswith(OUTPUT) and len(found := outliers(keras.ops.convert_to_numpy(layer.kernel)))
    }
    beside: dict[str, keras.KerasTensor] = {}  # what the outliers give, [..., K]

    def call(layer, *arguments, **named):
        part = layer.name.removesuffix(INNER).removesuffix(OUTPUT)
        if part not in units or part == layer.name:  # a layer whose name has neither ending is none of a network
            return layer(*arguments, **named)
        (x,), chosen = arguments, units[part]
        kernel, bias = layer.get_weights()
        rest = kernel.copy()
        if layer.name.endswith(INNER):
            rest[:, chosen] = 0
            beside[part] = _dense(layer, kernel[:, chosen], bias[chosen], "_apart")(x)
            return _dense(layer, rest, np.where(np.isin(np.arange(len(bias)), chosen), 0, bias))(x)
        rest[chosen] = 0
        return _dense(layer, rest, bias)(x) + _dense(layer, kernel[chosen], np.zeros_like(bias), "_apart")(beside[part])

    return keras.models.clone_model(model, clone_function=lambda layer: layer, call_function=call)


def outliers(kernel: np.ndarray) -> np.ndarray:
    """Returns the units [K] of a matrix [F, D] whose outgoing weights are outliers, the largest first, as many as a `SMALL` matrix
    holds."""
    largest = np.abs(kernel).max(axis=1)
    found = np.flatnonzero(largest > FACTOR * np.median(largest))
    return found[np.argsort(-largest[found])][: SMALL // kernel.shape[1]]


def _dense(layer, kernel, bias, ending=""):
    """Returns a layer like another, with these weights."""
    made = keras.layers.Dense(kernel.shape[1], activation=layer.activation, name=layer.name + ending)
    made.build([None, kernel.shape[0]])
    made.set_weights([kernel, bias])
    return made
