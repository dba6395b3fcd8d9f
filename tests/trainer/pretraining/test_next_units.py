"""The objective of language models: nats by hand, drawn units that stand for all, states that pass on."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.models.inputs import softmax, weights
from trainer.architectures.table import named
from trainer.pretraining.next_units import Carried, NextUnits, full
from trainer.pretraining.windows import NOTHING

V = 30


def model_of(name, **settings):
    architecture, size = named(name)
    config = architecture.configuration(size | {"width": 8, "layers": 2, "dropout": 0.0} | settings, V)
    model = architecture.build_language_model(config, seed=0)
    return model, weights(model)


def batch(rows=3, length=5, directions=1, seed=0):
    draw = np.random.default_rng(seed)
    names = ["token_ids", "backward_token_ids"][:directions]
    ids = {name: tf.constant(draw.integers(0, V, [rows, length]), tf.int32) for name in names}
    targets = draw.integers(0, V, [directions, rows, length])
    targets[:, 0, 0] = NOTHING
    return ids | {"begins": tf.constant(False)}, tf.constant(targets, tf.int32)


def loss_of(model, drawn=0, seed=0, steps=0):
    frequencies = np.arange(1, V + 1) / np.sum(np.arange(1, V + 1))
    return NextUnits(model, drawn, frequencies, keras.Variable(steps, dtype="int64"), seed)


@pytest.mark.parametrize("name, directions", [("lstm", 1), ("gpt", 1), ("elmo", 2)])
def test_the_loss_is_in_nats_of_what_is_asked(name, directions):
    settings = {"cell_width": 6} if name == "elmo" else {"heads": 2} if name == "gpt" else {"embedding_width": 6}
    model, w = model_of(name, **settings)
    inputs, targets = batch(directions=directions)
    outputs = Carried(model, 3)(inputs, training=False)
    total, number = loss_of(model)(targets, outputs)
    expected = 0.0
    for features, gold in zip(outputs["features"], targets.numpy(), strict=True):
        logits = features.numpy() @ w["token_embedding/embeddings"].T + w.get("next_bias/bias", 0.0)
        chances = np.take_along_axis(softmax(logits), np.maximum(gold, 0)[..., None], -1)[..., 0]
        expected -= np.sum(np.log(chances) * (gold != NOTHING))
    assert float(number) == directions * 14
    assert float(total) == pytest.approx(expected, rel=1e-5)


def test_drawn_units_stand_for_all():
    """Many that are drawn give nearly the loss, and the gradients, of all; what is drawn is a function of seed and step."""
    model, _ = model_of("gru", embedding_width=6)
    for variable in model.weights:
        variable.assign(variable * 0.3)
    inputs, targets = batch(rows=8, length=6)
    found = []
    for loss in (loss_of(model), loss_of(model, 20000), loss_of(model, 20000, steps=1)):
        with tf.GradientTape() as tape:
            total, number = loss(targets, Carried(model, 8)(inputs, training=False))
            mean = total / number
        gradients = tape.gradient(mean, model.get_layer("layer_1_forward").trainable_weights)
        found.append((float(mean), np.concatenate([np.ravel(gradient) for gradient in gradients])))
    (expected, gradient), (near, of_near), (other, _) = found
    assert near == pytest.approx(expected, abs=0.02) and near != other
    assert np.corrcoef(gradient, of_near)[0, 1] > 0.995
    again = float(loss_of(model, 20000)(targets, Carried(model, 8)(inputs, training=False))[0])
    assert again / 47 == pytest.approx(near, rel=1e-6)
    assert float(loss_of(model, 5, seed=1)(targets, Carried(model, 8)(inputs, training=False))[0]) > 0


@pytest.mark.parametrize("name", ["rnn", "gru", "lstm", "elmo"])
def test_states_pass_from_batch_to_batch_until_a_pass_begins(name):
    settings = {"cell_width": 6} if name == "elmo" else {"embedding_width": 6}
    model, _ = model_of(name, **settings)
    inputs, _ = batch(length=6, directions=1 + (name == "elmo"))
    whole = Carried(model, 3)(inputs, training=False)["logits"]
    carried = Carried(model, 3)
    call = tf.function(lambda inputs: carried(inputs, training=False)["logits"])
    part = lambda a, b, begins: (
        {n: x[:, a:b] for n, x in inputs.items() if n != "begins"} | {"begins": tf.constant(begins)}
    )
    parts = [call(part(0, 3, False)), call(part(3, 6, False))]
    for expected, *found in zip(whole, *parts, strict=True):
        np.testing.assert_allclose(np.concatenate(found, 1), expected, atol=1e-5)
    for expected, anew in zip(parts[0], call(part(0, 3, True)), strict=True):
        np.testing.assert_allclose(anew, expected, atol=1e-6)


def test_keys_and_values_begin_empty():
    model, _ = model_of("gpt", heads=2)
    carried, (inputs, targets) = Carried(model, 3), batch()
    assert not carried.variables
    first, again = carried(inputs, training=False), carried(inputs, training=False)
    np.testing.assert_array_equal(first["logits"][0], again["logits"][0])
    assert full(targets[0], first["logits"][0]).shape == (3, 5)
