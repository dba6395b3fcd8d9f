"""A model's logits as answers with their places, inside the graph that is exported.

Glossary of shapes: B batch, W windows, P pieces of a window's part of the context, S sequence length, K best answers.
"""

from typing import Any, NamedTuple

import keras
import tensorflow as tf

from models.heads import LOWEST
from trainer.tasks.setup import Setup
from trainer.tasks.span.examples import cut, question_room
from trainer.text import windows
from trainer.text.pieces import Pieces, changes
from trainer.training.step import in_float32

BEST = 20  # answers


def functions(model: keras.Model, setup: Setup) -> dict[str, Any]:
    """Returns {"serving_default", "nbest"}, what is exported.

    Both take question, context, strings [B]; `context[start:end]` is the answer, in code points.

    serving_default: -> answer string [B], start, end int32 [B], score, null_score float [B]. `score` is the answer's share
        among the best 20, by their softmax; `null_score` is the probability that there is no answer rather than the best
        one. Where it is above the run's threshold, or nothing in the context may be an answer, the answer is "", 0, 0, and
        its score the null score.
    nbest: -> answers string [B, K], starts, ends int32 [B, K], scores float [B, K], the best first, whatever the null score;
        padded with "" and -1.
    """
    read = best_answers(model, setup)

    def nbest(question, context):
        best = read(question, context)
        best.pop("null_score")
        return best

    def answer(question, context):
        best = read(question, context)
        null = best["null_score"]
        none = best["starts"][:, 0] < 0
        if setup.null_threshold is not None:
            none |= null > setup.null_threshold
        return {
            "answer": tf.where(none, "", best["answers"][:, 0]),
            "start": tf.where(none, 0, best["starts"][:, 0]),
            "end": tf.where(none, 0, best["ends"][:, 0]),
            "score": tf.where(none, null, best["scores"][:, 0]),
            "null_score": null,
        }

    signature = read.input_signature
    return {
        name: tf.function(function, input_signature=signature, autograph=False)
        for name, function in (("serving_default", answer), ("nbest", nbest))
    }


def best_answers(model: keras.Model, setup: Setup) -> Any:
    """Returns a tf.function (question, context), strings [B] -> the best answers, see `functions`, and `null_score`."""
    strings = [tf.TensorSpec([None], tf.string, name=field) for field in setup.fields]
    return tf.function(_Finder(model, setup).read, input_signature=strings, autograph=False)


class _Asked(NamedTuple):
    """Questions beside their contexts, in windows."""

    questions: tf.RaggedTensor  # int32 [B, (P)], the pieces that are read
    contexts: Pieces
    begins: tf.Tensor  # of all pieces of the contexts: a word begins with it
    ends: tf.Tensor  # likewise: a word ends with it
    cuts: windows.Windows
    low: tf.Tensor  # of each window: the sums of first and last piece of the spans that belong to it are from here
    high: tf.Tensor  # to below this


