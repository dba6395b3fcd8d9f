"""The recurrent layer gives what Keras's layers give, and so do its gradients; dropout on states; states carried over; exports."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from models.layers import backward
from models.recurrent import CELLS, RecurrentLayer, recur
from tests.models.inputs import sigmoid, weights

KERAS = {
    "rnn": keras.layers.SimpleRNN,
    "lstm": lambda *args, **options: keras.layers.LSTM(*args, use_cudnn=False, **options),
    "gru": lambda *args, **options: keras.layers.GRU(*args, use_cudnn=False, **options),
}
INPUT, WIDTH = 4, 5
random = np.random.default_rng(0)


def normal(*shape):
    return tf.constant(random.normal(size=shape), tf.float32)


def with_gradients(function, sources):
    """Returns what a function gives, and the gradients of its sum with random weights; in a graph, as training runs."""

    @tf.function(autograph=False)
    def run():
        with tf.GradientTape() as tape:
            tape.watch(sources)
            outputs = function()
            noise = [tf.random.stateless_normal(tf.shape(x), [0, i]) for i, x in enumerate(outputs)]
            loss = tf.add_n([tf.reduce_sum(x * y) for x, y in zip(outputs, noise, strict=True)])
        return [*outputs, *tape.gradient(loss, sources)]

    return run()


def assert_equal(actual, expected):
    assert len(actual) == len(expected)
    for a, b in zip(actual, expected, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("batch", "length", "given"), [(3, 7, True), (1, 1, False)])
@pytest.mark.parametrize("cell", CELLS)
def test_outputs_states_and_gradients_are_those_of_keras(cell, batch, length, given):
    x = normal(batch, length, INPUT)
    states = [normal(batch, WIDTH) for _ in range(CELLS[cell].states)] if given else None
    results, names = [], []
    for layer in (
        RecurrentLayer(cell, WIDTH, return_state=True, name="layer"),
        KERAS[cell](WIDTH, return_sequences=True, return_state=True, name="layer"),
    ):
        layer.build(x.shape)
        weights(layer)
        sources = [x, *(states or []), *[weight.value for weight in layer.trainable_weights]]
        run = lambda layer=layer: layer(x, initial_state=states, training=True)
        results.append(with_gradients(run, sources))
        names.append([(weight.path, weight.shape) for weight in layer.weights])
        assert_equal(layer(x, initial_state=states), results[-1][: 1 + CELLS[cell].states])  # without training
    assert_equal(*results)
    assert names[0] == names[1]


@pytest.mark.parametrize("cell", CELLS)
def test_both_directions_over_padding_are_those_of_keras(cell):
    x, mask = normal(3, 5, INPUT), np.arange(5) < np.array([5, 1, 4])[:, None]
    theirs = keras.layers.Bidirectional(KERAS[cell](WIDTH, return_sequences=True))
    theirs.build(x.shape)
    weights(theirs)
    forward, turned = RecurrentLayer(cell, WIDTH), RecurrentLayer(cell, WIDTH)
    for layer, like in ((forward, theirs.forward_layer), (turned, theirs.backward_layer)):
        layer.build(x.shape)
        layer.set_weights(like.get_weights())

    def ours():
        both = tf.concat([forward(x, training=True), backward(turned, x, mask, "layer")[1]], -1)
        return [tf.where(mask[:, :, None], both, 0.0)]

    variables = lambda *layers: [x, *[weight.value for layer in layers for weight in layer.trainable_weights]]
    actual = with_gradients(ours, variables(forward, turned))
    run = lambda: [tf.where(mask[:, :, None], theirs(x, mask=mask, training=True), 0.0)]
    assert_equal(actual, with_gradients(run, variables(theirs.forward_layer, theirs.backward_layer)))


@pytest.mark.parametrize("cell, projection", [*dict.fromkeys(CELLS, 0).items(), ("lstm", 2)])
def test_the_gradient_under_dropout_is_what_tensorflow_finds(cell, projection):
    gates = {"rnn": 1, "lstm": 4, "gru": 3}[cell] * WIDTH
    matrices = [normal(WIDTH, projection), normal(projection, gates)] if projection else [normal(WIDTH, gates)]
    a, bias = normal(6, 2, gates), normal(gates)
    states = [normal(2, WIDTH) for _ in range(CELLS[cell].states)]
    drop = tf.constant(random.integers(0, 2, [2, WIDTH]) * 2, tf.float32)
    results = [
        with_gradients(
            lambda training=training: recur(CELLS[cell], a, matrices, bias, states, drop=drop, training=training),
            [a, *matrices, bias, *states],
        )
        for training in (True, False)
    ]
    assert_equal(*results)


def test_a_projection_stands_before_gates_and_output():
    """The equations of Sak et al. 2014, step by step."""
    layer, x = RecurrentLayer("lstm", WIDTH, projection=2, return_state=True, seed=0), normal(3, 4, INPUT)
    layer.build(x.shape)
    assert np.sum(layer.bias) == WIDTH  # of the forget gate
    weights(layer)
    kernel, projection, recurrent, bias = (np.array(weight) for weight in [*layer.matrices, layer.bias])
    h, c, expected = np.zeros([3, 2]), np.zeros([3, WIDTH]), []
    for t in range(4):
        i, f, g, o = np.split(x[:, t] @ kernel + h @ recurrent + bias, 4, -1)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c) @ projection
        expected.append(h)
    for training in (False, True):
        y, *states = layer(x, training=training)
        np.testing.assert_allclose(y, np.stack(expected, 1), atol=1e-5)
        np.testing.assert_allclose(states[1], c, atol=1e-5)
    with pytest.raises(ValueError, match="projection: expected with the cell lstm, received with gru"):
        RecurrentLayer("gru", WIDTH, projection=2)


@pytest.mark.parametrize("cell", CELLS)
def test_dropout_on_states_in_training_alone(cell):
    layer = RecurrentLayer(cell, WIDTH, recurrent_dropout=0.5, seed=0)
    x = normal(4, 3, INPUT)
    expected, trained = layer(x).numpy(), layer(x, training=True).numpy()
    np.testing.assert_array_equal(layer(x), expected)
    np.testing.assert_array_equal(trained[:, 0], expected[:, 0])  # the first state is zero
    assert not np.allclose(trained[:, 1:], expected[:, 1:])


@pytest.mark.parametrize("cell", CELLS)
def test_states_carried_over_read_a_row_in_parts(cell):
    inputs = keras.Input([None, INPUT])
    states = [keras.Input([WIDTH]) for _ in range(CELLS[cell].states)]
    layer = RecurrentLayer(cell, WIDTH, return_state=True)
    model = keras.Model([inputs, *states], layer(inputs, initial_state=states))
    x, carried, parts = normal(2, 7, INPUT), [tf.zeros([2, WIDTH])] * len(states), []
    for part in (x[:, :3], x[:, 3:4], x[:, 4:]):
        h, *carried = model([part, *carried])
        parts.append(h)
    whole, *last = layer(x)
    assert_equal([tf.concat(parts, 1), *carried], [whole, *last])
    copy = RecurrentLayer.from_config(layer.get_config())
    copy.build(x.shape)
    copy.set_weights(layer.get_weights())
    assert_equal(copy(x), [whole, *last])


@pytest.mark.parametrize("training", [False, True])
def test_an_export_holds_no_gradient_of_ours(training):
    layer = RecurrentLayer("lstm", WIDTH)
    layer.build([None, None, INPUT])
    function = tf.function(lambda x: layer(x, training=training), autograph=False)
    graph = function.get_concrete_function(tf.TensorSpec([None, None, INPUT])).graph.as_graph_def()
    assert any("_gradient_op_type" in node.attr for node in graph.node) == training
