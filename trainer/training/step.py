"""A step of an optimiser."""

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

# (targets, what the model gives) -> (its sum over the batch, over how many); of a loss of several parts both are vectors
Loss = Callable[[Any, Any], tuple[tf.Tensor, tf.Tensor]]
Measures = dict[str, float]  # what is known of a step, by name; `loss` first


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
    counts: Callable[[Any], tf.Tensor] | None = None,
    measures: Callable[[Any, Any], dict[str, tf.Tensor]] | None = None,
) -> Callable[[list], Measures]:
    """Returns a function [(inputs, targets)] -> measures that makes one step of the optimiser.

    The gradient is that of the loss summed over all that is given, divided once by its number of examples: batches of
    unequal size count as they should. Of a loss of several parts each is divided by its own number, then they are added.

    Args:
        model: From inputs to logits.
        loss: See `Loss`.
        optimizer: Built for the model's trainable variables.
        signature: Of inputs and targets, `tf.TensorSpec`s.
        accumulate: Take more than one batch a step, in the memory of one.
        counts: targets -> the second of what `loss` gives; needed to accumulate a loss of several parts.
        measures: (targets, what the model gives) -> what else to say of a batch, by name; the last batch of a step counts.
    """
    variables = model.trainable_variables
    measured = measures or (lambda targets, outputs: {})

    @tf.function(input_signature=signature, autograph=False)
    def step(inputs, targets):
        with tf.GradientTape() as tape:
            outputs = model(inputs, training=True)
            total, count = loss(targets, outputs)
            mean = tf.reduce_sum(total / count)
        optimizer.apply(tape.gradient(mean, variables), variables)
        return mean, measured(targets, outputs)

    if not accumulate:
        return lambda batches: _floats(*step(*batches[0]))

    sums = [tf.Variable(tf.zeros(variable.shape)) for variable in variables]

    @tf.function(input_signature=[*signature, tf.TensorSpec(None)], autograph=False)
    def add(inputs, targets, divisor):
        with tf.GradientTape() as tape:
            outputs = model(inputs, training=True)
            total, count = loss(targets, outputs)
            total = tf.reduce_sum(total / divisor)
        for gradient_sum, gradient in zip(sums, tape.gradient(total, variables), strict=True):
            gradient_sum.assign_add(tf.convert_to_tensor(gradient))
        return total, count, measured(targets, outputs)

    @tf.function(input_signature=[tf.TensorSpec([])], autograph=False)
    def apply(count):
        optimizer.apply([gradient_sum / count for gradient_sum in sums], variables)
        for gradient_sum in sums:
            gradient_sum.assign(tf.zeros_like(gradient_sum))

    def step_of_several(batches):
        divisor = tf.add_n([counts(targets) for _, targets in batches]) if counts else tf.constant(1.0)
        losses, numbers, seen = zip(*[add(*batch, divisor) for batch in batches], strict=True)
        number = tf.constant(1.0) if counts else tf.add_n(numbers)
        apply(number)
        return _floats(tf.add_n(losses) / number, seen[-1])

    return step_of_several


def _floats(loss, measures):
    return {"loss": float(loss)} | {name: float(value) for name, value in measures.items()}