class _Finder:
    """Finds the best spans of contexts. Its methods are parts of a graph."""

    def __init__(self, model, setup):
        self.model, self.setup, self.reader = model, setup, setup.reader
        self.longest = setup.max_answer_length

    def read(self, question, context):
        # A session does not look at shapes.
        context = tf.strings.unicode_transcode(tf.ensure_shape(context, [None]), "UTF-8", "UTF-8", errors="replace")
        asked = self._asked(tf.ensure_shape(question, [None]), context)
        number = tf.size(asked.cuts.rows)

        def read_some(i, *best):
            """Reads windows i ... i + WINDOWS - 1 and fills in their best spans: scores, first and last pieces [all windows, K]."""
            spans = self._best_spans(asked, i)
            places = tf.range(i, i + tf.shape(spans[0])[0])[:, None]
            update = tf.tensor_scatter_nd_update
            return i + windows.WINDOWS, *[update(old, places, new) for old, new in zip(best, spans, strict=True)]

        none = tf.zeros([number, BEST], tf.int64)
        start = (tf.constant(0), tf.zeros([number, BEST]), none, none)
        _, *best = tf.while_loop(lambda i, *_: i < number, read_some, start, parallel_iterations=1)
        return self._over_windows(asked, context, *best)

    def _asked(self, question, context):
        questions = self.reader.tokenizer(question).ids[:, : question_room(self.setup)]
        pieces = self.reader.tokenizer(context)
        cuts = cut(self.setup, questions.row_lengths(), pieces.ids.row_lengths())
        # Between two windows a span i ... j belongs to the later one if that shows more before i than the earlier one after
        # j: i - start > end - 1 - j. So every span that stands whole in a window is looked at once, and nowhere cut.
        is_first = changes(cuts.rows)  # window of its row
        low = tf.where(is_first, tf.int64.min, cuts.starts + tf.roll(cuts.ends, 1, 0))
        high = tf.where(tf.roll(is_first, -1, 0), tf.int64.max, tf.roll(low, -1, 0))
        begins = pieces.begins()
        ends = tf.roll(begins, -1, 0)  # the first of all begins a word
        return _Asked(questions, pieces, begins, ends, cuts, low, high)

    def _best_spans(self, asked, i):
        """Returns the best spans of windows i ... i + WINDOWS - 1: scores [W, K], first and last pieces [W, K] int64."""
        some = slice(i, i + windows.WINDOWS)
        rows, starts, ends = (field[some] for field in asked.cuts[:3])
        place = tf.ragged.range(starts, ends)  # [W, (P)] among all pieces
        question = tf.gather(asked.questions, rows)
        part = tf.gather(asked.contexts.ids.flat_values, place).with_row_splits_dtype(question.row_splits.dtype)
        logits = in_float32(self.model(self.reader.frame(question, part), training=False))  # [W, S, 2]
        place = place.to_tensor(-1)  # [W, P]
        first, last = self._of_pieces(asked, logits, question, place)  # [W, P]
        # All spans of up to `longest` pieces, each in the window that shows most around it: [W, P, longest]
        longest = self.longest
        reach = tf.range(tf.shape(place)[1])[:, None] + tf.range(longest)
        last = tf.gather(tf.pad(last, [[0, 0], [0, longest]], constant_values=LOWEST), reach, axis=1)
        ends_of_span = 2 * place[..., None] + tf.range(longest, dtype=place.dtype)  # sum of first and last piece
        low, high = asked.low[some, None, None], asked.high[some, None, None]
        spans = tf.where((ends_of_span >= low) & (ends_of_span < high), first[..., None] + last, LOWEST)
        best, which = _best(tf.reshape(spans, [tf.size(rows), tf.size(reach)]))
        # Logits are known up to a number that each window has of its own: [CLS], no answer here, is what they share.
        best = tf.where(best > LOWEST / 2, best - tf.reduce_sum(logits[:, 0], axis=-1, keepdims=True), LOWEST)
        begin = starts[:, None] + tf.cast(which // longest, starts.dtype)
        return best, begin, begin + tf.cast(which % longest, starts.dtype)

    def _of_pieces(self, asked, logits, question, place):
        """Returns the logits of pieces as the first and as the last one of an answer, [W, P] each; `LOWEST` where a word does
        not begin, or end."""
        inside = place >= 0
        column = tf.cast(self.reader.place_of_second(question.row_lengths()), tf.int32)[:, None]
        column = tf.minimum(column + tf.range(tf.shape(place)[1]), tf.shape(logits)[1] - 1)
        of_pieces = tf.gather(logits, column, batch_dims=1)  # [W, P, 2]
        safe = lambda flags: tf.gather(tf.concat([flags, [False]], 0), tf.maximum(place, 0))
        first = tf.where(inside & safe(asked.begins), of_pieces[..., 0], LOWEST)
        return first, tf.where(inside & safe(asked.ends), of_pieces[..., 1], LOWEST)

    def _over_windows(self, asked, context, scores, firsts, lasts):
        """Returns the best answers of each row, of those of all its windows [all windows, K]."""
        rows, pieces = asked.cuts.rows, asked.contexts

        def of_rows(values, empty):
            """[W, K] -> [B, windows of a row * K]"""
            values = tf.RaggedTensor.from_value_rowids(values, rows, tf.size(context, tf.int64), validate=False)
            values = values.to_tensor(empty)
            return tf.reshape(values, [tf.shape(values)[0], tf.shape(values)[1] * BEST])

        scores, which = _best(of_rows(scores, LOWEST))  # [B, K]
        given = scores > LOWEST / 2
        pad = lambda values: tf.pad(of_rows(values, 0), [[0, 0], [0, BEST]])
        at = lambda values, places: tf.gather(
            tf.concat([values.flat_values, [0]], 0), tf.where(given, tf.gather(pad(places), which, batch_dims=1), 0)
        )
        starts = tf.where(given, at(pieces.starts, firsts), 0)
        ends = tf.where(given, at(pieces.ends, lasts), 0)
        return {
            "answers": tf.strings.substr(context[:, None], starts, ends - starts, unit="UTF8_CHAR"),
            "starts": tf.where(given, starts, -1),
            "ends": tf.where(given, ends, -1),
            "scores": tf.where(given, tf.nn.softmax(scores), -1.0),
            "null_score": tf.where(given[:, 0], tf.sigmoid(-scores[:, 0]), 1.0),
        }


def _best(scores):
    """Returns the best of each row [N, any number], and where they are: both [N, K]."""
    return tf.math.top_k(tf.pad(scores, [[0, 0], [0, BEST]], constant_values=LOWEST), BEST)
