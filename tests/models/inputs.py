"""Inputs of models, and their weights by name, for tests against equations that are computed in NumPy, a row at a time."""

import numpy as np


def batch(lengths, *, vocabulary_size=50, letters=0, padding=0, seed=0):
    """Returns rows of so many units; what stands in padding is random, too: nothing may depend on it."""
    random = np.random.default_rng(seed)
    shape = len(lengths), max(lengths) + padding
    inputs = {
        "token_ids": random.integers(0, vocabulary_size, shape).astype("int32"),
        "mask": np.arange(shape[1]) < np.array(lengths)[:, None],
    }
    if letters:
        inputs["letters"] = random.integers(0, 257, [*shape, letters]).astype("int32")
    return inputs


def wider(inputs, padding=7):
    """Returns the inputs with more padding, in which something stands."""
    return {
        name: np.pad(x, [(0, 0), (0, padding), *[(0, 0)] * (x.ndim - 2)], constant_values=0 if name == "mask" else 3)
        for name, x in inputs.items()
    }


def weights(model, seed=1):
    """Sets all weights at random, zeros too, and returns them by path."""
    random = np.random.default_rng(seed)
    for variable in model.weights:
        variance = variable.path.endswith("moving_variance")
        value = random.uniform(0.5, 2.0, variable.shape) if variance else random.normal(0, 0.3, variable.shape)
        variable.assign(value.astype("float32"))
    return {variable.path: np.array(variable) for variable in model.weights}


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def softmax(x):
    x = np.exp(x - x.max(-1, keepdims=True))
    return x / x.sum(-1, keepdims=True)
