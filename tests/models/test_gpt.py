"""GPT: the answers of transformers on the same weights; it cannot see ahead; what is carried on is what was read before."""

import json
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from models.gpt import gpt
from tests.models.inputs import batch, weights, wider
from trainer.architectures.gpt import GPT
from trainer.weights import pretrained

SIZE = {"layers": 2, "width": 8, "heads": 2, "positions": 20}
FOLDER = Path(__file__).parent / "gpt2"


def empty(rows, model):
    return {x.name: tf.zeros([rows, x.shape[1], 0, x.shape[3]]) for x in model.inputs if x.name != "token_ids"}


@pytest.mark.parametrize("parts", [[12], [5, 1, 6]])
def test_logits_are_those_of_transformers(parts):
    """At once, and read in parts whose keys and values are carried on."""
    architecture, answers = GPT(), np.load(FOLDER / "answers.npz")
    settings = json.loads((FOLDER / "config.json").read_text())
    config = architecture.from_settings(settings, FOLDER)
    model = architecture.build_language_model(config, seed=0)
    assert architecture.load(model, FOLDER) == []
    states, logits = empty(3, model), []
    for part in np.split(answers["ids"], np.cumsum(parts)[:-1], axis=1):
        outputs = model({"token_ids": tf.constant(part)} | states)
        states = outputs["states"]
        logits += outputs["logits"]
    np.testing.assert_allclose(np.concatenate(logits, 1), answers["logits"], atol=2e-5)
    theirs = architecture.to_settings(config)
    assert {name: settings[name] for name in theirs} == theirs
    assert {*pretrained.read_tensors(FOLDER).readers} == {
        name for stored in architecture.table(model).values() for name in stored.names
    }


@pytest.mark.parametrize("packed", [False, True])
def test_it_cannot_see_ahead_and_padding_changes_nothing(packed):
    model, lengths = gpt(50, **SIZE, packed=packed), [6, 1, 4]
    weights(model)
    inputs = batch(lengths)
    inputs["segment_ids"] = np.zeros_like(inputs["token_ids"])
    outputs, padded = model(inputs), model(wider(inputs))
    np.testing.assert_allclose(outputs["pooled"], padded["pooled"], atol=1e-6)
    for i, length in enumerate(lengths):
        last = outputs["hidden_states"][-1][i, :length]
        np.testing.assert_allclose(last, padded["hidden_states"][-1][i, :length], atol=1e-6)
        np.testing.assert_allclose(last[-1], outputs["pooled"][i], atol=1e-6)
    changed = inputs | {"token_ids": np.concatenate([inputs["token_ids"][:, :3], 49 - inputs["token_ids"][:, 3:]], 1)}
    after = model(changed)["hidden_states"][-1]
    np.testing.assert_allclose(after[0, :3], outputs["hidden_states"][-1][0, :3], atol=1e-6)
    assert np.abs(after[0, 3:] - outputs["hidden_states"][-1][0, 3:]).max() > 0.01


def test_first_weights_of_residual_paths_are_smaller():
    model = gpt(50, layers=8, width=32, heads=2)
    deviation = {v.path: float(np.std(v)) for v in model.weights if v.path.endswith("kernel")}
    for path, found in deviation.items():
        expected = 0.02 / 4 if "output" in path else 0.02
        assert found == pytest.approx(expected * 0.88, rel=0.15), path  # cut off at two standard deviations
