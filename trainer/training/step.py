"""A step of an optimiser."""

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

Loss = Callable[[Any, Any], tuple[tf.Tensor, tf.Tensor]]


def per_example(loss: Loss, asked: float) -> Loss:
    """Returns a loss that is divided by the targets that as many examples have on average, `asked` each.

    Divided by those it has, a target in a batch of short rows would count many times one in a batch of long rows.
    """

    def divided(targets, outputs):
        return loss(targets, outputs)[0], asked * tf.cast(tf.shape(targets)[0], tf.float32)

    return divided


def training_step(
    model: keras.Model,
    loss: Loss,
    optimizer: keras.optimizers.Optimizer,
    signature: list[Any],
    *,
    accumulate: bool = False,
) -> Callable[[list], float]:
    """Returns a function [(inputs, targets)] -> loss that makes one step of the optimiser.

    The gradient is that of the loss summed over all that is given, divided once by its number of examples: batches of
    unequal size count as they should.

    Args:
        model: From inputs to logits.
        loss: (targets, logits) -> (its sum over the batch, over how many).
        optimizer: Built for the model's trainable variables.
        signature: Of inputs and targets, `tf.TensorSpec`s.
        accumulate: Take more than one batch a step, in the memory of one.
    """
    variables = model.trainable_variables

    @tf.function(input_signature=signature, autograph=False)
    def step(inputs, targets):
        with tf.GradientTape() as tape:
            total, count = loss(targets, model(inputs, training=True))
            mean = total / count
        optimizer.apply(tape.gradient(mean, variables), variables)
        return mean

    if not accumulate:
        return lambda batches: float(step(*batches[0]))

    sums = [tf.Variable(tf.zeros(variable.shape)) for variable in variables]

    @tf.function(input_signature=signature, autograph=False)
    def add(inputs, targets):
        with tf.GradientTape() as tape:
            total, count = loss(targets, model(inputs, training=True))
        for gradient_sum, gradient in zip(sums, tape.gradient(total, variables), strict=True):
            gradient_sum.assign_add(tf.convert_to_tensor(gradient))
        return total, count

    @tf.function(input_signature=[tf.TensorSpec([])], autograph=False)
    def apply(count):
        optimizer.apply([gradient_sum / count for gradient_sum in sums], variables)
        for gradient_sum in sums:
            gradient_sum.assign(tf.zeros_like(gradient_sum))

    def step_of_several(batches):
        losses, counts = zip(*[add(*batch) for batch in batches], strict=True)
        apply(tf.add_n(counts))
        return float(tf.add_n(losses) / tf.add_n(counts))

    return step_of_several
