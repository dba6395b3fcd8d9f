"""The part of a context that answers a question: SQuAD's task, with contexts of any length.

The model reads [CLS] question [SEP] window of the context [SEP] and scores every piece as the first and as the last one of
the answer. A window that holds no answer points at [CLS], whose scores are those of "no answer". Of long contexts all windows
are read, and the best answer over all of them is taken.

Reference: Devlin et al. 2019, section 4.2 and 4.3, and `run_squad.py` of google-research/bert. Otherwise than there, the
question's places get no probability, in training neither; an answer begins where a word begins and ends where one ends, in the
context as it was given; all spans are looked at, not those of the 20 best ends alone; spans of several windows are compared by
what each has above "no answer" in its own window; and the last window reaches back instead of being short.

Glossary of shapes: B batch, W windows, P pieces of a window's part of the context, S sequence length, K best answers.
"""

import json
from collections import Counter
from dataclasses import replace

import keras
import numpy as np
import tensorflow as tf

from trainer.data import squad
from trainer.errors import Mistake
from trainer.progress import say
from trainer.text import frame, layout, windows
from trainer.training import batches

ENCODER = {}
LAYERS = ("qa_outputs",)
ARCHITECTURE = "BertForQuestionAnswering"
TARGETS = tf.TensorSpec([None, 2], tf.int32)  # places of the first and of the last piece of the answer; 0, 0: none here
BEST = 20  # answers
LOWEST = -1e9  # below all logits; finite, so that sums of it are


def build(encoder, classes, *, dropout, seed):
    x = encoder.output["hidden_states"][-1]  # [B, S, D]; no dropout here, as in the reference
    initializer = keras.initializers.TruncatedNormal(stddev=0.02, seed=seed)
    logits = keras.layers.Dense(classes, kernel_initializer=initializer, name="qa_outputs")(x)  # [B, S, 2]
    # The question and padding are no places of an answer: only [CLS], and segment 1.
    segments = encoder.input["segment_ids"]
    places = keras.ops.concatenate([keras.ops.ones_like(segments[:, :1]), segments[:, 1:]], axis=1)
    logits = keras.ops.where(keras.ops.expand_dims(places > 0, -1), logits, LOWEST)
    return keras.Model(encoder.input, logits, name="span")


def loss(targets, logits):
    of_ends = tf.transpose(logits, [0, 2, 1])  # [B, 2, S]
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(targets, of_ends)  # [B, 2]
    return tf.reduce_sum(losses), tf.cast(tf.size(losses), tf.float32)


def _question_room(max_length):
    return layout.room(max_length, 2) // 2


def _cut(questions, contexts, reading):
    """Returns `windows.Windows` of contexts of so many pieces [B], beside questions of so many."""
    room = layout.room(reading.max_length, 2) - questions
    return windows.windows(contexts, room, tf.minimum(tf.cast(reading.doc_stride, room.dtype), room))


