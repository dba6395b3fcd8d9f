"""Recurrent encoders: each cell's equations, in NumPy, a row at a time; both directions; layers; padding changes nothing."""

import keras
import numpy as np
import pytest

from models.rnn import rnn
from tests.models.inputs import batch, sigmoid, softmax, weights, wider

SIZE = {"width": 5, "embedding_width": 4}
LENGTHS = [6, 1, 4]


def run(cell, x, w, name):
    """Returns the state [5] after each of x [S, E]."""
    kernel, recurrent, bias = (w[f"{name}/{cell}_cell/{part}"] for part in ("kernel", "recurrent_kernel", "bias"))
    h, c, states = np.zeros(5), np.zeros(5), []
    for step in x:
        if cell == "simple_rnn":  # Elman 1990
            h = np.tanh(step @ kernel + h @ recurrent + bias)
        elif cell == "lstm":  # Hochreiter and Schmidhuber 1997, with the forget gate of Gers et al. 2000
            i, f, g, o = np.split(step @ kernel + h @ recurrent + bias, 4)
            c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
            h = sigmoid(o) * np.tanh(c)
        else:  # Cho et al. 2014, version 1 on arXiv: reset gate behind the product
            from_x, from_h = np.split(step @ kernel + bias[0], 3), np.split(h @ recurrent + bias[1], 3)
            z, r = sigmoid(from_x[0] + from_h[0]), sigmoid(from_x[1] + from_h[1])
            h = z * h + (1 - z) * np.tanh(from_x[2] + r * from_h[2])
        states.append(h)
    return np.array(states)


def embedded(w, inputs, i):
    return w["token_embedding/embeddings"][inputs["token_ids"][i, : LENGTHS[i]]]


@pytest.mark.parametrize(("cell", "name"), [("rnn", "simple_rnn"), ("lstm", "lstm"), ("gru", "gru")])
@pytest.mark.parametrize("merge", [None, "concatenate", "sum"])
def test_the_equations(cell, name, merge):
    model, inputs = rnn(50, cell=cell, bidirectional=merge, layers=2, **SIZE), batch(LENGTHS)
    w = weights(model)
    outputs = model(inputs)
    for i, length in enumerate(LENGTHS):
        x = embedded(w, inputs, i)
        for layer in range(2):
            forward = run(name, x, w, f"layer_{layer}_forward")
            backward = run(name, x[::-1], w, f"layer_{layer}_backward") if merge else None
            x, last = forward, forward[-1]
            if merge:
                join = np.add if merge == "sum" else lambda a, b: np.concatenate([a, b], -1)
                x, last = join(forward, backward[::-1]), join(forward[-1], backward[-1])
            np.testing.assert_allclose(outputs["hidden_states"][layer + 1][i, :length], x, atol=1e-5)
        np.testing.assert_allclose(outputs["pooled"][i], last, atol=1e-5)


@pytest.mark.parametrize("pooling", ["mean", "maximum", "first", "last", "attention"])
def test_poolings(pooling):
    model, inputs = rnn(50, pooling=pooling, **SIZE), batch(LENGTHS)
    w = weights(model)
    pooled = model(inputs)["pooled"]
    for i in range(3):
        x = run("lstm", embedded(w, inputs, i), w, "layer_0_forward")
        if pooling == "attention":
            u = np.tanh(x @ w["pooling/kernel"] + w["pooling/bias"])
            expected = softmax((u @ w["pooling/context"])[:, 0]) @ x
        else:
            expected = {"mean": x.mean(0), "maximum": x.max(0), "first": x[0], "last": x[-1]}[pooling]
        np.testing.assert_allclose(pooled[i], expected, atol=1e-5)


@pytest.mark.parametrize("normalisation", ["layer", "batch"])
def test_residual_connections_and_normalisation(normalisation):
    model = rnn(50, layers=2, residual=True, normalisation=normalisation, width=5, embedding_width=5, pooling="mean")
    inputs = batch(LENGTHS)
    w = weights(model)
    states = model(inputs)["hidden_states"]
    for i, length in enumerate(LENGTHS):
        x = embedded(w, inputs, i)
        for layer in range(2):
            y = x + run("lstm", x, w, f"layer_{layer}_forward")
            norm = lambda part, layer=layer: w[f"layer_{layer}_norm/{part}"]
            if normalisation == "layer":
                y = (y - y.mean(-1, keepdims=True)) / np.sqrt(y.var(-1, keepdims=True) + 1e-3)
            else:
                y = (y - norm("moving_mean")) / np.sqrt(norm("moving_variance") + 1e-3)
            x = y * norm("gamma") + norm("beta")
            np.testing.assert_allclose(states[layer + 1][i, :length], x, atol=1e-4)


