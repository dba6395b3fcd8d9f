"""Dropout by random bytes: its rate, its scale, its gradient, its seeds."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from models.attention import scaled_dot_product
from models.dropout import Dropout, Mask, dropped_values


@pytest.mark.parametrize(("rate", "values"), [(0.0, 0), (0.1, 26), (0.5, 128), (0.001, 1), (0.999, 255)], ids=str)
def test_the_rate_is_that_of_the_nearest_byte(rate, values):
    assert dropped_values(rate) == values
    if not rate:
        return
    ones = tf.ones([301, 1001])  # not a multiple of the four bytes of a number
    dropped = Dropout(rate, seed=1)(ones, training=True).numpy()
    assert np.unique(dropped).tolist() == [0.0, pytest.approx(256 / (256 - values))]
    share, deviation = values / 256, (values / 256 * (1 - values / 256) / ones.shape.num_elements()) ** 0.5
    assert abs(np.mean(dropped == 0) - share) < 4 * deviation
    assert np.std(np.mean(dropped == 0, axis=1)) < 1.2 * (share * (1 - share) / 1001) ** 0.5  # rows are independent


def test_a_seed_gives_the_same_masks_and_each_call_another():
    x = tf.ones([8, 9])
    first, second = Dropout(0.5, seed=3), Dropout(0.5, seed=3)
    masks = [layer(x, training=True).numpy() for layer in (first, second, first)]
    np.testing.assert_array_equal(masks[0], masks[1])
    assert (masks[0] != masks[2]).any()
    np.testing.assert_array_equal(first(x, training=False), x)
    np.testing.assert_array_equal(first(x), x)


def test_the_gradient_is_masked_like_the_result():
    x, layer = tf.random.stateless_normal([5, 7], [1, 2]), Dropout(0.3, seed=4)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = layer(x, training=True)
    np.testing.assert_allclose(tape.gradient(y, x) * x, y, rtol=1e-6)
    assert layer(tf.zeros([0, 7]), training=True).shape == (0, 7)


@pytest.mark.parametrize("dropout", [0.0, 0.4])
def test_attention_and_its_gradient_are_those_of_the_formula(dropout):
    shape = [2, 3, 6, 4]  # [B, H, S, D/H]
    queries, keys, values, upstream = (tf.random.stateless_normal(shape, [i, 1]) for i in range(4))
    seen = tf.constant([[True] * 6, [True] * 4 + [False] * 2])[:, None, None]
    mask = Mask([2, 3, 6, 6], dropout, keras.random.SeedGenerator(5)) if dropout else None

    def formula(queries, keys, values):
        probabilities = tf.nn.softmax(queries @ tf.transpose(keys, [0, 1, 3, 2]) + tf.where(seen, 0.0, -1e9))
        return (probabilities if mask is None else mask(probabilities) * mask.scale) @ values, probabilities

    results = []
    for run in (formula, lambda *tensors: scaled_dot_product(*tensors, seen, mask)):
        tensors = [queries, keys, values]
        with tf.GradientTape() as tape:
            tape.watch(tensors)
            context, probabilities = run(*tensors)
        results.append([context, probabilities, *tape.gradient(context, tensors, output_gradients=upstream)])
    for expected, found in zip(*results, strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-5)