def examples(rows, task, reading, path=None):
    """Every window of every question. Answers that do not stand in their context where the file says are left out, and so are
    those without a word. `null_threshold`: 0.5, if some rows have no answer."""
    contexts = list(dict.fromkeys(row["context"] for row in rows))
    pieces = dict(zip(contexts, windows.pieces_of(contexts, reading.tokenizer), strict=True))
    questions = [ids for ids, *_ in windows.pieces_of([row["question"] for row in rows], reading.tokenizer)]
    room = _question_room(reading.max_length)
    cut = sum(len(ids) > room for ids in questions)
    found, lost = [], Counter()  # found: [(question, pieces of the context, first and last piece of the answer)]
    for row, question in zip(rows, questions, strict=True):
        ids, _, starts, ends = pieces[row["context"]]
        first = last = -1
        if row["answers"]:
            start, text = row["answers"][0]["answer_start"], row["answers"][0]["text"]
            end = start + len(text)
            if not text or row["context"][start:end] != text:
                lost["stands elsewhere, or nowhere, in the context"] += 1
                continue
            first = int(np.searchsorted(ends, start, side="right"))
            last = int(np.searchsorted(starts, end, side="left")) - 1
            if first > last:
                lost["has no word"] += 1
                continue
        found.append((question[:room], ids, first, last))
    if not found:
        raise Mistake(f"{path}: expected questions whose answers stand in their contexts, found none of {len(rows)}")
    for reason, number in lost.items():
        say(f"{path}: questions left out whose answer {reason}: {number}")
    sizes = [tf.constant([len(row[i]) for row in found], tf.int64) for i in (0, 1)]
    cuts = [field.numpy() for field in _cut(*sizes, reading)[:3]]
    before = np.cumsum([0, *[len(ids) for _, ids, _, _ in found]])
    firsts, seconds, targets = [], [], []
    for row, start, end in zip(*cuts, strict=True):
        question, ids, first, last = found[row]
        start, end = start - before[row], end - before[row]
        place = layout.place_of_second(len(question)) - start  # of piece 0
        firsts.append(question)
        seconds.append(ids[start:end])
        targets.append([first + place, last + place] if start <= first and last < end else [0, 0])
    unanswerable = sum(not row["answers"] for row in rows)
    about = (
        f"{len(found):,} questions, {unanswerable:,} of them without an answer"
        if unanswerable
        else f"{len(found):,} questions"
    )
    about += f", {cut} of them cut" if cut else ""
    ragged = lambda parts: tf.RaggedTensor.from_row_lengths(np.concatenate(parts), [len(part) for part in parts])
    return replace(reading, null_threshold=0.5 if unanswerable else None), batches.Examples(
        ragged(firsts),
        tf.constant(targets, tf.int32),
        reading.tokenizer,
        reading.max_length,
        second=ragged(seconds),
        about=f"{about}, in windows: ",
    )


