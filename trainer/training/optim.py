"""Optimisers with decoupled decay, schedules of the learning rate, clipping by global norm; by default as BERT is fine-tuned."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import keras
import numpy as np
import tensorflow as tf

from trainer.architectures.base import layers_of
from trainer.training.decay import EPSILON, falling, is_decayed

MOMENTUM = 0.9  # of SGD

Rate: TypeAlias = float | keras.optimizers.schedules.LearningRateSchedule


def _cosine(step, warmup, total):
    progress = (step - warmup) / max(total - warmup, 1)
    return 0.5 * (1.0 + tf.cos(np.pi * tf.clip_by_value(progress, 0.0, 1.0)))


def _inverse_square_root(step, warmup, total):
    return tf.sqrt(max(warmup, 1) / tf.maximum(step, 1.0))


def _constant(step, warmup, total):
    return tf.ones_like(step)


# What follows the warm-up, by name: (step, warmup, total) -> share of the peak; and in words
SCHEDULES: dict[str, tuple[Callable[[tf.Tensor, int, int], tf.Tensor], str]] = {
    "linear": (falling, "then linearly to 0"),  # `get_linear_schedule_with_warmup` of transformers
    "cosine": (_cosine, "then along a cosine to 0"),
    # Vaswani et al. 2017
    "inverse_square_root": (_inverse_square_root, "then with the inverse square root of the steps"),
    "constant": (_constant, "then constant"),
}


class Schedule(keras.optimizers.schedules.LearningRateSchedule):
    """A learning rate that rises from 0 to `peak` in `warmup` steps, then follows one of `SCHEDULES`, never below 0.

    Args:
        peak: Learning rate at the end of the warm-up.
        warmup, total: Steps.
        kind: One of `SCHEDULES`.
    """

    def __init__(self, peak: float, warmup: int, total: int, kind: str = "linear") -> None:
        self.peak, self.warmup, self.total, self.kind = peak, warmup, total, kind

    def __call__(self, step: int | tf.Tensor) -> tf.Tensor:
        step = tf.cast(step, tf.float32)
        rising = step / max(self.warmup, 1)
        falling = SCHEDULES[self.kind][0](step, self.warmup, self.total)
        return self.peak * tf.maximum(0.0, tf.minimum(1.0, tf.where(step < self.warmup, rising, falling)))

    def get_config(self) -> dict[str, Any]:
        return {"peak": self.peak, "warmup": self.warmup, "total": self.total, "kind": self.kind}


class _PerVariable(keras.optimizers.Optimizer):
    """An optimiser with a learning-rate multiplier and a decoupled weight decay for each variable.

    Args:
        learning_rate: Number or schedule.
        scales: A learning-rate multiplier for each variable.
        decays: A decoupled weight decay for each variable: each step subtracts decay * learning rate * variable.
        **arguments: Of the Keras optimiser.
    """

    def __init__(
        self, learning_rate: Rate, *, scales: Sequence[float], decays: Sequence[float], **arguments: Any
    ) -> None:
        super().__init__(learning_rate, **arguments)
        self.scales, self.decays = scales, decays

    def apply(self, grads: Sequence[tf.Tensor], trainable_variables: Sequence[keras.Variable] | None = None) -> None:
        # Dense before clipping: the norm of slices would count the rows of a repeated word separately.
        super().apply([tf.convert_to_tensor(gradient) for gradient in grads], trainable_variables)

    def update_step(self, gradient: tf.Tensor, variable: keras.Variable, learning_rate: tf.Tensor) -> None:
        index = self._get_variable_index(variable)
        rate = tf.cast(learning_rate, tf.float32) * self.scales[index]
        if self.decays[index]:
            variable.assign_sub(variable * (rate * self.decays[index]))
        self.move(gradient, variable, rate, index)

    def move(self, gradient: tf.Tensor, variable: keras.Variable, rate: tf.Tensor, index: int) -> None:
        """Takes the step of the optimiser itself.

        Args:
            gradient: Of the variable, dense.
            variable: To update.
            rate: Learning rate of this variable.
            index: Of the variable among those of the optimiser.
        """
        raise NotImplementedError


class AdamW(_PerVariable, keras.optimizers.Adam):
    """Adam with decoupled weight decay (Loshchilov and Hutter 2017).

    It calls TensorFlow's fused kernel, which makes one pass over a variable and its two moments instead of eight. It corrects
    the bias of the moments, as Keras and PyTorch do; google-research/bert's optimiser does not.
    """

    def move(self, gradient: tf.Tensor, variable: keras.Variable, rate: tf.Tensor, index: int) -> None:
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


class SGD(_PerVariable, keras.optimizers.SGD):
    """Stochastic gradient descent with momentum, and decoupled weight decay."""

    def move(self, gradient: tf.Tensor, variable: keras.Variable, rate: tf.Tensor, index: int) -> None:
        keras.optimizers.SGD.update_step(self, gradient, variable, rate)


OPTIMIZERS: dict[str, Callable[..., keras.optimizers.Optimizer]] = {
    "adamw": lambda rate, epsilon, **arguments: AdamW(rate, epsilon=epsilon, **arguments),
    "sgd": lambda rate, epsilon, **arguments: SGD(rate, momentum=MOMENTUM, **arguments),
}


def optimizer(
    variables: Sequence[keras.Variable],
    schedule: Rate,
    *,
    weight_decay: float,
    name: str = "adamw",
    epsilon: float = EPSILON,
    clip_norm: float = 1.0,
    scales: Sequence[float] | None = None,
    scales_loss: bool = False,
) -> keras.optimizers.Optimizer:
    """Returns an optimiser built for `variables`; the defaults are those that BERT is fine-tuned with.

    Args:
        variables: Trainable Keras variables.
        schedule: Learning rate: a number, or a `Schedule`.
        weight_decay: Decoupled, times the learning rate, on all but biases and layer normalisation.
        name: One of `OPTIMIZERS`.
        epsilon: Of Adam, added to the root of the second moment before the correction of its bias; PyTorch adds it after.
        clip_norm: Global norm at which the gradients are clipped; 0: they are not.
        scales: A learning-rate multiplier for each variable (see `layer_scales`); 1 by default.
        scales_loss: Take the gradients of a loss times a factor, so that small ones are no zeros in float16; where one is no number,
            leave the step out and halve the factor (Micikevicius et al. 2017, arXiv 1710.03740).
    """
    result = OPTIMIZERS[name](
        schedule,
        epsilon,
        scales=[1.0] * len(variables) if scales is None else scales,
        decays=[weight_decay if is_decayed(variable) else 0.0 for variable in variables],
        global_clipnorm=clip_norm or None,
    )
    if scales_loss:
        result = keras.optimizers.LossScaleOptimizer(result)
    result.build(variables)
    return result


def freeze(model: keras.Model, depths: Mapping[str, int], below: int) -> None:
    """Freezes the weights of all layers of `model` whose depth is less than `below`; `depths`: see `Architecture.depths`."""
    for layer in layers_of(model):
        scope = next((variable.path.split("/")[0] for variable in layer.weights), "")
        if scope in depths:
            layer.trainable = depths[scope] >= below


def layer_scales(
    variables: Sequence[keras.Variable],
    depths: Mapping[str, int],
    decay: float,
    rates: Mapping[str, float] | None = None,
) -> list[float]:
    """Returns a factor of the learning rate for each variable: `decay` to the power of its number of levels below the head,
    times that of its layer in `rates`.

    Reference: ELECTRA (Clark et al. 2020), whose code has the same levels; Howard and Ruder 2018 call it discriminative
    fine-tuning.
    """
    top = max(depths.values())
    layers = [variable.path.split("/")[0] for variable in variables]
    return [decay ** (top - depths[layer]) * (rates or {}).get(layer, 1.0) for layer in layers]
