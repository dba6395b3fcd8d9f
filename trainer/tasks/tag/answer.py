"""A model's logits as words and tags, inside the graph that is exported.

Glossary of shapes: B batch, W words of a row, P pieces, U tokens, of texts or of given words, of all rows, C labels.
"""

from typing import Any

import keras
import tensorflow as tf

from trainer.tasks.setup import Setup
from trainer.tasks.tag import segmentation, units
from trainer.tasks.tag.decoders import DECODERS
from trainer.tasks.tag.units import Units
from trainer.text import windows
from trainer.text.pieces import changes
from trainer.training.step import in_float32


def functions(model: keras.Model, setup: Setup) -> dict[str, Any]:
    """Returns {"serving_default", "words"}, what is exported.

    serving_default: text [B] -> words, tags string [B, W], scores float [B, W], starts, ends int32 [B, W], where
        text[start:end] is the word, in code points; padded with "" and -1.
    words: words [B, W], padded with "" -> tags, scores [B, W], padded alike.
    """
    tagger = Tagger(model, setup)
    strings = lambda name, shape: [tf.TensorSpec(shape, tf.string, name=name)]
    return {
        "serving_default": tf.function(tagger.of_text, input_signature=strings("text", [None]), autograph=False),
        "words": tf.function(tagger.of_words, input_signature=strings("words", [None, None]), autograph=False),
    }


