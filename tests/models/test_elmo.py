"""ELMo: the equations of both directions, in NumPy; trained with its directions apart, it reads as when they are together."""

import numpy as np
import pytest
import tensorflow as tf

from models import heads
from models.elmo import FILTERS, CharacterEncoder, elmo
from tests.models.inputs import batch, sigmoid, weights, wider

SIZE = {"layers": 2, "width": 6, "cell_width": 5}
LENGTHS = [6, 1, 4]


def run(x, w, name):
    """Returns the projected state [6] after each of x [S, 6]."""
    kernel, inner, recurrent, bias = (
        w[f"{name}/{part}"] for part in ("kernel", "projection", "recurrent_kernel", "bias")
    )
    h, c, given = np.zeros(6), np.zeros(5), []
    for step in x:
        i, f, g, o = np.split(step @ kernel + h @ recurrent + bias, 4)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c) @ inner
        given.append(h)
    return np.array(given)


def test_the_equations():
    model, inputs = elmo(50, **SIZE), batch(LENGTHS)
    w, outputs, padded = weights(model), model(inputs), model(wider(inputs))
    for i, length in enumerate(LENGTHS):
        x = w["token_embedding/embeddings"][inputs["token_ids"][i, :length]]
        expected = [np.concatenate([x, x], -1)]
        forward, backward = x, x[::-1]
        for layer in range(2):
            residual = forward * layer, backward * layer  # none around the first
            forward = run(forward, w, f"layer_{layer}_forward") + residual[0]
            backward = run(backward, w, f"layer_{layer}_backward") + residual[1]
            expected.append(np.concatenate([forward, backward[::-1]], -1))
        for states, of_padded, values in zip(outputs["hidden_states"], padded["hidden_states"], expected, strict=True):
            np.testing.assert_allclose(states[i, :length], values, atol=1e-5)
            np.testing.assert_allclose(of_padded[i, :length], values, atol=1e-5)
        np.testing.assert_allclose(outputs["pooled"][i], expected[-1].mean(0), atol=1e-5)


@pytest.mark.parametrize("letters", [0, 7])
def test_it_is_trained_as_it_reads(letters):
    """The same weights, by their names; a row in both directions, in parts whose states are carried on."""
    encoder, inputs = elmo(50, **SIZE, letters=letters), batch([8, 8], letters=letters)
    apart = elmo(50, **SIZE, letters=letters, states=True)
    w = weights(encoder)
    assert {v.path for v in apart.weights} == {*w}
    for variable in apart.weights:
        variable.assign(w[variable.path])
    states = {x.name: tf.zeros([2, 5]) for x in apart.inputs if "state" in x.name}
    names, parts = [name for name in inputs if name != "mask"], []
    for part in (slice(0, 3), slice(3, 8)):
        given = {name: tf.constant(inputs[name][:, part]) for name in names}
        given |= {f"backward_{name}": tf.constant(inputs[name][:, ::-1][:, part]) for name in names}
        outputs = apart(given | states)
        states = outputs["states"]
        parts.append(outputs["last_states"])
    forward, backward = (np.concatenate(direction, 1) for direction in zip(*parts, strict=True))
    last = np.concatenate([forward, backward[:, ::-1]], -1)
    np.testing.assert_allclose(encoder(inputs)["hidden_states"][-1], last, atol=1e-5)

    model = heads.next_units(apart, 50, bias=True, dropout=0.0, seed=0)
    rows = {v.path: np.array(v) for v in model.weights}["token_embedding/embeddings"]
    assert rows.shape == (50, 6)
    outputs = model(given | states)
    assert len(outputs["logits"]) == 2
    np.testing.assert_allclose(outputs["logits"][1], outputs["features"][1] @ rows.T, atol=1e-5)


def test_words_are_composed_of_their_letters():
    layer, letters = CharacterEncoder(4), np.array([[[5, 6, 7, 0, 0, 0, 0]]], "int32")
    layer.build(letters.shape)
    w = {path.partition("/")[2]: value for path, value in weights(layer).items()}
    x = w["embedding/embeddings"][letters[0, 0]]  # [L, E]
    found = []
    for size in FILTERS:
        before = (size - 1) // 2
        padded = np.pad(x, [(before, size - 1 - before), (0, 0)])
        windows = [np.tensordot(padded[i : i + size], w[f"convolution_{size}/kernel"], 2) for i in range(7)]
        found.append(np.maximum(np.max(windows, 0) + w[f"convolution_{size}/bias"], 0))
    y = np.concatenate(found)
    dense = lambda x, name: x @ w[f"{name}/kernel"] + w[f"{name}/bias"]
    for i in range(2):
        opened = sigmoid(dense(y, f"gate_{i}"))
        y = opened * np.maximum(dense(y, f"transform_{i}"), 0) + (1 - opened) * y
    np.testing.assert_allclose(layer(letters)[0, 0], dense(y, "projection"), rtol=1e-4, atol=1e-4)
