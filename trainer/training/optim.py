"""AdamW as BERT is fine-tuned with: decoupled decay, linear warm-up and decay, clipping by global norm."""

import re

import keras
import numpy as np
import tensorflow as tf

EPSILON = 1e-6  # of google-research/bert; Keras has 1e-7, transformers 1e-8
UNDECAYED = r"(bias|gamma|beta)$"  # biases and layer normalisation


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


class AdamW(keras.optimizers.Adam):
    """Adam with decoupled weight decay (Loshchilov and Hutter 2017), a learning rate and a decay of its own a variable.

    TensorFlow's fused kernel: one pass over a variable and its two moments, not eight. With bias correction, as Keras and
    PyTorch have it; google-research/bert's optimiser has none.

    Args:
        learning_rate: Number or schedule.
        scales: One number a variable, times the learning rate.
        decays: One number a variable, times its learning rate and itself, taken off it at each step.
        **arguments: Of `keras.optimizers.Adam`.
    """

    def __init__(self, learning_rate, *, scales, decays, **arguments):
        super().__init__(learning_rate, **arguments)
        self.scales, self.decays = scales, decays

    def apply(self, grads, trainable_variables=None):
        # Dense before clipping: the norm of slices would count the rows of a repeated word apart.
        super().apply([tf.convert_to_tensor(gradient) for gradient in grads], trainable_variables)

    def update_step(self, gradient, variable, learning_rate):
        index = self._get_variable_index(variable)
        rate = tf.cast(learning_rate, tf.float32) * self.scales[index]
        if self.decays[index]:
            variable.assign_sub(variable * (rate * self.decays[index]))
        step = tf.cast(self.iterations + 1, tf.float32)
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=self._momentums[index].value.handle,
            v=self._velocities[index].value.handle,
            beta1_power=self.beta_1**step,
            beta2_power=self.beta_2**step,
            lr=rate,
            beta1=self.beta_1,
            beta2=self.beta_2,
            epsilon=self.epsilon,
            grad=gradient,
        )


def optimizer(variables, *, learning_rate, warmup, total, weight_decay, epsilon=EPSILON, scales=None):
    """Returns an `AdamW` built for `variables`, as BERT is fine-tuned with: linear schedule, clipped at norm 1.

    Args:
        variables: Trainable Keras variables.
        learning_rate: At the end of the warm-up.
        warmup, total: Steps.
        weight_decay: Decoupled, times the learning rate, on all but biases and layer normalisation.
        epsilon: Added to the root of the second moment as it is; PyTorch corrects its bias before.
        scales: Times the learning rate, one number a variable (see `layer_scales`); 1 by default.
    """
    result = AdamW(
        WarmupLinearDecay(learning_rate, warmup, total),
        scales=[1.0] * len(variables) if scales is None else scales,
        decays=[weight_decay if _decayed(variable) else 0.0 for variable in variables],
        epsilon=epsilon,
        global_clipnorm=1.0,
    )
    result.build(variables)
    return result


def _decayed(variable):
    return not re.search(UNDECAYED, variable.path)


def describe(variables):
    """Returns in words how many of the variables, and parameters, are decayed."""
    decayed = [variable for variable in variables if _decayed(variable)]
    return f"weight decay on {len(decayed)} of {len(variables)} variables ({count(decayed):,} parameters)"


def count(variables):
    """Returns how many parameters the variables hold."""
    return sum(int(np.prod(variable.shape)) for variable in variables)


def freeze(model, depth_of, below):
    """Makes all layers of `model` that are less deep than `below` keep their weights; `depth_of`: see `Architecture.depths`."""
    for layer in model.layers:
        layer.trainable = depth_of[layer.name] >= below


def layer_scales(variables, depth_of, decay):
    """Returns one factor of the learning rate a variable: `decay` to the power of how many levels it lies below the head.

    Reference: ELECTRA (Clark et al. 2020), whose code has the same levels; Howard and Ruder 2018 call it discriminative
    fine-tuning.
    """
    top = max(depth_of.values())
    return [decay ** (top - depth_of[variable.path.split("/")[0]]) for variable in variables]
