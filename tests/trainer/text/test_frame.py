"""Features: framing and cutting of rows; batches are a pure function of (seed, epoch, data)."""

from itertools import pairwise

import numpy as np
import tensorflow as tf

from tests.conftest import VOCABULARY
from trainer.text import frame, windows
from trainer.text.word_pieces import Tokenizer
from trainer.training import batches

TOKENIZER = Tokenizer(VOCABULARY, lower_case=True)
LENGTHS = np.random.default_rng(0).integers(3, 60, 1000)


def test_rows_are_framed_padded_and_cut():
    ids = tf.ragged.constant([[13], [], [13, 14, 15, 16]], dtype=tf.int32)
    inputs = frame.pack(ids, TOKENIZER, max_length=4)
    assert inputs["token_ids"].numpy().tolist() == [[2, 13, 3, 0], [2, 3, 0, 0], [2, 13, 14, 3]]
    assert inputs["mask"].numpy().tolist() == [[True] * 3 + [False], [True] * 2 + [False] * 2, [True] * 4]
    assert inputs["segment_ids"].numpy().tolist() == [[0] * 4] * 3


def test_pairs_are_framed_and_the_longer_one_is_cut():
    one, two = [[13], [13, 14, 15], [13] * 9], [[20, 21], [20] * 9, [20] * 9]
    inputs = frame.pack(
        tf.ragged.constant(one, dtype=tf.int32), TOKENIZER, 10, second=tf.ragged.constant(two, dtype=tf.int32)
    )
    for row, (a, b) in enumerate([(1, 2), (3, 4), (4, 3)]):
        ids = [2, *one[row][:a], 3, *two[row][:b], 3]
        assert inputs["token_ids"][row].numpy().tolist() == ids + [0] * (10 - len(ids))
        assert inputs["segment_ids"][row].numpy().tolist() == [0] * (a + 2) + [1] * (b + 1) + [0] * (10 - len(ids))
        assert inputs["mask"][row].numpy().sum() == len(ids)


def test_pairs_are_cut_as_google_cuts_them():
    """`_truncate_seq_pair` of google-research/bert: while both are too long, pop the longer one's last; of equals, b's."""
    for a in range(12):
        for b in range(12):
            x, y = a, b
            while x + y > 9:
                x, y = (x - 1, y) if x > y else (x, y - 1)
            assert tuple(map(int, frame.pair_lengths(tf.constant(a), tf.constant(b), 9))) == (x, y)


def test_windows_keep_every_piece_once():
    for max_length in (3, 4, 10, 34, 128):
        lengths = [0, 1, max_length - 2, max_length - 1, 5 * max_length, 0, 1000]
        room = max_length - 2
        cut = windows.windows(tf.constant(lengths, tf.int64), room, room - 2 * (room // 8))
        fields = [field.numpy() for field in cut]
        assert fields[0].tolist() == sorted(fields[0])
        kept = [range(a, b) for a, b in zip(*fields[3:], strict=True)]
        assert [i for places in kept for i in places] == list(range(sum(lengths)))
        for row, start, end, kept_from, kept_to in zip(*fields, strict=True):
            before = sum(lengths[:row])
            assert before <= start <= kept_from <= kept_to <= end <= before + lengths[row]
            assert end - start == min(room, lengths[row])
            assert kept_from == before or kept_from - start >= room // 8
            assert kept_to == before + lengths[row] or end - kept_to >= room // 8


def test_an_epoch_takes_each_row_in_one_of_its_forms():
    ids = tf.ragged.constant([[13] * n for n in (1, 2, 3, 4, 5, 6)], dtype=tf.int32)
    forms = [[[0], [1]], [[2, 3], [4, 5]]]
    examples = batches.Examples(ids, ids, TOKENIZER, 16, forms=forms)
    assert examples.number == 3
    epochs = [sorted(np.concatenate(examples.plan_training(2, seed=3, epoch=e)).tolist()) for e in range(4)]
    for one, two in pairwise(epochs):
        assert sorted(one + two) == [0, 1, 2, 3, 4, 5]
    assert epochs[0] == epochs[2]
    inputs, targets, _ = next(iter(examples.batches([np.array([1, 3])])))
    assert targets.numpy().tolist() == [[-1, 13, 13, -1, -1, -1], [-1, 13, 13, 13, 13, -1]]
    assert targets.shape == inputs["token_ids"].shape


def test_training_plan():
    plan = batches.plan_training(LENGTHS, 32, seed=1, epoch=2)
    assert sorted(np.concatenate(plan)) == list(range(1000))
    again = batches.plan_training(LENGTHS, 32, seed=1, epoch=2)
    assert all(np.array_equal(one, two) for one, two in zip(plan, again, strict=True))
    for other in ({"seed": 1, "epoch": 3}, {"seed": 2, "epoch": 2}):
        assert not np.array_equal(np.concatenate(plan), np.concatenate(batches.plan_training(LENGTHS, 32, **other)))
    padded = sum(len(batch) * LENGTHS[batch].max() for batch in plan)
    assert padded < 1.15 * LENGTHS.sum()  # random batches: about 1.8


def test_evaluation_plan_is_longest_first():
    plan = batches.plan_evaluation(LENGTHS, 32)
    assert sorted(np.concatenate(plan)) == list(range(1000))
    assert np.all(np.diff(LENGTHS[np.concatenate(plan)]) <= 0)


def test_batches_follow_their_plan():
    texts = ["a", "good film", "bad", "very very fine film"]
    ids = batches.tokenize(texts, TOKENIZER, chunk=3)
    targets = tf.constant([0, 1, 2, 3])
    plan = [np.array([3, 0]), np.array([1]), np.array([2])]
    examples = batches.Examples(ids, targets, TOKENIZER, 16)
    for planned, (inputs, golds, rows) in zip(plan, examples.batches(plan), strict=True):
        assert rows.numpy().tolist() == golds.numpy().tolist() == planned.tolist()
        expected = frame.pack(TOKENIZER(tf.constant([texts[i] for i in planned])).ids, TOKENIZER, 16)
        for name, value in inputs.items():
            np.testing.assert_array_equal(value, expected[name])
            assert frame.INPUTS[name].is_compatible_with(value)
