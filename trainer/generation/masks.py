"""What a model of masked words puts in the place of `[MASK]`: strings in, strings out.

`[MASK]` is control in these signatures alone; the rest of a text is text. Masks are filled from left to right, and the model
reads what it filled before, so that several that stand together become one word. The best fillings are looked for by beams;
the score of one is the product of the probabilities of its pieces: of one mask, that of its piece.

Glossary of shapes: B texts, H fillings of a text, P pieces of a text, R pieces that the model reads at once, S length of a
sequence, V vocabulary, K fillings that are asked for at most.
"""

import re
from typing import NamedTuple

import keras
import tensorflow as tf

from trainer.generation import given_options
from trainer.tasks.options import FILLING
from trainer.tasks.table import MOST_MARKS
from trainer.text import spelling
from trainer.text.reader import Reader
from trainer.text.vocabulary import MASK, PADDING
from trainer.text.windows import WINDOWS

BEAMS = 5  # fillings that are followed, if fewer are asked for
LOWEST = -1e9  # below the logarithms of all fillings
NO_TEXT = re.compile(r"\[.+\]|<\w+>")  # pieces that never stand in text, as [UNK] and [unused1]


def functions(model: keras.Model, reader: Reader) -> dict:
    """Returns {"serving_default", "top_k"}: tf.functions of texts [B], the second one also of `top_k` [B], or [1] for all rows.

    Both give `tokens` [B, K], the pieces of a filling with spaces between, `scores` [B, K], and `texts` [B, K], filled; best
    first. What pads a row is "", with score 0, as is all of a text without `[MASK]`, or with more than `MOST_MARKS`.

    Args:
        model: See `models.heads.masked_words`.
        reader: Of the model.
    """
    filler = Filler(model, reader)
    (default,) = (tf.constant([option.default], option.dtype) for option in FILLING)

    def plain(text):
        return filler(text, default)

    def of_top_k(text, top_k=default):
        return filler(text, top_k)

    text = tf.TensorSpec([None], tf.string, name="text")
    options = [tf.TensorSpec([None], option.dtype, name=option.name) for option in FILLING]
    return {
        name: tf.function(function, input_signature=signature, autograph=False)
        for name, function, signature in (("serving_default", plain, [text]), ("top_k", of_top_k, [text, *options]))
    }


class Beams(NamedTuple):
    """Fillings of texts, best first."""

    ids: tf.Tensor  # int32 [B, H, P]
    texts: tf.Tensor  # up to the next mask, [B, H]
    tokens: tf.Tensor  # [B, H]
    scores: tf.Tensor  # logarithms, [B, H]


