"""AdamW as BERT is fine-tuned with: decoupled decay, linear warm-up and decay, clipping by global norm."""

import re

import keras
import numpy as np
import tensorflow as tf

UNDECAYED = r"(bias|gamma|beta)(:0)?$"  # biases and layer normalisation; TensorFlow appends :0 to a variable's name


class WarmupLinearDecay(keras.optimizers.schedules.LearningRateSchedule):
    """0 to `peak` in `warmup` steps, then linearly to 0 at step `total`; as `get_linear_schedule_with_warmup` of transformers.

    Args:
        peak: Learning rate at the end of the warm-up.
        warmup, total: Steps.
    """

    def __init__(self, peak, warmup, total):
        self.peak, self.warmup, self.total = peak, warmup, total

    def __call__(self, step):
        step = tf.cast(step, tf.float32)
        up = step / max(self.warmup, 1)
        down = (self.total - step) / max(self.total - self.warmup, 1)
        return self.peak * tf.maximum(0.0, tf.minimum(1.0, tf.where(step < self.warmup, up, down)))

    def get_config(self):
        return {"peak": self.peak, "warmup": self.warmup, "total": self.total}


class AdamW(keras.optimizers.AdamW):
    """`keras.optimizers.AdamW` with TensorFlow's fused kernel: one pass over a variable and its two moments, not eight.

    With bias correction, as Keras and PyTorch have it; google-research/bert's optimiser has none.
    """

    def apply(self, grads, trainable_variables=None):
        # Dense before clipping: the norm of slices would count the rows of a repeated word apart.
        super().apply([tf.convert_to_tensor(gradient) for gradient in grads], trainable_variables)

    def update_step(self, gradient, variable, learning_rate):
        index = self._get_variable_index(variable)
        step = tf.cast(self.iterations + 1, tf.float32)
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=self._momentums[index].value.handle,
            v=self._velocities[index].value.handle,
            beta1_power=self.beta_1**step,
            beta2_power=self.beta_2**step,
            lr=tf.cast(learning_rate, tf.float32),
            beta1=self.beta_1,
            beta2=self.beta_2,
            epsilon=self.epsilon,
            grad=gradient,
        )


def optimizer(variables, *, learning_rate, warmup, total, weight_decay):
    """Returns an `AdamW` built for `variables`.

    Args:
        variables: Trainable Keras variables.
        learning_rate: At the end of the warm-up.
        warmup, total: Steps.
        weight_decay: Decoupled, times the learning rate, on all but biases and layer normalisation.
    """
    result = AdamW(
        WarmupLinearDecay(learning_rate, warmup, total),
        weight_decay=weight_decay,
        epsilon=1e-6,  # google-research/bert; Keras has 1e-7
        global_clipnorm=1.0,
    )
    result.exclude_from_weight_decay(var_names=[UNDECAYED])
    result.build(variables)
    return result


def describe(variables):
    """Returns in words how many of the variables, and parameters, are decayed."""
    decayed = [v for v in variables if not re.search(UNDECAYED, v.path)]
    parameters = sum(int(np.prod(v.shape)) for v in decayed)
    return f"weight decay on {len(decayed)} of {len(variables)} variables ({parameters:,} parameters)"
