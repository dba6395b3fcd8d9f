"""Layers that are computed anew for the gradient: the same results, less to keep."""

from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from models import heads
from models.bert import bert
from models.gpt import gpt
from models.rnn import rnn
from models.transformer import transformer_encoder
from trainer.errors import Mistake
from trainer.training import machine, optim
from trainer.training.recompute import Recompute, Recomputing, kept_bytes
from trainer.training.step import training_step

SIZE = {"layers": 2, "width": 16, "heads": 2, "seed": 3}
INPUTS = {"token_ids": tf.int32, "segment_ids": tf.int32, "mask": tf.bool}


def bert_classifier():
    return heads.classify(bert(50, positions=16, packed=True, pooled_only=True, **SIZE), 2, dropout=0.1, seed=3)


def bert_of_all_layers():
    """It also gives what is made inside of layers."""
    encoder = bert(50, positions=16, attention_maps=True, **SIZE)
    x = keras.layers.Average()(encoder.output["hidden_states"])
    logits = keras.layers.Dense(2)(x[:, 0])
    return keras.Model(encoder.input, {"logits": logits, "attention_maps": encoder.output["attention_maps"]})


def gpt_classifier():
    return heads.classify(gpt(50, positions=16, packed=True, **SIZE), 2, dropout=0.1, seed=3)


def transformer_normalised_first():
    return heads.classify(transformer_encoder(50, norm_first=True, packed=True, **SIZE), 2, dropout=0.1, seed=3)


def trained(model, computed, steps=2):
    """Returns losses, weights and random states after steps on one batch."""
    optimizer = optim.optimizer(model.trainable_variables, 0.01, weight_decay=0.01)
    names = [tensor.name for tensor in model.inputs]

    def loss(targets, outputs):
        logits = outputs["logits"] if isinstance(outputs, dict) else outputs
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(targets, logits)
        return tf.reduce_sum(losses), tf.cast(tf.size(losses), tf.float32)

    signature = [{name: tf.TensorSpec([None, None], INPUTS[name]) for name in names}, tf.TensorSpec([None], tf.int32)]
    step = training_step(computed, loss, optimizer, signature)
    mask = np.tri(4, 9, 5, dtype=bool)
    ids = {
        name: np.where(mask, np.arange(36).reshape(4, 9) % (2 if name == "segment_ids" else 50), 0) for name in INPUTS
    }
    inputs = {name: mask if name == "mask" else ids[name].astype("int32") for name in names}
    losses = [step([(inputs, np.array([0, 1, 1, 0], "int32"))])["loss"] for _ in range(steps)]
    return losses, model.trainable_variables, model.non_trainable_variables


@pytest.mark.parametrize("build", [bert_of_all_layers, gpt_classifier, transformer_normalised_first])
def test_steps_are_those_of_the_model_with_the_same_dropout(build):
    first, second = build(), build()
    second.set_weights(first.get_weights())
    results = trained(first, first), trained(second, Recomputing(second))
    np.testing.assert_allclose(results[1][0], results[0][0], rtol=1e-5)
    for found, expected in zip(results[1][1], results[0][1], strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-5, err_msg=expected.path)
    assert results[0][2]
    for found, expected in zip(results[1][2], results[0][2], strict=True):
        np.testing.assert_array_equal(found, expected)


def test_a_run_decides_by_the_memory_that_is_free(monkeypatch):
    model = bert_classifier()
    needed = kept_bytes(model, 32, 384)
    of_map, of_tensor = 32 * 2 * 384**2, 32 * 384 * 16
    assert needed == 2 * (5 * of_map + 4 * (14 + 4 * 4) * of_tensor) + 16 * of_map
    for free, on in ((needed, True), (2 * needed, False), (None, False)):
        monkeypatch.setattr(machine, "free_memory", lambda free=free: free)
        found = Recompute.of("auto", model, 32, 384)
        assert found.on == on == bool(found.said)
    assert Recompute.of("yes", model, 32, 384).on
    assert not Recompute.of("no", model, 10**6, 384).on
    assert not Recompute.of("auto", heads.classify(rnn(50, width=4), 2, dropout=0.1, seed=0), 10**6, 384).on
    with pytest.raises(Mistake, match="--recompute yes: expected a model of Transformer layers"):
        Recompute.of("yes", heads.classify(rnn(50, width=4), 2, dropout=0.1, seed=0), 32, 384)


def test_free_memory_is_less_than_the_machine_has():
    total = 1024 * int(Path("/proc/meminfo").read_text().split()[1])
    assert 0 < machine.free_memory() < total
