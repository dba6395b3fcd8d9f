"""Batches are a pure function of (seed, epoch, data), whether the data lie in memory or not."""

from itertools import pairwise

import numpy as np
import tensorflow as tf

from tests.conftest import VOCABULARY
from trainer.text.reader import Reader
from trainer.text.word_pieces import WordPieces
from trainer.training import batches

READER = Reader(WordPieces(VOCABULARY, lower_case=True), 16)
LENGTHS = np.random.default_rng(0).integers(3, 60, 1000)


def test_an_epoch_takes_each_row_in_one_of_its_forms():
    ids = tf.ragged.constant([[13] * n for n in (1, 2, 3, 4, 5, 6)], dtype=tf.int32)
    forms = [[[0], [1]], [[2, 3], [4, 5]]]
    examples = batches.Examples(READER, ids, ids, forms=forms)
    assert examples.number == 3
    epochs = [sorted(np.concatenate(examples.plan(2, seed=3, epoch=e)).tolist()) for e in range(4)]
    for before, after in pairwise(epochs):
        assert sorted(before + after) == [0, 1, 2, 3, 4, 5]
    assert epochs[0] == epochs[2]
    inputs, targets = next(iter(batches.dataset(examples, [np.array([1, 3])])))
    assert targets.numpy().tolist() == [[-1, 13, 13, -1, -1, -1], [-1, 13, 13, 13, 13, -1]]
    assert targets.shape == inputs["token_ids"].shape


def test_training_plan():
    plan = batches.plan_training(LENGTHS, 32, seed=1, epoch=2)
    assert sorted(np.concatenate(plan)) == list(range(1000))
    repeated = batches.plan_training(LENGTHS, 32, seed=1, epoch=2)
    assert all(np.array_equal(*pair) for pair in zip(plan, repeated, strict=True))
    for changed in ({"seed": 1, "epoch": 3}, {"seed": 2, "epoch": 2}):
        assert not np.array_equal(np.concatenate(plan), np.concatenate(batches.plan_training(LENGTHS, 32, **changed)))
    padded = sum(len(batch) * LENGTHS[batch].max() for batch in plan)
    assert padded < 1.15 * LENGTHS.sum()  # random batches: about 1.8


def test_batches_of_equal_numbers_of_units():
    plan = batches.plan_training(LENGTHS, 32, seed=1, epoch=2, equal=True)
    assert sorted(np.concatenate(plan)) == list(range(1000))
    assert len(plan) == len(batches.plan_training(LENGTHS, 32, seed=1, epoch=2))
    units = np.array([LENGTHS[batch].sum() for batch in plan])
    assert units.max() < 1.2 * units.min()  # of batches of equal numbers of rows: 15 times
    assert batches.equal_places(np.array([9, 1, 1]), 3).tolist() == [1, 2]
    assert batches.equal_places(np.array([1, 1, 9]), 3).tolist() == [1, 2]


def test_evaluation_plan_is_longest_first():
    plan = batches.plan_evaluation(LENGTHS, 32)
    assert sorted(np.concatenate(plan)) == list(range(1000))
    assert np.all(np.diff(LENGTHS[np.concatenate(plan)]) <= 0)


def test_batches_follow_their_plan():
    texts = ["a", "good film", "bad", "very very fine film"]
    plan = [np.array([3, 0]), np.array([1]), np.array([2])]
    examples = batches.Examples(READER, READER.ids(texts), tf.constant([0, 1, 2, 3]))
    for planned, (inputs, targets) in zip(plan, batches.dataset(examples, plan), strict=True):
        assert targets.numpy().tolist() == planned.tolist()
        for name, expected in READER([texts[i] for i in planned]).items():
            np.testing.assert_array_equal(inputs[name], expected)
    steps = list(batches.steps(examples, [np.array([3, 0, 1]), np.array([2])], 2, epoch=1))
    assert [size for _, size in steps] == [3, 1]
    assert [[targets.numpy().tolist() for _, targets, _ in step] for step, _ in steps] == [[[3, 0], [1]], [[2]]]
    assert list(batches.steps(examples, [], 2, epoch=1)) == []
    steps = list(batches.steps(examples, [np.array([3, 0, 1]), np.array([2])], 2, epoch=1, most=1))
    assert [[targets.numpy().tolist() for _, targets, _ in step] for step, _ in steps] == [[[3, 0, 1]], [[2]]]


class Lazy:
    """Examples in a memory-mapped file, masked anew every epoch: a `batches.Source`."""

    def __init__(self, path):
        self.ids, self.number, self.read = np.load(path, mmap_mode="r"), 6, []

    def plan(self, batch_size, *, seed, epoch):
        return batches.plan_training(np.full(self.number, 3), batch_size, seed=seed, epoch=epoch)

    def batch(self, rows, epoch):
        ids = tf.numpy_function(self._take, [rows], tf.int32)
        hidden = tf.random.stateless_uniform(tf.shape(ids), tf.stack([epoch, rows[0]])) < 0.5
        return {"token_ids": tf.where(hidden, 4, ids)}, ids

    def _take(self, rows):
        self.read += rows.tolist()
        return self.ids[rows]


def test_a_source_may_be_lazy_and_differ_from_epoch_to_epoch(tmp_path):
    np.save(tmp_path / "ids.npy", np.arange(18, dtype=np.int32).reshape(6, 3) + 10)
    source, seen = Lazy(tmp_path / "ids.npy"), []
    assert source.read == []
    for epoch in (1, 2, 1):
        plan = source.plan(2, seed=0, epoch=epoch)
        source.read.clear()
        masked = [
            inputs["token_ids"].numpy() for step, _ in batches.steps(source, plan, 2, epoch) for inputs, *_ in step
        ]
        assert sorted(source.read) == list(range(6))
        order = np.argsort(np.concatenate(plan))
        seen.append(np.concatenate(masked)[order])
    np.testing.assert_array_equal(seen[0], seen[2])
    assert np.any(seen[0] != seen[1]) and 0 < np.mean(seen[0] == 4) < 1
