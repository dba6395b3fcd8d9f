"""Features: the equation of the mix, which layers are read, and by what."""

import keras
import numpy as np
import pytest

from models.elmo import elmo
from models.features import features, width_of
from models.layers import ScalarMix
from models.rnn import rnn
from tests.models.inputs import batch, wider


def norm(x):
    return (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-3)


def test_the_equation_of_the_mix():
    layer, random = ScalarMix(), np.random.default_rng(0)
    tensors = random.normal(1.0, 3.0, size=[3, 2, 5, 4]).astype("float32")
    np.testing.assert_allclose(layer([*tensors]), 0.15 * norm(tensors).mean(0), atol=1e-6)  # at first
    logits = random.normal(size=3)
    layer.logits.assign(logits)
    layer.scale.assign(1.7)
    shares = np.exp(logits) / np.exp(logits).sum()
    np.testing.assert_allclose(layer([*tensors]), 0.255 * np.einsum("i,ibsd->bsd", shares, norm(tensors)), atol=1e-5)


@pytest.mark.parametrize(("layers", "expected"), [("last", 2), (0, 0), ("1", 1)])
def test_one_layer_is_read(layers, expected):
    encoder, inputs = elmo(50, width=6, cell_width=5), batch([6, 1, 4])
    given = encoder(inputs)["hidden_states"][expected]
    model = features(encoder, layers=layers)
    outputs = model(inputs)
    np.testing.assert_allclose(outputs["hidden_states"][-1], given, atol=1e-6)
    np.testing.assert_allclose(outputs["pooled"][2], given[2, :4].numpy().mean(0), atol=1e-6)
    above = {layer.name for layer in model.layers if layer.name.startswith(f"layer_{expected}")}
    assert not above  # layer_I gives hidden state I + 1


def test_another_model_reads_them_beside_its_own_embeddings():
    encoder, inputs = elmo(50, width=6, cell_width=5), batch([6, 1, 4])
    with keras.name_scope("top"):
        top = rnn(50, width=3, embedding_width=4, features=width_of(encoder, "mix"), name="top")
    model = features(encoder, top)
    names = {variable.path for variable in model.weights}
    assert {"mix/logits", "top/layer_0_forward/lstm_cell/kernel", "layer_0_forward/kernel"} < names
    mixed = 0.15 * np.mean([norm(np.array(x)) for x in encoder(inputs)["hidden_states"]], axis=0)
    expected = top({"token_ids": inputs["token_ids"], "mask": inputs["mask"], "features": mixed})
    found, of_padded = model(inputs), model(wider(inputs))
    np.testing.assert_allclose(found["pooled"], expected["pooled"], atol=1e-6)
    np.testing.assert_allclose(of_padded["pooled"], found["pooled"], atol=1e-6)


def test_wrong_layers():
    encoder = rnn(50, width=3, embedding_width=4)
    with pytest.raises(ValueError, match="mix: expected layers of one width, found 4, 3; choose one"):
        width_of(encoder, "mix")
    with pytest.raises(ValueError, match="mix: expected layers of one width, found 4, 3; choose one"):
        features(encoder)
    with pytest.raises(ValueError, match="a number from 0, the embeddings, to 1, received 2"):
        features(encoder, layers=2)
    top = rnn(50, width=3, letters=4, features=3, name="top")
    with pytest.raises(ValueError, match="also reads letters"):
        features(encoder, top, layers="last")
