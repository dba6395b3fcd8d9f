"""The reader: framing and cutting of rows; windows."""

import numpy as np
import pytest
import tensorflow as tf

from tests.conftest import VOCABULARY
from trainer.text import windows
from trainer.text.reader import Reader, pair_lengths
from trainer.text.word_pieces import WordPieces

TOKENIZER = WordPieces(VOCABULARY, lower_case=True)


def test_rows_are_framed_padded_and_cut():
    ids = tf.ragged.constant([[13], [], [13, 14, 15, 16]], dtype=tf.int32)
    inputs = Reader(TOKENIZER, 4).frame(ids)
    assert inputs["token_ids"].numpy().tolist() == [[2, 13, 3, 0], [2, 3, 0, 0], [2, 13, 14, 3]]
    assert inputs["mask"].numpy().tolist() == [[True] * 3 + [False], [True] * 2 + [False] * 2, [True] * 4]
    assert inputs["segment_ids"].numpy().tolist() == [[0] * 4] * 3


def test_pairs_are_framed_and_the_longer_one_is_cut():
    first, second = [[13], [13, 14, 15], [13] * 9], [[20, 21], [20] * 9, [20] * 9]
    inputs = Reader(TOKENIZER, 10).frame(*[tf.ragged.constant(rows, dtype=tf.int32) for rows in (first, second)])
    for row, (a, b) in enumerate([(1, 2), (3, 4), (4, 3)]):
        ids = [2, *first[row][:a], 3, *second[row][:b], 3]
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
            assert tuple(map(int, pair_lengths(tf.constant(a), tf.constant(b), 9))) == (x, y)


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


def test_values_of_pieces_are_put_at_their_places():
    reader = Reader(TOKENIZER, 5)
    ids = tf.ragged.constant([[13], [13, 14, 15, 16]], dtype=tf.int32)
    aligned = reader.align(ids + 100, reader.frame(ids), empty=-1)
    assert aligned.numpy().tolist() == [[-1, 113, -1, -1, -1], [-1, 113, 114, 115, -1]]


def test_a_reader_reads_strings():
    reader = Reader(TOKENIZER, 16)
    texts = ["a", "good film", "bad", "very very fine film"]
    np.testing.assert_array_equal(reader.ids(texts, chunk=3).to_tensor(), reader.ids(texts).to_tensor())
    inputs, framed = reader(texts), reader.frame(TOKENIZER(tf.constant(texts)).ids)
    for name, spec in reader.inputs().items():
        np.testing.assert_array_equal(inputs[name], framed[name])
        assert spec.is_compatible_with(inputs[name])
    assert reader.lengths(reader.ids(texts)).tolist() == inputs["mask"].numpy().sum(axis=1).tolist() == [3, 4, 3, 6]
    with pytest.raises(TypeError, match="expected a list of texts, received 'a text'"):
        reader("a text")
