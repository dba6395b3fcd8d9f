"""Features: framing and cutting of rows; batches are a pure function of (seed, epoch, data)."""

import numpy as np
import tensorflow as tf

from tests.conftest import VOCABULARY
from trainer import features
from trainer.text import Tokenizer

TOKENIZER = Tokenizer(VOCABULARY, lower_case=True)
LENGTHS = np.random.default_rng(0).integers(3, 60, 1000)


def test_rows_are_framed_padded_and_cut():
    ids = tf.ragged.constant([[13], [], [13, 14, 15, 16]], dtype=tf.int32)
    inputs = features.pack(ids, TOKENIZER, max_length=4)
    assert inputs["token_ids"].numpy().tolist() == [[2, 13, 3, 0], [2, 3, 0, 0], [2, 13, 14, 3]]
    assert inputs["mask"].numpy().tolist() == [[True] * 3 + [False], [True] * 2 + [False] * 2, [True] * 4]
    assert inputs["segment_ids"].numpy().tolist() == [[0] * 4] * 3


def test_training_plan():
    plan = features.plan_training(LENGTHS, 32, seed=1, epoch=2)
    assert sorted(np.concatenate(plan)) == list(range(1000))
    again = features.plan_training(LENGTHS, 32, seed=1, epoch=2)
    assert all(np.array_equal(one, two) for one, two in zip(plan, again, strict=True))
    for other in ({"seed": 1, "epoch": 3}, {"seed": 2, "epoch": 2}):
        assert not np.array_equal(np.concatenate(plan), np.concatenate(features.plan_training(LENGTHS, 32, **other)))
    padded = sum(len(batch) * LENGTHS[batch].max() for batch in plan)
    assert padded < 1.15 * LENGTHS.sum()  # random batches: about 1.8


def test_evaluation_plan_is_longest_first():
    plan = features.plan_evaluation(LENGTHS, 32)
    assert sorted(np.concatenate(plan)) == list(range(1000))
    assert np.all(np.diff(LENGTHS[np.concatenate(plan)]) <= 0)


def test_batches_follow_their_plan():
    texts = ["a", "good film", "bad", "very very fine film"]
    ids = features.tokenize(texts, TOKENIZER, chunk=3)
    targets = tf.constant([0, 1, 2, 3])
    plan = [np.array([3, 0]), np.array([1]), np.array([2])]
    for planned, (inputs, golds, rows) in zip(plan, features.batches(ids, targets, plan, TOKENIZER, 16), strict=True):
        assert rows.numpy().tolist() == golds.numpy().tolist() == planned.tolist()
        expected = features.pack(TOKENIZER(tf.constant([texts[i] for i in planned])).ids, TOKENIZER, 16)
        for name, value in inputs.items():
            np.testing.assert_array_equal(value, expected[name])
            assert features.BATCH_SIGNATURE[0][name].is_compatible_with(value)
