"""A step of an optimiser."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from trainer.training.workers import ALONE, Workers

# (targets, what the model gives) -> (its sum over the batch, over how many); of a loss of several parts both are vectors
Loss = Callable[[Any, Any], tuple[tf.Tensor, tf.Tensor]]
Measures = dict[str, float]  # what is known of a step, by name; `loss` first


class Batch(NamedTuple):
    """What a step takes, one or more of them; `counts`: false of rows that another worker has already."""

    inputs: Any
    targets: Any
    counts: bool = True


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
    workers: Workers = ALONE,
) -> Callable[[Sequence[Batch | tuple]], Measures]:
    """Returns a function [(inputs, targets)] -> measures that makes one step of the optimiser.

    The gradient is that of the loss summed over all that is given, to all workers, divided once by its number of examples:
    batches of unequal size count as they should. Of a loss of several parts each is divided by its own number, then they are
    added.

    Args:
        model: From inputs to logits.
        loss: See `Loss`.
        optimizer: Built for the model's trainable variables.
        signature: Of inputs and targets, `tf.TensorSpec`s.
        accumulate: Take more than one batch a step, in the memory of one.
        counts: targets -> the second of what `loss` gives; needed to accumulate a loss of several parts, and of several workers.
        measures: (targets, what the model gives) -> what else to say of a batch, by name; the last batch of a step counts, of
            several workers the mean.
        workers: That share the batches; each makes the step.
    """
    variables = model.trainable_variables
    measured = measures or (lambda targets, outputs: {})
    scaled = getattr(optimizer, "scale_loss", lambda total: total)  # of mixed_float16

    @tf.function(input_signature=signature, autograph=False)
    def step(inputs, targets):
        with tf.GradientTape() as tape:
            outputs = in_float32(model(inputs, training=True))
            total, count = loss(targets, outputs)
            mean = tf.reduce_sum(total / count)
            objective = scaled(mean)
        optimizer.apply(tape.gradient(objective, variables), variables)
        return mean, measured(targets, outputs)

    if not accumulate and workers.number == 1:
        return lambda batches: _measures(*step(*batches[0][:2]))

    sums = [tf.Variable(tf.zeros(variable.shape)) for variable in variables]

    @tf.function(input_signature=[*signature, tf.TensorSpec(None)], autograph=False)
    def add(inputs, targets, divisor):
        with tf.GradientTape() as tape:
            outputs = in_float32(model(inputs, training=True))
            total, count = loss(targets, outputs)
            total = tf.reduce_sum(total / divisor)
            objective = scaled(total)
        for gradient_sum, gradient in zip(sums, tape.gradient(objective, variables), strict=True):
            gradient_sum.assign_add(tf.convert_to_tensor(gradient))
        return total, count, measured(targets, outputs)

    @tf.function(input_signature=[tf.TensorSpec([None])], autograph=False)
    def apply(numbers):
        *gradients, numbers = _totals([*sums, numbers], workers)
        optimizer.apply([gradient / numbers[0] for gradient in gradients], variables)
        for gradient_sum in sums:
            gradient_sum.assign(tf.zeros_like(gradient_sum))
        return numbers

    def step_of_several(batches):
        batches = [Batch(*batch) for batch in batches]
        divisor = tf.constant(1.0)
        if counts:
            divisor = workers.total(tf.add_n([counts(batch.targets) * batch.counts for batch in batches]))
        # What does not count is divided by infinity: its gradients are 0, and the dropout's seeds go on as everywhere
        parts = [add(batch.inputs, batch.targets, divisor if batch.counts else np.inf) for batch in batches]
        losses, numbers, seen = zip(*parts, strict=True)
        number = tf.add_n([n * batch.counts for n, batch in zip(numbers, batches, strict=True)])
        if counts:
            number = float(workers.is_chief)
        weight = float(batches[-1].counts)
        number, loss, weight, *values = apply(
            tf.stack([number, tf.add_n(losses), weight, *[value * weight for value in seen[-1].values()]])
        ).numpy()
        return _measures(loss / number, dict(zip(seen[-1], [value / weight for value in values], strict=True)))

    def together(batches):
        with workers.needed():
            return step_of_several(batches)

    return together


def in_float32(outputs: Any) -> Any:
    """Returns what a model gives, whatever precision it computes in, as float32: so are losses and scores."""
    half = lambda x: x.dtype in (tf.float16, tf.bfloat16)
    return tf.nest.map_structure(lambda x: tf.cast(x, tf.float32) if half(x) else x, outputs)


def _totals(tensors, workers):
    """Returns the sums of tensors over all workers, which add them as one: it takes them some time to begin."""
    if workers.number == 1:
        return tensors
    flat = tf.split(
        workers.total(tf.concat([tf.reshape(x, [-1]) for x in tensors], 0)),
        [tf.size(x) for x in tensors],
        num=len(tensors),
    )
    return [tf.reshape(x, tf.shape(tensor)) for x, tensor in zip(flat, tensors, strict=True)]


def _measures(loss, measures):
    return {"loss": float(loss)} | {name: float(value) for name, value in measures.items()}
