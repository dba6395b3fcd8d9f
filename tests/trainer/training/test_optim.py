"""Optimisers: which variables are decayed, seen by the effect; steps equal to Keras's own; schedules; clipping."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from models.bert import bert
from trainer.architectures.bert import Bert
from trainer.tasks.kinds import KINDS
from trainer.training import optim


def variables():
    return bert(50, layers=1, width=32, heads=4).trainable_variables


def twins():
    """Returns the variables of two models, equal."""
    first, second = variables(), variables()
    for variable, copy in zip(first, second, strict=True):
        copy.assign(variable)
    return first, second


def test_decay_spares_biases_and_normalisation():
    weights = variables()
    for variable in weights:
        variable.assign(tf.ones_like(variable))
    optimizer = optim.optimizer(weights, optim.Schedule(0.1, 0, 10**9), weight_decay=0.5)
    optimizer.apply([tf.zeros(variable.shape) for variable in weights], weights)
    for variable in weights:
        kept = variable.name in ("bias", "gamma", "beta")
        np.testing.assert_allclose(variable, 1.0 if kept else 0.95, rtol=1e-6, err_msg=variable.path)


@pytest.mark.parametrize("epsilon", [1e-8, 1e-6, 1e-2])
def test_fused_steps_equal_keras(epsilon):
    fused_weights, plain_weights = twins()
    fused = optim.optimizer(fused_weights, optim.Schedule(1e-3, 0, 10**9), weight_decay=0.01, epsilon=epsilon)
    plain = keras.optimizers.AdamW(1e-3, weight_decay=0.01, epsilon=epsilon, global_clipnorm=1.0)
    # TensorFlow appends :0 to a variable's name
    plain.exclude_from_weight_decay(var_names=[r"(bias|gamma|beta)(:0)?$"])
    plain.build(plain_weights)
    for optimizer, weights in ((fused, fused_weights), (plain, plain_weights)):
        random = np.random.default_rng(0)
        for _ in range(5):
            optimizer.apply([tf.constant(random.normal(size=v.shape), tf.float32) for v in weights], weights)
    for actual, expected in zip(fused_weights, plain_weights, strict=True):
        np.testing.assert_allclose(actual, expected, atol=2e-6, err_msg=actual.path)


def test_repeated_words_count_once_in_the_norm():
    """Two slices of one row, 3 and 4, are a gradient of 7: clipped to 1, not to 7/5."""
    table = keras.Variable(tf.zeros([5, 1]))
    optimizer = optim.optimizer([table], optim.Schedule(0.1, 0, 100), weight_decay=0.0)
    slices = tf.IndexedSlices(tf.constant([[3.0], [4.0]]), tf.constant([2, 2]), tf.constant([5, 1]))
    optimizer.apply([slices], [table])
    np.testing.assert_allclose(optimizer._momentums[0], [[0], [0], [0.1], [0], [0]], rtol=1e-5)


def test_rate_and_decay_fall_from_layer_to_layer():
    """By the effect: a step of Adam has the size of the learning rate, whatever the gradient; decay is in proportion to it."""
    encoder = bert(50, layers=2, width=32, heads=4, pooled_only=True)
    model = KINDS["classify"].build(encoder, 2, dropout=0.0, seed=0)
    depths = Bert().depths(model, KINDS["classify"].layers)
    weights = model.trainable_variables
    for decay, gradient in ((0.0, 1.0), (0.5, 0.0)):
        for variable in weights:
            variable.assign(tf.ones_like(variable))
        optimizer = optim.optimizer(
            weights,
            optim.Schedule(0.1, 0, 10**9),
            weight_decay=decay,
            scales=optim.layer_scales(weights, depths, 0.5),
        )
        optimizer.apply([tf.fill(variable.shape, gradient) for variable in weights], weights)
        levels = {"classifier": 0, "pooler": 1, "layer_1": 2, "layer_0": 3}  # below the head, as in ELECTRA's code
        for variable in weights:
            level = next((n for name, n in levels.items() if variable.path.startswith(name)), 4)  # embeddings
            spared = variable.name in ("bias", "gamma", "beta")
            change = 0.1 * 0.5**level * (1.0 if gradient else 0.0 if spared else decay)
            np.testing.assert_allclose(1.0 - variable.numpy(), change, rtol=0.01, atol=1e-7, err_msg=variable.path)


@pytest.mark.parametrize("step, rate", [(0, 0.0), (5, 0.5), (10, 1.0), (55, 0.5), (100, 0.0), (120, 0.0)])
def test_schedule(step, rate):
    assert float(optim.Schedule(1.0, 10, 100)(step)) == pytest.approx(rate)


def test_gradients_are_clipped_by_their_global_norm():
    """A step of Adam hides the size of the gradient; its moments show the clipping."""
    weights = [keras.Variable(tf.zeros([2])), keras.Variable(tf.zeros([2]))]
    optimizer = optim.optimizer(weights, optim.Schedule(0.1, 0, 100), weight_decay=0.0)
    optimizer.apply([tf.constant([3.0, 0.0]), tf.constant([0.0, 4.0])], weights)
    np.testing.assert_allclose(optimizer._momentums[0], [0.06, 0.0], rtol=1e-5)  # 0.1 * 3/5
    np.testing.assert_allclose(optimizer._momentums[1], [0.0, 0.08], rtol=1e-5)


@pytest.mark.parametrize(
    "kind, rates",
    [
        ("linear", {0: 0, 5: 0.5, 10: 1, 55: 0.5, 100: 0}),
        ("cosine", {5: 0.5, 10: 1, 55: 0.5, 32.5: (1 + 0.5**0.5) / 2, 100: 0}),
        ("inverse_square_root", {5: 0.5, 10: 1, 40: 0.5, 1000: 0.1}),
        ("constant", {5: 0.5, 10: 1, 100: 1}),
    ],
)
def test_schedules(kind, rates):
    schedule = optim.Schedule(2.0, 10, 100, kind)
    for step, rate in rates.items():
        assert float(schedule(step)) == pytest.approx(2 * rate, abs=1e-6), step
    without = optim.Schedule(2.0, 0, 100, kind)
    assert np.isfinite(float(without(0))) and float(without(0)) == 2.0
    assert {name for name in optim.SCHEDULES} == {"linear", "cosine", "inverse_square_root", "constant"}


def test_sgd_equals_keras():
    sgd_weights, plain_weights = twins()
    rate = optim.Schedule(0.1, 0, 10**9, "constant")
    sgd = optim.optimizer(sgd_weights, rate, name="sgd", weight_decay=0.0, clip_norm=0)
    plain = keras.optimizers.SGD(0.1, momentum=0.9)
    plain.build(plain_weights)
    for optimizer, weights in ((sgd, sgd_weights), (plain, plain_weights)):
        random = np.random.default_rng(0)
        for _ in range(3):
            optimizer.apply([tf.constant(random.normal(size=v.shape), tf.float32) for v in weights], weights)
    for actual, expected in zip(sgd_weights, plain_weights, strict=True):
        np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-6, err_msg=actual.path)
