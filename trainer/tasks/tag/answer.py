"""A model's logits as words and tags, inside the graph that is exported.

Glossary of shapes: B batch, W words of a row, P pieces, U tokens, of texts or of given words, of all rows, C labels.
"""

from functools import partial
from typing import Any, ClassVar, NamedTuple

import keras
import tensorflow as tf

from trainer.tasks.setup import Setup
from trainer.tasks.tag import segmentation, units
from trainer.tasks.tag.decoders import DECODERS
from trainer.tasks.tag.units import Units
from trainer.text import layout, windows
from trainer.text.pieces import changes
from trainer.training.step import in_float32


def functions(model: keras.Model, setup: Setup) -> dict[str, Any]:
    """Returns {"serving_default", "words"}, what is exported.

    serving_default: text [B] -> words, tags string [B, W], scores float [B, W], starts, ends int32 [B, W], where
        text[start:end] is the word, in code points; padded with "" and -1.
    words: words [B, W], padded with "" -> tags, scores [B, W], padded alike.
    """

    def answer(each, strings):
        asked = each.read(strings)
        return each.answer(asked, _logits(model, each.tagger, asked.tokens))

    return {
        name: tf.function(partial(answer, each), input_signature=each.signature, autograph=False)
        for name, each in _both(Tagger(model, setup)).items()
    }


def parts(setup: Setup) -> dict[str, "Texts | Words"]:
    """See `trainer.tasks.kind.Kind`; of labels that are found each by itself."""
    return _both(Tagger(None, setup))


def _both(tagger):
    return {"serving_default": Texts(tagger), "words": Words(tagger)}


