"""The Transformer's encoder: the paper's equations, in NumPy, a row at a time; packed equals padded; padding changes nothing."""

import numpy as np
import pytest
import tensorflow as tf

from models.layers import PositionCodes
from models.transformer import transformer_encoder
from tests.models.inputs import batch, softmax, weights, wider

SIZE = {"layers": 2, "width": 8, "heads": 2, "positions": 20}
LENGTHS = [6, 1, 4]


def encode(w, ids, *, norm_first):
    """Returns the states [S, 8] after each layer of a row: sections 3.1 to 3.5 of the paper."""

    def norm(x, name):
        x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-6)
        return x * w[f"{name}/gamma"] + w[f"{name}/beta"]

    dense = lambda x, name: x @ w[f"{name}/kernel"] + w[f"{name}/bias"]

    def attention(x, name):
        q, k, v = np.split(dense(x, f"{name}_qkv"), 3, -1)
        heads = [softmax(q[:, h] @ k[:, h].T / np.sqrt(4)) @ v[:, h] for h in (slice(0, 4), slice(4, 8))]
        return dense(np.concatenate(heads, -1), f"{name}_output")

    feed_forward = lambda x, name: dense(np.maximum(dense(x, f"{name}_inner"), 0), f"{name}_output")
    x = w["token_embedding/embeddings"][ids] * np.sqrt(8)
    place, feature = np.arange(len(ids))[:, None], np.arange(0, 8, 2)
    codes = np.zeros([len(ids), 8])
    codes[:, 0::2], codes[:, 1::2] = np.sin(place / 10000 ** (feature / 8)), np.cos(place / 10000 ** (feature / 8))
    x = x + codes
    states = [x]
    for i in range(2):
        for sublayer, part in ((attention, "attention"), (feed_forward, "feed_forward")):
            name = f"layer_{i}_{part}"
            if norm_first:
                x = x + sublayer(norm(x, f"{name}_norm"), name)
            else:
                x = norm(x + sublayer(x, name), f"{name}_norm")
        states.append(norm(x, "layer_1_output_norm") if norm_first and i == 1 else x)
    return states


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("norm_first", [False, True])
def test_the_equations(norm_first, packed):
    model = transformer_encoder(50, **SIZE, norm_first=norm_first, packed=packed)
    w, inputs = weights(model), batch(LENGTHS)
    outputs = model(inputs)
    for i, length in enumerate(LENGTHS):
        states = encode(w, inputs["token_ids"][i, :length], norm_first=norm_first)
        for ours, expected in zip(outputs["hidden_states"], states, strict=True):
            np.testing.assert_allclose(ours[i, :length], expected, atol=2e-5)
        np.testing.assert_allclose(outputs["pooled"][i], states[-1].mean(0), atol=2e-5)


@pytest.mark.parametrize("kind", PositionCodes.KINDS)
def test_position_codes(kind):
    layer = PositionCodes(kind, 20)
    x = np.random.default_rng(0).normal(size=[2, 6, 8]).astype("float32")
    mask = np.arange(6) < np.array([6, 3])[:, None]
    added = layer(x, mask).numpy() - x
    codes = np.array(layer.codes) if kind in ("learned", "fraction", "integers") else None
    for i, length in enumerate([6, 3]):
        for p in range(length):
            expected = {
                "sinusoids": lambda p=p: [
                    (np.cos if f % 2 else np.sin)(p / 10000 ** (f // 2 * 2 / 8)) for f in range(8)
                ],
                "learned": lambda p=p: codes[p],
                "fraction": lambda p=p, n=length: p / (n - 1) * codes[0],
                "integers": lambda p=p: p * codes[0],
                "none": lambda: np.zeros(8),
            }[kind]()
            np.testing.assert_allclose(added[i, p], expected, atol=1e-5)


@pytest.mark.parametrize(("kind", "packed"), [*zip(PositionCodes.KINDS, [True, False, True, False, True], strict=True)])
def test_padding_changes_nothing(kind, packed):
    model = transformer_encoder(50, **SIZE, position_codes=kind, packed=packed, pooling="attention", letters=6)
    weights(model)
    inputs = batch(LENGTHS, letters=6)
    tight, wide = model(inputs), model(wider(inputs))
    np.testing.assert_allclose(wide["pooled"], tight["pooled"], atol=1e-5)
    np.testing.assert_allclose(
        wide["hidden_states"][-1][:, :6][inputs["mask"]], tight["hidden_states"][-1][inputs["mask"]], atol=1e-5
    )


def test_packed_equals_padded_in_gradients():
    gradients = []
    for packed in (False, True):
        model = transformer_encoder(50, **SIZE, dropout=0.0, packed=packed)
        weights(model)
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(tf.sin(model(batch(LENGTHS), training=True)["pooled"]))
        gradients.append([tf.convert_to_tensor(x) for x in tape.gradient(loss, model.trainable_variables)])
    for expected, gradient in zip(*gradients, strict=True):
        np.testing.assert_allclose(gradient, expected, atol=1e-5)


def test_without_positions_it_knows_no_order():
    inputs = batch([6, 6])
    turned = {name: x[:, ::-1] for name, x in inputs.items()}
    for kind, same in (("none", True), ("sinusoids", False)):
        model = transformer_encoder(50, **SIZE, position_codes=kind)
        weights(model)
        assert np.allclose(model(turned)["pooled"], model(inputs)["pooled"], atol=1e-5) == same


def test_wrong_arguments():
    with pytest.raises(ValueError, match="heads must divide width, got width=8, heads=3"):
        transformer_encoder(50, **SIZE | {"heads": 3})
    with pytest.raises(ValueError, match=r"position_codes: expected one of .*, received none at all"):
        transformer_encoder(50, **SIZE, position_codes="none at all")