ARGUMENTS = [
    {"cell": "rnn"},
    {"cell": "gru", "bidirectional": "sum", "pooling": "attention"},
    {"layers": 2, "bidirectional": "concatenate", "residual": True, "normalisation": "batch", "pooling": "maximum"},
    {"letters": 6, "bidirectional": "concatenate", "normalisation": "layer"},
]


@pytest.mark.parametrize(
    ("arguments", "training"), [*[(each, False) for each in ARGUMENTS], (ARGUMENTS[2], True)], ids=str
)
def test_padding_changes_nothing(arguments, training):
    model = rnn(50, **SIZE, dropout=0.0, **arguments)
    weights(model)
    inputs = batch(LENGTHS, letters=arguments.get("letters", 0))
    tight, wide = model(inputs, training=training), model(wider(inputs), training=training)
    np.testing.assert_allclose(wide["pooled"], tight["pooled"], atol=1e-5)
    for a, b in zip(tight["hidden_states"], wide["hidden_states"], strict=True):
        np.testing.assert_allclose(b[:, :6][inputs["mask"]], a[inputs["mask"]], atol=1e-5)


def test_forward_layers_do_not_look_ahead():
    model, inputs = rnn(50, layers=2, **SIZE), batch([6, 6])
    weights(model)
    before = model(inputs)["hidden_states"][-1].numpy()
    inputs["token_ids"][:, 4:] = 9
    after = model(inputs)["hidden_states"][-1].numpy()
    np.testing.assert_allclose(after[:, :4], before[:, :4])
    assert not np.allclose(after[:, 4:], before[:, 4:])


def test_dropout_is_the_same_at_every_step():
    model = rnn(1, layers=1, width=5, embedding_width=64, dropout=0.5)
    probe = keras.Model(model.input, model.get_layer("layer_0_dropout").output)
    x = probe({"token_ids": np.zeros([2, 9], "int32"), "mask": np.ones([2, 9], bool)}, training=True).numpy()
    assert (x == x[:, :1]).all() and 0 < (x == 0).mean() < 1 and not (x[0] == x[1]).all()


def test_frames_of_a_sound():
    model = rnn(0, features=3, embedding_width=0, width=5, bidirectional="concatenate")
    w = weights(model)
    frames = np.random.default_rng(0).normal(size=[2, 6, 3]).astype("float32")
    mask = np.arange(6) < np.array([6, 2])[:, None]
    states = model({"features": frames, "mask": mask})["hidden_states"][-1]
    forward = run("lstm", frames[1, :2], w, "layer_0_forward")
    backward = run("lstm", frames[1, :2][::-1], w, "layer_0_backward")[::-1]
    np.testing.assert_allclose(states[1, :2], np.concatenate([forward, backward], -1), atol=1e-5)


@pytest.mark.parametrize("argument", ["cell", "bidirectional", "normalisation", "pooling"])
def test_wrong_arguments(argument):
    with pytest.raises(ValueError, match=f"{argument}: expected one of .*, received tree"):
        rnn(50, **SIZE, **{argument: "tree"})


@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
def test_states_are_carried_on(cell):
    settings = SIZE | {"cell": cell, "layers": 2, "residual": True, "normalisation": "layer"}
    encoder, model, inputs = rnn(50, **settings), rnn(50, **settings, states=True), batch([7, 7])
    model.set_weights([*weights(encoder).values()])
    states, parts = {x.name: np.zeros([2, 5], "float32") for x in model.inputs if x.name != "token_ids"}, []
    for part in (slice(0, 3), slice(3, 7)):
        outputs = model({"token_ids": inputs["token_ids"][:, part]} | {k: np.array(v) for k, v in states.items()})
        states = outputs["states"]
        parts.append(outputs["hidden_states"][-1])
    np.testing.assert_allclose(np.concatenate(parts, 1), encoder(inputs)["hidden_states"][-1], atol=1e-5)


def test_what_reads_in_both_directions_carries_nothing_on():
    for settings in ({"bidirectional": "sum"}, {"normalisation": "batch"}):
        with pytest.raises(ValueError, match="expected a network that reads from left to right, received"):
            rnn(50, **SIZE, **settings, states=True)