class Tagger:
    """Finds labels; what tagging texts and given words share. Its methods are parts of a graph.

    Args:
        model: Of the run, whose head some decoders read; or None.
        setup: Of the run.
    """

    def __init__(self, model: keras.Model | None, setup: Setup) -> None:
        self.reader, self.labels = setup.reader, setup.labels
        self.decoder = DECODERS[setup.decoder or setup.task.decoders[0]](model, setup)

    def judge(self, of_rows: Units, allowed: tf.Tensor, logits: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns the label [U] of every unit, and its score; `allowed`: which labels it may have [U, C], as its logits."""
        lengths = tf.RaggedTensor.from_row_splits(
            tf.cast(of_rows.first, tf.int64), of_rows.ids.row_splits, validate=False
        )
        return self.decoder(logits, allowed, tf.reduce_sum(lengths, axis=1))

    def cuts(self, of_rows: Units) -> windows.Windows:
        """Returns the windows of rows."""
        return units.cut(self.reader, of_rows.ids.row_lengths())

    def frame(self, of_rows: Units, cuts: windows.Windows) -> dict[str, tf.Tensor]:
        """Returns the inputs of the model, of some windows."""
        window = tf.gather(of_rows.ids.flat_values, tf.ragged.range(cuts.starts, cuts.ends))
        return self.reader.frame(window)

    def kept(self, of_rows: Units, cuts: windows.Windows) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Returns, of the units that some windows keep: its first piece, the number of its window among these, its place there."""
        kept = tf.ragged.range(cuts.kept_from, cuts.kept_to)
        begins = tf.gather(of_rows.first, kept.flat_values)
        piece = tf.boolean_mask(kept.flat_values, begins)
        window = tf.boolean_mask(kept.value_rowids(), begins)
        return piece, window, piece - tf.gather(cuts.starts, window) + self.reader.first


def _logits(model, tagger, of_rows):
    """Returns the logits of all units [U, C], each from the window that keeps it."""
    cuts, unit = tagger.cuts(of_rows), tf.cumsum(tf.cast(of_rows.first, tf.int64)) - 1

    def read(i, logits):
        some = windows.Windows(*[field[i : i + windows.WINDOWS] for field in cuts])
        outputs = in_float32(model(tagger.frame(of_rows, some), training=False))
        piece, window, place = tagger.kept(of_rows, some)
        of_windows = tagger.decoder.logits(outputs)  # [windows, S, C]
        of_units = tf.gather_nd(of_windows, tf.stack([window, place], -1))  # [units of these windows, C]
        return i + windows.WINDOWS, tf.tensor_scatter_nd_update(logits, tf.gather(unit, piece)[:, None], of_units)

    start = (tf.constant(0), tf.zeros([tf.reduce_sum(tf.cast(of_rows.first, tf.int32)), len(tagger.labels)]))
    return tf.while_loop(lambda i, _: i < tf.size(cuts.rows), read, start, parallel_iterations=1)[1]


class _Parts:
    """See `trainer.tasks.parts.Parts`; what is read of the strings has `tokens`, and `answer` makes answers of their logits."""

    signature: ClassVar[list[tf.TensorSpec]]

    def __init__(self, tagger: Tagger) -> None:
        self.tagger = tagger

    def answer(self, asked: Any, logits: tf.Tensor) -> dict[str, tf.Tensor]:
        raise NotImplementedError

    def frame(self, asked: Any) -> dict[str, tf.Tensor]:
        """Returns the inputs of the model, of all windows."""
        return self.tagger.frame(asked.tokens, self.tagger.cuts(asked.tokens))

    def decode(self, asked: Any, outputs: tf.Tensor) -> dict[str, tf.Tensor]:
        """Returns the answers to the outputs of all windows [T, C]."""
        cuts = self.tagger.cuts(asked.tokens)
        _, window, place = self.tagger.kept(asked.tokens, cuts)  # in the order of the units
        before = tf.cumsum(cuts.ends - cuts.starts + layout.specials(), exclusive=True)
        return self.answer(asked, tf.gather(outputs, tf.gather(before, window) + place))


class _Text(NamedTuple):
    """Texts that were read."""

    text: tf.Tensor  # [B]
    tokens: Units
    starts: tf.Tensor  # [U], of tokens
    ends: tf.Tensor
    rows: tf.Tensor


class Texts(_Parts):
    """Finds the words of texts, with their tags and places; see `functions`."""

    signature: ClassVar = [tf.TensorSpec([None], tf.string, name="text")]

    def read(self, text: tf.Tensor) -> _Text:
        """Returns texts [B] as tokens."""
        text = tf.ensure_shape(text, [None])  # a session does not look at shapes
        text = tf.strings.unicode_transcode(text, "UTF-8", "UTF-8", errors="replace")
        pieces = self.tagger.reader.tokenizer(text)
        tokens = units.units_of(pieces)
        of_tokens = lambda ragged: tf.boolean_mask(ragged.flat_values, tokens.first)  # [U]
        rows = tf.boolean_mask(pieces.ids.value_rowids(), tokens.first)
        return _Text(text, tokens, of_tokens(pieces.starts), of_tokens(pieces.ends), rows)

    def answer(self, asked: _Text, logits: tf.Tensor) -> dict[str, tf.Tensor]:
        """Returns the words."""
        text, tokens, starts, ends, rows = asked
        label, score = self.tagger.judge(tokens, self._allowed_at(starts, ends, rows), logits)
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

    def _allowed_at(self, starts, ends, rows):
        """Returns which labels tokens may have [U, C].

        A label that begins no word at the token's start needs a token right before it; words inside begin inside.
        """
        words_of = [segmentation.words_of(label) for label in self.tagger.labels]
        begins = tf.constant([bool(words) and words[0][0] == 0 for words in words_of])  # [C]
        deepest = tf.constant([max((-place for place, _ in words), default=0) for words in words_of])  # [C]
        end_before = tf.concat([ends[:1], ends[:-1]], 0)
        joined = ~changes(rows) & (starts == end_before)  # nothing between it and the token before
        return (begins | joined[:, None]) & (deepest < (ends - starts)[:, None])

    def _words_that_begin(self, label):
        """Returns, for each word that begins in tokens of these labels [U]: its token, its place there, its tag."""
        words_of = [segmentation.words_of(name) for name in self.tagger.labels]
        ragged = lambda values, dtype: tf.ragged.constant(values, dtype, row_splits_dtype=tf.int64)
        places = ragged([[place for place, _ in words] for words in words_of], tf.int32)
        tags = ragged([[tag for _, tag in words] for words in words_of], tf.string)
        of_tokens = tf.gather(places, label)  # [U, (words that begin)]
        token = tf.cast(of_tokens.value_rowids(), tf.int64)
        return token, of_tokens.flat_values, tf.gather(tags, label).flat_values


class _Words(NamedTuple):
    """Given words that were read."""

    words: tf.Tensor  # [B, W]
    tokens: Units
    begins: tf.Tensor  # [U]: a word begins with the token


class Words(_Parts):
    """Tags words [B, W]: a word's first token has a plain tag, in the others no word begins; see `functions`."""

    signature: ClassVar = [tf.TensorSpec([None, None], tf.string, name="words")]

    def read(self, words: tf.Tensor) -> _Words:
        """Returns words as tokens."""
        words = tf.ensure_shape(words, [None, None])
        given = words != ""  # [B, W]
        count = tf.reduce_sum(tf.cast(given, tf.int64), axis=1)
        tokens, begins = units.units_of_words(self.tagger.reader.tokenizer, tf.boolean_mask(words, given), count)
        return _Words(words, tokens, begins)

    def answer(self, asked: _Words, logits: tf.Tensor) -> dict[str, tf.Tensor]:
        """Returns the tags."""
        labels = self.tagger.labels
        words, tokens, begins = asked
        plain, number = labels.index(segmentation.INSIDE), tf.range(len(labels))
        allowed = tf.where(begins[:, None], number < plain, number == plain)
        label, score = self.tagger.judge(tokens, allowed, logits)
        of_words = lambda x: tf.boolean_mask(x, begins)
        place, shape = tf.where(words != ""), tf.shape(words, tf.int64)
        tags = tf.gather(tf.constant(labels), of_words(label))
        return {
            "tags": tf.tensor_scatter_nd_update(tf.fill(shape, ""), place, tags),
            "scores": tf.tensor_scatter_nd_update(tf.fill(shape, -1.0), place, of_words(score)),
        }


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