def reader(model, reading):
    """Returns a function (question, context), strings [B] -> the best answers, all of them, see `functions`, and `null_score`."""
    tokenizer, longest = reading.tokenizer, reading.max_answer_length

    def read(question, context):
        # A session does not look at shapes.
        context = tf.strings.unicode_transcode(tf.ensure_shape(context, [None]), "UTF-8", "UTF-8", errors="replace")
        asked = tokenizer(tf.ensure_shape(question, [None])).ids[:, : _question_room(reading.max_length)]
        pieces = tokenizer(context)
        begins = windows.begins(pieces)  # [all pieces]
        ends_here = tf.roll(begins, -1, 0)  # the first of all begins a word
        cuts = _cut(asked.row_lengths(), pieces.ids.row_lengths(), reading)
        number = tf.size(cuts.rows)
        # Between two windows a span i ... j belongs to the later one if that shows more before i than the earlier one after
        # j: i - start > end - 1 - j. So every span that stands whole in a window is looked at once, and nowhere cut.
        is_first = windows.changes(cuts.rows)  # window of its row
        low = tf.where(is_first, tf.int64.min, cuts.starts + tf.roll(cuts.ends, 1, 0))
        high = tf.where(tf.roll(is_first, -1, 0), tf.int64.max, tf.roll(low, -1, 0))

        def judge(i, scores, firsts, lasts):
            rows, starts, ends, lows, highs = (field[i : i + windows.WINDOWS] for field in (*cuts[:3], low, high))
            window = tf.ragged.range(starts, ends)  # [W, (P)] places among all pieces
            of_row = tf.gather(asked, rows)
            second = tf.gather(pieces.ids.flat_values, window).with_row_splits_dtype(of_row.row_splits.dtype)
            inputs = frame.pack(of_row, tokenizer, reading.max_length, second=second)
            logits = model(inputs, training=False)  # [W, S, 2]
            place = window.to_tensor(-1)  # [W, P]
            inside = place >= 0
            column = tf.cast(layout.place_of_second(of_row.row_lengths()), tf.int32)[:, None] + tf.range(
                tf.shape(place)[1]
            )
            column = tf.minimum(column, tf.shape(logits)[1] - 1)
            of_pieces = tf.gather(logits, column, batch_dims=1)  # [W, P, 2]
            safe = lambda flags: tf.gather(tf.concat([flags, [False]], 0), tf.maximum(place, 0))
            first = tf.where(inside & safe(begins), of_pieces[..., 0], LOWEST)
            last = tf.where(inside & safe(ends_here), of_pieces[..., 1], LOWEST)
            # All spans of up to `longest` pieces, each in the window that shows most around it: [W, P, longest]
            reach = tf.range(tf.shape(place)[1])[:, None] + tf.range(longest)
            last = tf.gather(tf.pad(last, [[0, 0], [0, longest]], constant_values=LOWEST), reach, axis=1)
            ends_of_span = 2 * place[..., None] + tf.range(longest, dtype=place.dtype)  # sum of first and last place
            belongs = (ends_of_span >= lows[:, None, None]) & (ends_of_span < highs[:, None, None])
            spans = tf.where(belongs, first[..., None] + last, LOWEST)
            best, which = _best(tf.reshape(spans, [tf.size(rows), tf.size(reach)]))
            # Logits are known up to a number that each window has of its own: [CLS], no answer here, is what they share.
            best = tf.where(best > LOWEST / 2, best - tf.reduce_sum(logits[:, 0], axis=-1, keepdims=True), LOWEST)
            own = tf.range(i, i + tf.size(rows))[:, None]
            update = tf.tensor_scatter_nd_update
            begin = starts[:, None] + tf.cast(which // longest, starts.dtype)
            return (
                i + windows.WINDOWS,
                update(scores, own, best),
                update(firsts, own, begin),
                update(lasts, own, begin + tf.cast(which % longest, starts.dtype)),
            )

        none = tf.zeros([number, BEST], tf.int64)
        loop = (tf.constant(0), tf.zeros([number, BEST]), none, none)
        _, *found = tf.while_loop(lambda i, *_: i < number, judge, loop, parallel_iterations=1)

        def of_rows(values, empty):
            """[W, K] -> [B, windows of a row * K]"""
            values = tf.RaggedTensor.from_value_rowids(values, cuts.rows, tf.size(context, tf.int64), validate=False)
            values = values.to_tensor(empty)
            return tf.reshape(values, [tf.shape(values)[0], tf.shape(values)[1] * BEST])

        scores, which = _best(of_rows(found[0], LOWEST))  # [B, K]
        given = scores > LOWEST / 2
        pad = lambda values: tf.pad(of_rows(values, 0), [[0, 0], [0, BEST]])
        at = lambda values, places: tf.gather(
            tf.concat([values.flat_values, [0]], 0), tf.where(given, tf.gather(pad(places), which, batch_dims=1), 0)
        )
        starts = tf.where(given, at(pieces.starts, found[1]), 0)
        ends = tf.where(given, at(pieces.ends, found[2]), 0)
        return {
            "answers": tf.strings.substr(context[:, None], starts, ends - starts, unit="UTF8_CHAR"),
            "starts": tf.where(given, starts, -1),
            "ends": tf.where(given, ends, -1),
            "scores": tf.where(given, tf.nn.softmax(scores), -1.0),
            "null_score": tf.where(given[:, 0], tf.sigmoid(-scores[:, 0]), 1.0),
        }

    strings = [tf.TensorSpec([None], tf.string, name=field) for field in reading.fields]
    return tf.function(read, input_signature=strings, autograph=False)


def _best(scores):
    """Returns the best of each row [N, any number], and where they are: both [N, K]."""
    return tf.math.top_k(tf.pad(scores, [[0, 0], [0, BEST]], constant_values=LOWEST), BEST)


def functions(model, reading):
    """Returns {"serving_default", "nbest"}, what is exported.

    Both take question, context, strings [B]; `context[start:end]` is the answer, in code points.

    serving_default: -> answer string [B], start, end int32 [B], score, null_score float [B]. `score` is the answer's share
        among the best 20, by their softmax; `null_score` is the probability that there is no answer rather than the best
        one. Where it is above the run's threshold, or nothing in the context may be an answer, the answer is "", 0, 0, and
        its score the null score.
    nbest: -> answers string [B, K], starts, ends int32 [B, K], scores float [B, K], the best first, whatever the null score;
        padded with "" and -1.
    """
    read = reader(model, reading)

    def nbest(question, context):
        found = read(question, context)
        found.pop("null_score")
        return found

    def answer(question, context):
        found = read(question, context)
        null = found["null_score"]
        none = found["starts"][:, 0] < 0
        if reading.null_threshold is not None:
            none |= null > reading.null_threshold
        return {
            "answer": tf.where(none, "", found["answers"][:, 0]),
            "start": tf.where(none, 0, found["starts"][:, 0]),
            "end": tf.where(none, 0, found["ends"][:, 0]),
            "score": tf.where(none, null, found["scores"][:, 0]),
            "null_score": null,
        }

    signature = read.input_signature
    return {
        name: tf.function(function, input_signature=signature, autograph=False)
        for name, function in (("serving_default", answer), ("nbest", nbest))
    }


class Scorer:
    """Scores a model as it is when called, by the function that is exported, as the official scorers do, in percent.

    Returns {exact, f1, examples}: of CMRC 2018 where most gold answers are Chinese, else of SQuAD 1.1; of SQuAD 2.0 if some
    questions have no answer, then also HasAns_ and NoAns_ of both, the best thresholds for the null score and what they give
    (best_), and what answering always gives (AlwaysAns_). `tune`: score with the threshold that is best here, as the run will
    keep it, not with that of `reading`. `null_threshold`, which the run keeps, lies between the best one
    for f1, which is the null score of a question, and the next one: so the last bit of a score decides nothing.
    `metric` is the one by which epochs are compared.
    """

    def __init__(self, model, reading, rows, task, batch_size, *, tune=False):
        self.rows, self.threshold = rows, reading.null_threshold
        self.read = reader(model, reading)
        self.golds = [[answer["text"] for answer in row["answers"]] for row in rows]
        self.as_in = squad.scored_as(self.golds)
        self.metric = task.metric if all(self.golds) else "best_f1"
        self.tune = tune and not all(self.golds)
        self.plan = batches.plan_evaluation(np.array([len(row["context"]) for row in rows]), batch_size)

    def __call__(self, tick=lambda: None):
        """`tick` is called between batches."""
        self.best, self.null = [""] * len(self.rows), [1.0] * len(self.rows)
        for batch in self.plan:
            found = self.read(*[tf.constant([self.rows[i][field] for i in batch]) for field in ("question", "context")])
            for i, text, null in zip(batch, found["answers"][:, 0].numpy(), found["null_score"].numpy(), strict=True):
                self.best[i], self.null[i] = text.decode("utf-8"), float(null)
            tick()
        always = {} if all(self.golds) else squad.score(self.golds, self.best, self.null)
        if always:
            best = always["best_f1_thresh"]
            tuned = (best + min((null for null in self.null if null > best), default=1.0)) / 2
        threshold = tuned if self.tune else self.threshold
        withheld = [threshold is not None and null > threshold for null in self.null]
        self.given = ["" if no else text for no, text in zip(withheld, self.best, strict=True)]
        score = squad.score(self.golds, self.given)
        if always:
            score |= {name: value for name, value in always.items() if name.startswith("best_")}
            score |= {f"AlwaysAns_{name}": always[name] for name in ("exact", "f1")}
            score["null_threshold"] = tuned
        # Thresholds are not rounded: the null scores of a sure model are near 0.
        rounded = {name: value if "thresh" in name else round(value, 6) for name, value in score.items()}
        return rounded | {"examples": len(self.rows)}

    def predictions(self, path, column=None):
        """Returns {ending: content} of files of what was predicted, in the official form: {id: answer}; if some questions have
        no answer also {id: null score}, beside it."""
        ids = [row["id"] for row in self.rows]
        files = {"": dict(zip(ids, self.given, strict=True))}
        if not all(self.golds):
            files[".null_odds.json"] = dict(zip(ids, self.null, strict=True))
        return {name: json.dumps(content, ensure_ascii=False) + "\n" for name, content in files.items()}

    def variants(self):
        """Returns {name: scores} of other forms of the rows; there are none."""
        return {}

    def __str__(self):
        threshold = "" if self.threshold is None else f"; no answer where its null score is above {self.threshold:g}"
        return f"{len(self.rows):,} questions, scored as {self.as_in} is{threshold}"