class Filler:
    """Fills masks; a plain function of its input that any graph can hold. Args as `functions`."""

    def __init__(self, model: keras.Model, reader: Reader) -> None:
        self.reader, self.tokenizer = reader, reader.tokenizer
        self.model = keras.Model(model.input, model.output["words"])
        vocabulary = self.tokenizer.vocabulary
        self.mask, self.padding = vocabulary.index(MASK), vocabulary.index(PADDING)
        self.size = max(
            model.output["words"].shape[-1], FILLING[0].most
        )  # so that there is always enough to choose from
        others = [""] * (self.size - len(vocabulary))
        self.spelled = tf.constant(vocabulary + others)
        self.allowed = tf.constant([bool(piece) and not NO_TEXT.fullmatch(piece) for piece in vocabulary + others])

    def __call__(self, texts: tf.Tensor, top_k: tf.Tensor) -> dict[str, tf.Tensor]:
        """Returns what `functions` gives; `top_k`: [B] or [1]."""
        texts = tf.ensure_shape(texts, [None])  # A session does not look at shapes.
        rows = tf.size(texts)
        (top_k,) = given_options.rows_of(FILLING, [top_k], rows)
        columns = tf.maximum(tf.reduce_max(tf.concat([top_k, [1]], 0)), 1)
        parts = tf.strings.split(spelling.valid(texts), sep=MASK)  # [B, (masks + 1)]
        several = tf.reduce_any(parts.row_lengths() > 2)
        # Of several masks, all fillings of a text are read at once
        at_once = tf.where(several, tf.maximum(WINDOWS // tf.maximum(columns, BEAMS), 1), WINDOWS)

        def fill(i, *before):
            found = self._filled(parts[i : i + at_once], top_k[i : i + at_once], columns)
            return i + at_once, *[tf.concat(pair, axis=0) for pair in zip(before, found, strict=True)]

        empty = [tf.zeros([0, columns], dtype) for dtype in (tf.string, tf.float32, tf.string)]
        _, *found = tf.while_loop(
            lambda i, *_: i < rows,
            fill,
            (tf.constant(0), *empty),
            shape_invariants=(tf.TensorShape([]), *[tf.TensorShape([None, None])] * 3),
            parallel_iterations=1,
        )
        return dict(zip(("tokens", "scores", "texts"), found, strict=True))

    def _filled(self, parts, top_k, columns):
        """Returns tokens, scores, texts [B, K] of what stands around masks [B, (masks + 1)]."""
        ids, lengths = self._read(parts)
        masks = tf.cast(parts.row_lengths(), tf.int32) - 1
        masks = tf.where(masks > MOST_MARKS, 0, masks)  # [B]
        parts = parts[:, : MOST_MARKS + 1].to_tensor("")
        widths = tf.maximum(top_k, BEAMS)  # of a row's beam, whatever rows stand beside it
        column = parts[:, :1]  # [B, 1]
        start = Beams(ids[:, None], column, tf.zeros_like(column), tf.zeros(tf.shape(column)))

        def step(i, *beams):
            better = self._step(Beams(*beams), lengths, tf.reduce_max(widths))
            kept = tf.range(tf.shape(better.scores)[1]) < widths[:, None]
            texts = better.texts + parts[:, i + 1][:, None]
            better = better._replace(texts=texts, scores=tf.where(kept, better.scores, LOWEST))
            filled = tf.reshape(i < masks, [-1, 1])  # the rows that have such a mask
            before = [_widened(x, tf.shape(better.scores)[1]) for x in beams]
            pairs = zip(better, before, strict=True)
            return i + 1, *[
                tf.where(filled[..., None] if new.shape.rank == 3 else filled, new, old) for new, old in pairs
            ]

        _, *beams = tf.while_loop(
            lambda i, *_: i < tf.reduce_max(masks),
            step,
            (tf.constant(0), *start),
            shape_invariants=(tf.TensorShape([]), tf.TensorShape([None] * 3), *[tf.TensorShape([None] * 2)] * 3),
            parallel_iterations=1,
        )
        _, texts, tokens, scores = (_widened(x, columns)[:, :columns] for x in beams)
        there = (tf.range(columns) < top_k[:, None]) & (scores > LOWEST / 2) & (masks > 0)[:, None]
        return tf.where(there, tokens, ""), tf.where(there, tf.exp(scores), 0.0), tf.where(there, texts, "")

    def _read(self, parts):
        """Returns the pieces of texts with their masks, int32 [B, P], and how many they are [B]."""
        ids = self.tokenizer(parts.flat_values).ids  # [parts of all, (P)]
        of_parts = tf.concat([tf.fill([ids.nrows(), 1], self.mask), ids], axis=1)  # each behind a mask
        parts = parts.with_row_splits_dtype(of_parts.row_splits.dtype)
        ids = parts.with_values(of_parts).merge_dims(1, 2)[:, 1:]  # but the first
        longest = tf.maximum(ids.bounding_shape(1), 1)
        dense = ids.to_tensor(self.padding, shape=tf.stack([tf.constant(-1, longest.dtype), longest]))
        return dense, tf.cast(ids.row_lengths(), tf.int32)

    def _step(self, beams, lengths, most):
        """Returns so many best fillings of the first mask that is left in each [B, H]."""
        places = tf.argmax(tf.cast(beams.ids == self.mask, tf.int32), axis=-1, output_type=tf.int32)  # [B, H]
        logs = tf.nn.log_softmax(self._logits(beams.ids, places, lengths))  # [B, H, V]
        logs = tf.pad(logs, [[0, 0], [0, 0], [0, self.size - logs.shape[-1]]])
        totals = beams.scores[..., None] + tf.where(self.allowed, logs, LOWEST)
        rows = tf.shape(totals)[0]
        scores, best = tf.math.top_k(tf.reshape(totals, [rows, -1]), k=most)
        parents, chosen = best // self.size, best % self.size  # [B, H]
        chosen = tf.where(tf.gather(self.allowed, chosen), chosen, self.padding)  # where there are not so many
        of_parents = lambda x: tf.gather(x, parents, batch_dims=1)
        here = tf.range(tf.shape(beams.ids)[-1]) == of_parents(places)[..., None]  # [B, H, P]
        pieces, tokens = tf.gather(self.spelled, chosen), of_parents(beams.tokens)
        texts = tf.reshape(of_parents(beams.texts), [-1])
        return Beams(
            tf.where(here, chosen[..., None], of_parents(beams.ids)),
            tf.reshape(spelling.append(texts, tf.reshape(pieces, [-1])), tf.shape(pieces)),
            tokens + tf.where(tokens == "", "", " ") + pieces,
            scores,
        )

    def _logits(self, ids, places, lengths):
        """Returns what the model expects at one place of each filling, [B, H, V]; of a long text it reads what stands around."""
        room, shape = self.reader.room(), tf.shape(ids)
        lengths = tf.broadcast_to(lengths[:, None], shape[:2])
        starts = tf.clip_by_value(places - room // 2, 0, tf.maximum(lengths - room, 0))
        around = starts[..., None] + tf.range(tf.minimum(room, shape[2]))
        read = tf.gather(ids, tf.minimum(around, shape[2] - 1), batch_dims=2)  # [B, H, R]
        flat = tf.reshape(read, [shape[0] * shape[1], -1])
        kept = tf.cast(tf.reshape(tf.minimum(lengths, room), [-1]), tf.int64)
        inputs = self.reader.frame(tf.RaggedTensor.from_tensor(flat, kept))  # [B * H, S]
        asked = tf.reshape(places - starts, [-1, 1]) + self.reader.first
        masked = tf.range(tf.shape(inputs["token_ids"])[1]) == asked  # one in each row
        logits = self.model({**inputs, "masked": masked}, training=False)  # [B * H, V]
        return tf.reshape(logits, [shape[0], shape[1], logits.shape[-1]])


def _widened(x, width):
    """Returns fillings [B, H, ...] with the last one again until they are so many, or as they are."""
    return tf.gather(x, tf.minimum(tf.range(tf.maximum(width, tf.shape(x)[1])), tf.shape(x)[1] - 1), axis=1)
