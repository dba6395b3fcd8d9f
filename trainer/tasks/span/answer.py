"""A model's logits as answers with their places, inside the graph that is exported.

Glossary of shapes: B batch, W windows, P pieces of a window's part of the context, S sequence length, K best answers.
"""

from functools import partial
from typing import Any, NamedTuple

import keras
import tensorflow as tf

from models.heads import LOWEST
from trainer.tasks.setup import Setup
from trainer.tasks.span.examples import cut, question_room
from trainer.text import layout, windows
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
    finder = _Finder(setup)

    def answer(each, question, context):
        asked = each.read(question, context)
        return each.answer(finder.best(asked, _judged(model, finder, asked)))

    return {
        name: tf.function(partial(answer, each), input_signature=each.signature, autograph=False)
        for name, each in _both(finder).items()
    }


def best_answers(model: keras.Model, setup: Setup) -> Any:
    """Returns a tf.function (question, context), strings [B] -> the best answers, see `functions`, and `null_score`."""
    finder = _Finder(setup)

    def read(question, context):
        asked = finder.read(question, context)
        return finder.best(asked, _judged(model, finder, asked))

    return tf.function(read, input_signature=finder.signature, autograph=False)


def parts(setup: Setup) -> dict[str, "Answer"]:
    """See `trainer.tasks.kind.Kind`."""
    return _both(_Finder(setup))


def _both(finder):
    return {"serving_default": Answer(finder), "nbest": Best(finder)}


def _judged(model, finder, asked):
    """Returns what gives the logits of the windows from one on."""
    return lambda i: in_float32(model(finder.frame(asked, slice(i, i + windows.WINDOWS)), training=False))


class Answer:
    """Finds the best answer, or says that there is none; see `functions` and `trainer.tasks.parts.Parts`."""

    def __init__(self, finder: "_Finder") -> None:
        self.finder, self.signature, self.read = finder, finder.signature, finder.read

    def frame(self, asked: "_Asked") -> dict[str, tf.Tensor]:
        """Returns the inputs of the model, of all windows."""
        return self.finder.frame(asked, slice(None))

    def decode(self, asked: "_Asked", outputs: tf.Tensor) -> dict[str, tf.Tensor]:
        """Returns the answers to the logits of all windows [T, 2]."""
        question = tf.gather(asked.questions.row_lengths(), asked.cuts.rows)
        lengths = tf.cast(question, tf.int64) + asked.cuts.ends - asked.cuts.starts + layout.specials(2)
        logits = tf.RaggedTensor.from_row_lengths(outputs, lengths, validate=False)
        return self.answer(self.finder.best(asked, lambda i: logits[i : i + windows.WINDOWS].to_tensor(LOWEST)))

    def answer(self, best: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """Returns what is answered, of the best spans."""
        null = best["null_score"]
        none = best["starts"][:, 0] < 0
        threshold = self.finder.setup.null_threshold
        if threshold is not None:
            none |= null > threshold
        return {
            "answer": tf.where(none, "", best["answers"][:, 0]),
            "start": tf.where(none, 0, best["starts"][:, 0]),
            "end": tf.where(none, 0, best["ends"][:, 0]),
            "score": tf.where(none, null, best["scores"][:, 0]),
            "null_score": null,
        }


class Best(Answer):
    """Finds the best answers, whatever the null score is; see `functions`."""

    def answer(self, best: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """Returns all of the best spans."""
        return {name: value for name, value in best.items() if name != "null_score"}


class _Asked(NamedTuple):
    """Questions beside their contexts, in windows."""

    context: tf.Tensor  # [B], strings
    questions: tf.RaggedTensor  # int32 [B, (P)], the pieces that are read
    contexts: Pieces
    begins: tf.Tensor  # of all pieces of the contexts: a word begins with it
    ends: tf.Tensor  # likewise: a word ends with it
    cuts: windows.Windows
    low: tf.Tensor  # of each window: the sums of first and last piece of the spans that belong to it are from here
    high: tf.Tensor  # to below this


class _Finder:
    """Finds the best spans of contexts. Its methods are parts of a graph."""

    def __init__(self, setup):
        self.setup, self.reader = setup, setup.reader
        self.longest = setup.max_answer_length
        self.signature = [tf.TensorSpec([None], tf.string, name=field) for field in setup.fields]

    def read(self, question, context):
        """Returns questions beside their contexts, strings [B] each, as `_Asked`."""
        # A session does not look at shapes.
        context = tf.strings.unicode_transcode(tf.ensure_shape(context, [None]), "UTF-8", "UTF-8", errors="replace")
        return self._asked(tf.ensure_shape(question, [None]), context)

    def frame(self, asked, some):
        """Returns the inputs of the model, of some windows."""
        rows, starts, ends = (field[some] for field in asked.cuts[:3])
        question = tf.gather(asked.questions, rows)
        part = tf.gather(asked.contexts.ids.flat_values, tf.ragged.range(starts, ends))
        return self.reader.frame(question, part.with_row_splits_dtype(question.row_splits.dtype))

    def best(self, asked, logits):
        """Returns the best answers, see `functions`, and `null_score`; `logits`: i -> [W, S, 2], of windows i ... i + WINDOWS - 1."""
        number = tf.size(asked.cuts.rows)

        def read_some(i, *best):
            """Reads windows i ... i + WINDOWS - 1 and fills in their best spans: scores, first and last pieces [all windows, K]."""
            spans = self._best_spans(asked, i, logits(i))
            places = tf.range(i, i + tf.shape(spans[0])[0])[:, None]
            update = tf.tensor_scatter_nd_update
            return i + windows.WINDOWS, *[update(old, places, new) for old, new in zip(best, spans, strict=True)]

        none = tf.zeros([number, BEST], tf.int64)
        start = (tf.constant(0), tf.zeros([number, BEST]), none, none)
        _, *best = tf.while_loop(lambda i, *_: i < number, read_some, start, parallel_iterations=1)
        return self._over_windows(asked, asked.context, *best)

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
        return _Asked(context, questions, pieces, begins, ends, cuts, low, high)

    def _best_spans(self, asked, i, logits):
        """Returns the best spans of windows i ... i + WINDOWS - 1, of their logits [W, S, 2]: scores [W, K], first and last pieces
        [W, K] int64."""
        some = slice(i, i + windows.WINDOWS)
        rows, starts, ends = (field[some] for field in asked.cuts[:3])
        place = tf.ragged.range(starts, ends)  # [W, (P)] among all pieces
        question = tf.gather(asked.questions, rows)
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
