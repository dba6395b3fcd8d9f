"""Dropout (Srivastava et al. 2014) whose mask is cheap: a random byte for each element, four of them in one drawn number.

Drawing is half of what dropout on attention maps costs on a CPU: Keras draws a float32 an element. A byte gives the rate to the nearest 1/256:
0.1 is 26/256, 0.1016; what is kept is divided by what is kept on average, exactly.
"""

import math
from copy import copy
from typing import Any

import keras
from keras import ops

from models.layers import register

VALUES = 256  # of a byte


def dropped_values(rate: float) -> int:
    """Returns how many of the 256 values of a byte are dropped: the rate to the nearest of them, 0 for a rate of 0 alone."""
    return min(max(round(VALUES * rate), 1), VALUES - 1) if rate else 0


class Mask:
    """What dropout keeps of a tensor, as a byte for each element.

    Args:
        shape: Of the tensor.
        rate: Above 0.
        seed: Draws the bytes.
    """

    def __init__(self, shape: Any, rate: float, seed: keras.random.SeedGenerator) -> None:
        count = math.prod(shape)
        words = keras.random.randint([(count + 3) // 4, 1], -(2**31), 2**31 - 1, dtype="int32", seed=seed)
        self.values = ops.reshape(ops.reshape(ops.view(words, "uint8"), [-1])[:count], shape)
        self.dropped = dropped_values(rate)
        self.scale = VALUES / (VALUES - self.dropped)  # what is kept is to be multiplied by

    def __call__(self, x: Any) -> Any:
        """Returns x, and 0 where it is dropped."""
        return x * ops.cast(self.values >= ops.cast(self.dropped, "uint8"), x.dtype)

    def after(self, gradient: Any) -> "Mask":
        """Returns the same mask, which is not ready before a gradient is; TensorFlow would apply it in the forward pass, where all it
        needs is there, and hold the result, floats for bytes, till then."""
        later = copy(self)
        one = ops.reshape(gradient, [-1])[:1]
        later.dropped = ops.where(ops.isnan(one), self.dropped, self.dropped)
        return later


@register
class Dropout(keras.layers.Dropout):
    """`keras.layers.Dropout` by random bytes; the gradient needs one of them an element."""

    def mask(self, shape: Any, training: bool | None) -> Mask | None:
        """Returns a new mask, drawn by the layer's seed; None where nothing is dropped."""
        return Mask(shape, self.rate, self.seed_generator) if training and self.rate else None

    def call(self, inputs, training=None):
        mask = self.mask(ops.shape(inputs), training)
        if mask is None:
            return inputs
        return ops.custom_gradient(lambda x: (mask(x) * mask.scale, lambda dy: mask.after(dy)(dy) * mask.scale))(inputs)