class Tagger:
    """Tags texts, or given words; see `functions`. Its methods are parts of a graph."""

    def __init__(self, model: keras.Model, setup: Setup) -> None:
        self.model, self.reader, self.labels = model, setup.reader, setup.labels
        self.decoder = DECODERS[setup.decoder or setup.task.decoders[0]](model, setup)

    def of_text(self, text: tf.Tensor) -> dict[str, tf.Tensor]:
        """Returns the words of texts [B], with their tags and places."""
        text = tf.ensure_shape(text, [None])  # a session does not look at shapes
        text = tf.strings.unicode_transcode(text, "UTF-8", "UTF-8", errors="replace")
        pieces = self.reader.tokenizer(text)
        tokens = units.units_of(pieces)
        of_tokens = lambda ragged: tf.boolean_mask(ragged.flat_values, tokens.first)  # [U]
        starts, ends = of_tokens(pieces.starts), of_tokens(pieces.ends)
        rows = tf.boolean_mask(pieces.ids.value_rowids(), tokens.first)
        label, score = self._judge(tokens, self._allowed_at(starts, ends, rows))
        token, place, tag = self._words_that_begin(label)
        row = tf.gather(rows, token)
        start = tf.where(place == 0, tf.gather(starts, token), tf.gather(ends, token) + place)
        end = _ends_of_words(start, place, token, row, ends, rows)
        number = tf.size(text, rows.dtype)
        padded = lambda x, empty: tf.RaggedTensor.from_value_rowids(x, row, number, validate=False).to_tensor(empty)
        return {
            "words": padded(_substrings(text, row, start, end), ""),
            "tags": padded(tag, ""),
            "scores": padded(tf.gather(score, token), -1.0),
            "starts": padded(start, -1),
            "ends": padded(end, -1),
        }

    def of_words(self, words: tf.Tensor) -> dict[str, tf.Tensor]:
        """Returns the tags of words [B, W]: a word's first token has a plain tag, in the others no word begins."""
        words = tf.ensure_shape(words, [None, None])
        given = words != ""  # [B, W]
        count = tf.reduce_sum(tf.cast(given, tf.int64), axis=1)
        tokens, begins = units.units_of_words(self.reader.tokenizer, tf.boolean_mask(words, given), count)
        plain = self.labels.index(segmentation.INSIDE)
        number = tf.range(len(self.labels))
        label, score = self._judge(tokens, tf.where(begins[:, None], number < plain, number == plain))
        of_words = lambda x: tf.boolean_mask(x, begins)
        place, shape = tf.where(given), tf.shape(words, tf.int64)
        tags = tf.gather(tf.constant(self.labels), of_words(label))
        return {
            "tags": tf.tensor_scatter_nd_update(tf.fill(shape, ""), place, tags),
            "scores": tf.tensor_scatter_nd_update(tf.fill(shape, -1.0), place, of_words(score)),
        }

    def _judge(self, of_rows: Units, allowed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns the label [U] of every unit, and its score; `allowed`: which labels it may have [U, C]."""
        firsts = tf.cast(of_rows.first, tf.int64)
        begun = tf.cumsum(firsts)  # units up to each piece
        lengths = tf.RaggedTensor.from_row_splits(firsts, of_rows.ids.row_splits, validate=False)
        return self.decoder(self._logits(of_rows, begun - 1), allowed, tf.reduce_sum(lengths, axis=1))

    def _logits(self, of_rows, unit):
        """Returns the logits of all units [U, C], each from the window that keeps it; `unit`: of each piece."""
        cuts = units.cut(self.reader, of_rows.ids.row_lengths())

        def read(i, logits):
            starts, ends, kept_from, kept_to = (field[i : i + windows.WINDOWS] for field in cuts[1:])
            window = tf.gather(of_rows.ids.flat_values, tf.ragged.range(starts, ends))
            outputs = in_float32(self.model(self.reader.frame(window), training=False))
            kept = tf.ragged.range(kept_from, kept_to)
            begins = tf.gather(of_rows.first, kept.flat_values)
            piece = tf.boolean_mask(kept.flat_values, begins)
            row = tf.boolean_mask(kept.value_rowids(), begins)
            place = piece - tf.gather(starts, row) + self.reader.first
            of_windows = self.decoder.logits(outputs)  # [windows, S, C]
            of_units = tf.gather_nd(of_windows, tf.stack([row, place], -1))  # [units of these windows, C]
            return i + windows.WINDOWS, tf.tensor_scatter_nd_update(logits, tf.gather(unit, piece)[:, None], of_units)

        start = (tf.constant(0), tf.zeros([tf.reduce_sum(tf.cast(of_rows.first, tf.int32)), len(self.labels)]))
        return tf.while_loop(lambda i, _: i < tf.size(cuts.rows), read, start, parallel_iterations=1)[1]

    def _allowed_at(self, starts, ends, rows):
        """Returns which labels tokens may have [U, C].

        A label that begins no word at the token's start needs a token right before it; words inside begin inside.
        """
        words_of = [segmentation.words_of(label) for label in self.labels]
        begins = tf.constant([bool(words) and words[0][0] == 0 for words in words_of])  # [C]
        deepest = tf.constant([max((-place for place, _ in words), default=0) for words in words_of])  # [C]
        end_before = tf.concat([ends[:1], ends[:-1]], 0)
        joined = ~changes(rows) & (starts == end_before)  # nothing between it and the token before
        return (begins | joined[:, None]) & (deepest < (ends - starts)[:, None])

    def _words_that_begin(self, label):
        """Returns, for each word that begins in tokens of these labels [U]: its token, its place there, its tag."""
        words_of = [segmentation.words_of(name) for name in self.labels]
        ragged = lambda values, dtype: tf.ragged.constant(values, dtype, row_splits_dtype=tf.int64)
        places = ragged([[place for place, _ in words] for words in words_of], tf.int32)
        tags = ragged([[tag for _, tag in words] for words in words_of], tf.string)
        of_tokens = tf.gather(places, label)  # [U, (words that begin)]
        token = tf.cast(of_tokens.value_rowids(), tf.int64)
        return token, of_tokens.flat_values, tf.gather(tags, label).flat_values


def _ends_of_words(start, place, token, row, ends, rows):
    """Returns where words end: where the next one begins; where that is at a token's start, with the token before."""
    last = tf.searchsorted(rows, row, side="right", out_type=tf.int64) - 1  # token of the row
    shifted = lambda x: tf.concat([x[1:], x[:1]], 0)
    follows = shifted(~changes(row))  # another word, in the same row
    inside = follows & (shifted(place) != 0)
    return tf.where(inside, shifted(start), tf.gather(ends, tf.where(follows & ~inside, shifted(token) - 1, last)))


def _substrings(text, row, start, end):
    """Returns text[row][start:end], in code points, for each of many."""
    characters = tf.strings.unicode_split(text, "UTF-8")
    first = tf.gather(characters.row_starts(), row)
    letters = tf.ragged.range(first + tf.cast(start, tf.int64), first + tf.cast(end, tf.int64))
    return tf.strings.reduce_join(tf.gather(characters.flat_values, letters), axis=-1)
