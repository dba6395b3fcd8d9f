"""One step of an optimiser."""

import tensorflow as tf

from trainer.text.frame import INPUTS


def training_step(model, kind, optimizer, *, accumulate=False):
    """Returns a function [(inputs, targets)] -> loss that makes one step of the optimiser.

    The gradient is that of the loss summed over all that is given, divided once by its number of examples: batches of
    unequal size count as they should. `accumulate`: take more than one batch a step, in the memory of one.
    """
    variables = model.trainable_variables
    signature = [INPUTS, kind.TARGETS]

    @tf.function(input_signature=signature, autograph=False)
    def step(inputs, targets):
        with tf.GradientTape() as tape:
            total, count = kind.loss(targets, model(inputs, training=True))
            loss = total / count
        optimizer.apply(tape.gradient(loss, variables), variables)
        return loss

    if not accumulate:
        return lambda batches: float(step(*batches[0]))

    sums = [tf.Variable(tf.zeros(variable.shape)) for variable in variables]

    @tf.function(input_signature=signature, autograph=False)
    def add(inputs, targets):
        with tf.GradientTape() as tape:
            total, count = kind.loss(targets, model(inputs, training=True))
        for one, gradient in zip(sums, tape.gradient(total, variables), strict=True):
            one.assign_add(tf.convert_to_tensor(gradient))
        return total, count

    @tf.function(input_signature=[tf.TensorSpec([])], autograph=False)
    def apply(count):
        optimizer.apply([one / count for one in sums], variables)
        for one in sums:
            one.assign(tf.zeros_like(one))

    def step_of_several(batches):
        losses, counts = zip(*[add(*batch) for batch in batches], strict=True)
        apply(tf.add_n(counts))
        return float(tf.add_n(losses) / tf.add_n(counts))

    return step_of_several
