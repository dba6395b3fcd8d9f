"""Models without initial values: zeros where values are drawn, in this thread alone; what is drawn later is the same."""

from concurrent.futures import ThreadPoolExecutor

import keras
import numpy as np

from models.bert import bert
from trainer.weights.unset import unset


def tiny():
    return bert(50, layers=1, width=32, heads=4)


def test_nothing_is_drawn_and_the_next_is_as_ever():
    keras.utils.set_random_seed(1)
    drawn, then = tiny(), tiny()
    keras.utils.set_random_seed(1)
    with unset():
        empty = tiny()
    again = tiny()
    for of_drawn, of_empty in zip(drawn.trainable_weights, empty.trainable_weights, strict=True):
        begins_random = np.unique(of_drawn).size > 1
        np.testing.assert_array_equal(of_empty, np.zeros(of_drawn.shape) if begins_random else of_drawn)
    assert sum(np.any(weight) for weight in drawn.trainable_weights) > sum(
        np.any(weight) for weight in empty.trainable_weights
    )
    for one, other in zip(then.weights, again.weights, strict=True):
        np.testing.assert_array_equal(one, other)


def test_other_threads_draw():
    shape, draw = (3, 4), keras.initializers.GlorotUniform(seed=1)
    with ThreadPoolExecutor(1) as threads, unset():
        assert np.any(threads.submit(draw, shape).result()) and not np.any(draw(shape))
    assert np.any(draw(shape))
