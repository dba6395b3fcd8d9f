"""A bag of embeddings: its equation, in NumPy; order and padding change nothing."""

import numpy as np

from models.bag import bag
from tests.models.inputs import batch, weights, wider

SIZE = {"width": 5, "embedding_width": 4}


def test_the_equation():
    model, inputs = bag(50, **SIZE), batch([6, 1, 4])
    w = weights(model)
    outputs = model(inputs)
    for i, length in enumerate([6, 1, 4]):
        x = w["token_embedding/embeddings"][inputs["token_ids"][i, :length]]  # [S, E]
        dense = lambda x: np.maximum(x @ w["layer_0_dense/kernel"] + w["layer_0_dense/bias"], 0)
        np.testing.assert_allclose(outputs["pooled"][i], dense(x.mean(0)), atol=1e-5)
        np.testing.assert_allclose(outputs["hidden_states"][1][i, :length], dense(x), atol=1e-5)


def test_it_knows_no_order_and_no_padding():
    model, inputs = bag(50, **SIZE), batch([6, 6])
    weights(model)
    expected = model(inputs)["pooled"]
    turned = {name: x[:, ::-1] for name, x in inputs.items()}
    np.testing.assert_allclose(model(turned)["pooled"], expected, atol=1e-6)
    np.testing.assert_allclose(model(wider(inputs))["pooled"], expected, atol=1e-6)


def test_letters_of_a_word():
    model, inputs = bag(50, **SIZE, letters=6), batch([3, 1], letters=6)
    w = weights(model)
    embedded = model(inputs)["hidden_states"][0].numpy()  # [B, S, 4 + 128]
    for i, length in enumerate([3, 1]):
        for j in range(length):
            x = w["letters_of_words/embedding/embeddings"][inputs["letters"][i, j]]  # [L, 32]
            x = np.concatenate([np.zeros([1, 32]), x, np.zeros([1, 32])])
            kernel = w["letters_of_words/convolution/kernel"]  # [3, 32, 128]
            y = [sum(x[k + o] @ kernel[o] for o in range(3)) + w["letters_of_words/convolution/bias"] for k in range(6)]
            np.testing.assert_allclose(embedded[i, j, 4:], np.maximum(y, 0).max(0), atol=1e-4)
            np.testing.assert_allclose(embedded[i, j, :4], w["token_embedding/embeddings"][inputs["token_ids"][i, j]])
    wide = model(wider(inputs))["hidden_states"][0].numpy()
    np.testing.assert_allclose(wide[0, :3], embedded[0, :3], atol=1e-6)
