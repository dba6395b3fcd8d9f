"""Two texts read apart: the features of both, in NumPy; attention to the first text; padding of either changes nothing."""

import numpy as np
import pytest

from models.bag import bag
from models.heads import LOWEST, classify, span
from models.pairs import SECOND, pair
from models.rnn import rnn
from tests.models.inputs import batch, softmax, weights, wider
from tests.models.test_rnn import run as run_of_width_5

FIRST, OTHER = [3, 1, 5], [6, 2, 4]


def pairs(first, second):
    return first | {SECOND + name: x for name, x in second.items()}


def inputs_of(letters=0):
    return batch(FIRST, letters=letters), batch(OTHER, letters=letters, seed=3)


def test_features_of_both():
    encoder = bag(50, width=5, embedding_width=4, pooled_only=True)
    model = pair(encoder, width=6, pooled_only=True)
    w = weights(model)
    first, second = inputs_of()
    pooled = model(pairs(first, second))["pooled"]
    u, v = encoder(first)["pooled"].numpy(), encoder(second)["pooled"].numpy()
    x = np.concatenate([u, v, np.abs(u - v), u * v], -1)
    np.testing.assert_allclose(pooled, np.tanh(x @ w["pair_dense/kernel"] + w["pair_dense/bias"]), atol=1e-5)


@pytest.mark.parametrize("attention", ["multiplicative", "additive"])
def test_places_of_the_second_text_attend_to_the_first(attention):
    encoder = bag(50, width=5, embedding_width=4)
    model = pair(encoder, width=10, attention=attention)
    w = weights(model)
    first, second = inputs_of()
    states = model(pairs(first, second))["hidden_states"][-1]
    of_first, of_second = encoder(first)["hidden_states"], encoder(second)["hidden_states"]
    for i, (n, m) in enumerate(zip(FIRST, OTHER, strict=True)):
        features = []
        for place, name in ((0, "embeddings"), (-1, "states")):
            asked, h = of_first[place][i, :n].numpy(), of_second[place][i, :m].numpy()
            scale = w[f"pair_attention_{name}/scale"]
            additive = attention == "additive"
            scores = np.tanh(h[:, None] + asked[None]) @ scale if additive else scale * h @ asked.T
            a = softmax(scores) @ asked
            features += [h, a, h * a]
        x = np.concatenate(features, -1) @ w["pair_dense/kernel"] + w["pair_dense/bias"]
        x = np.maximum(x, 0)
        forward = run_of_width_5("lstm", x, w, "pair_forward")
        backward = run_of_width_5("lstm", x[::-1], w, "pair_backward")[::-1]
        np.testing.assert_allclose(states[i, :m], np.concatenate([forward, backward], -1), atol=1e-5)


@pytest.mark.parametrize(("head", "letters"), [("classify", 0), ("span", 6)])
def test_padding_changes_nothing(head, letters):
    only = {"pooled_only": head == "classify"}
    encoder = rnn(50, width=5, embedding_width=4, bidirectional="concatenate", letters=letters, **only)
    build = classify if head == "classify" else span
    model = build(pair(encoder, width=6, attention="additive", **only), 2, dropout=0.0, seed=0)
    weights(model)
    first, second = inputs_of(letters)
    expected = model(pairs(first, second)).numpy()
    for wide in (pairs(wider(first), second), pairs(first, wider(second))):
        logits = model(wide).numpy()
        np.testing.assert_allclose(logits if head == "classify" else logits[:, :6], expected, atol=1e-4)
    if head == "span":
        assert (model(pairs(first, wider(second))).numpy()[:, 6:] == np.float32(LOWEST)).all()


def test_both_share_their_weights():
    encoder = rnn(50, width=5, embedding_width=4)
    model = pair(encoder, width=6)
    own = [variable.path for variable in model.weights if variable.path.startswith("pair_")]
    assert len(model.weights) == len(encoder.weights) + len(own)
    with pytest.raises(ValueError, match=r"attention: expected one of .*, received other"):
        pair(encoder, attention="other")
