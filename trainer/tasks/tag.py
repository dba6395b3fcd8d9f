"""Words with their tags: of a raw text, whose words are found as well, or of words that are given.

The label of a token says which words begin in it (`trainer.tasks.segmentation`) and is read at the token's first piece; of a given
word, at the word's first piece, where only the plain tags are in question. What is too long for the model is read in
overlapping windows (`windows.windows`), so nothing is cut.

Glossary of shapes: B batch, W words of a row, P pieces, U units (tokens of a text, or given words) of all rows, C labels.
"""

from collections import Counter
from copy import copy
from dataclasses import replace
from itertools import pairwise
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

from trainer import metrics
from trainer.data import conll
from trainer.errors import Mistake
from trainer.progress import say
from trainer.tasks import segmentation
from trainer.text import frame, layout, windows
from trainer.text.word_pieces import UNKNOWN
from trainer.training import batches

ENCODER = {}
LAYERS = ("classifier",)
ARCHITECTURE = "BertForTokenClassification"
TARGETS = tf.TensorSpec([None, None], tf.int32)


def build(encoder, classes, *, dropout, seed):
    dropout_seed = 1000 * seed + 999  # the encoder counts its own from 1000 * seed
    x = encoder.output["hidden_states"][-1]  # [B, S, D]
    x = keras.layers.Dropout(dropout, seed=dropout_seed, name="classifier_dropout")(x)
    initializer = keras.initializers.TruncatedNormal(stddev=0.02, seed=seed)
    logits = keras.layers.Dense(classes, kernel_initializer=initializer, name="classifier")(x)  # [B, S, C]
    return keras.Model(encoder.input, logits, name="tag")


def loss(targets, logits):
    asked = targets >= 0  # [B, S]
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(
        tf.boolean_mask(targets, asked), tf.boolean_mask(logits, asked)
    )
    return tf.reduce_sum(losses), tf.cast(tf.maximum(tf.size(losses), 1), tf.float32)  # 1: a batch that asks nothing


def examples(rows, task, reading, path=None):
    """A sentence is learned from its text and, where that gives other pieces, from its words; Chinese ones with ASCII
    punctuation also with the full-width marks that people type. These are the forms of a row, see `batches.Examples`.
    Labels of the data: the plain tags, then the other labels of tokens that stand twice or more in the rows."""
    tokenizer, labels = reading.tokenizer, reading.labels
    variants = [[row, *filter(None, [conll.full_width(row)])] for row in rows]
    flat = [row for row_and_wide in variants for row in row_and_wide]
    tokens = zip(flat, _tokens([row["text"] for row in flat], tokenizer), strict=True)
    coded = ((ids, firsts, segmentation.labels_of_tokens(a, b, row)) for row, (ids, firsts, a, b) in tokens)
    texts = [[next(coded) for _ in row_and_wide] for row_and_wide in variants]
    if not labels:
        found = [label for (_, _, as_written), *_ in texts for label in as_written]
        labels = segmentation.inventory(found, {tag for row in rows for tag in row["tags"]}, path)
    number = {label: i for i, label in enumerate(labels)}
    words = _words([row["words"] for row in flat], tokenizer)
    forms = []  # of each row: [pieces, targets]
    for row_and_wide, coded in zip(variants, texts, strict=True):
        of_row = []
        for row, (ids, firsts, found) in zip(row_and_wide, coded, strict=True):
            targets = np.full(len(ids), -1, np.int32)
            targets[firsts] = [number[segmentation.known(label, number)] for label in found]
            of_row.append((ids, targets))
            ids_of_words, firsts = next(words)
            if not np.array_equal(ids_of_words, ids):
                targets = np.full(len(ids_of_words), -1, np.int32)
                targets[firsts] = [number[tag] for tag in row["tags"]]
                of_row.append((ids_of_words, targets))
        forms.append(of_row)
    return replace(reading, labels=labels), _in_windows(forms, tokenizer, reading.max_length)


def _cut(lengths, max_length):
    """Returns the windows of rows of pieces: each shares an eighth with each neighbour."""
    room = layout.room(max_length)
    return windows.windows(lengths, room, room - 2 * (room // 8))


def _in_windows(forms, tokenizer, max_length):
    """Returns `batches.Examples` of the windows of all forms; forms of a row that need more or fewer windows are left out."""
    flat = [form for of_row in forms for form in of_row]
    cuts = _cut(tf.constant([len(ids) for ids, _ in flat], tf.int64), max_length)
    rows, starts, ends, kept_from, kept_to = (field.numpy() for field in cuts)
    pieces, targets = (np.concatenate(column) for column in zip(*flat, strict=True))
    place = np.arange(len(pieces))
    lengths = ends - starts
    parts = [slice(start, end) for start, end in zip(starts, ends, strict=True)]
    keep = [(place[p] >= a) & (place[p] < b) for p, a, b in zip(parts, kept_from, kept_to, strict=True)]
    ragged = lambda values: tf.RaggedTensor.from_row_lengths(np.concatenate(values), lengths)
    windows_of, first, chosen = np.split(np.arange(len(rows)), np.searchsorted(rows, np.arange(1, len(flat)))), 0, []
    for of_row in forms:
        own = windows_of[first : first + len(of_row)]
        chosen.append([one for one in own if len(one) == len(own[0])])
        first += len(of_row)
    return batches.Examples(
        ragged([pieces[p] for p in parts]),
        ragged([np.where(k, targets[p], -1) for p, k in zip(parts, keep, strict=True)]),
        tokenizer,
        max_length,
        forms=chosen,
    )


class Units(NamedTuple):
    """What is judged, tokens or given words, as pieces."""

    ids: tf.RaggedTensor  # int32 [B, (P)]
    first: tf.Tensor  # bool, one a piece of all rows: a unit begins


def _units_of(pieces):
    return Units(pieces.ids, windows.begins(pieces))


def _units_of_words(tokenizer, words, count):
    """Maps all words, and how many each row has, to `Units`: a word of which nothing is left is unknown."""
    ids = tokenizer(words).ids.with_row_splits_dtype(tf.int64)  # [all words, (pieces)]
    lost = tf.cast(ids.row_lengths() == 0, tf.int64)
    unknown = tf.fill([tf.reduce_sum(lost)], tokenizer.vocabulary.index(UNKNOWN))
    ids = tf.concat([ids, tf.RaggedTensor.from_row_lengths(unknown, lost)], axis=1)
    first = tf.scatter_nd(
        ids.row_starts()[:, None], tf.ones_like(ids.row_starts()), tf.shape(ids.flat_values, tf.int64)
    )
    return Units(tf.RaggedTensor.from_row_lengths(ids, count).merge_dims(1, 2), first > 0)


def _tokens(texts, tokenizer):
    """Yields, for each text: its pieces, which of them begin a token, where the tokens start and end."""
    for ids, begins, starts, ends in windows.pieces_of(texts, tokenizer):
        yield ids, begins, starts[begins].tolist(), ends[begins].tolist()


def _words(rows, tokenizer, chunk=1024):
    """Yields, for each list of words: its pieces, which of them begin a word."""
    signature = [tf.TensorSpec([None], tf.string), tf.TensorSpec([None], tf.int64)]
    step = tf.function(
        lambda words, count: _units_of_words(tokenizer, words, count), input_signature=signature, autograph=False
    )
    for i in range(0, len(rows), chunk):
        part = rows[i : i + chunk]
        units = step(
            tf.constant([word for row in part for word in row]), tf.constant([len(row) for row in part], tf.int64)
        )
        ids, first, splits = units.ids.flat_values.numpy(), units.first.numpy(), units.ids.row_splits.numpy()
        for start, end in pairwise(splits):
            yield ids[start:end], first[start:end]


def functions(model, reading):
    """Returns {"serving_default", "words"}, what is exported.

    serving_default: text [B] -> words, tags string [B, W], scores float [B, W], starts, ends int32 [B, W], where
        text[start:end] is the word, in code points; padded with "" and -1.
    words: words [B, W], padded with "" -> tags, scores [B, W], padded alike.
    """
    labels, tokenizer, max_length = reading.labels, reading.tokenizer, reading.max_length
    parts = [segmentation.parts_of(label) for label in labels]
    is_plain = tf.constant([i < labels.index(segmentation.INSIDE) for i in range(len(labels))])  # [C]
    begins = tf.constant([bool(part) and part[0][0] == 0 for part in parts])
    deepest = tf.constant([max((-place for place, _ in part), default=0) for part in parts])
    places = tf.ragged.constant([[place for place, _ in part] for part in parts], tf.int32, row_splits_dtype=tf.int64)
    tags = tf.ragged.constant([[tag for _, tag in part] for part in parts], tf.string, row_splits_dtype=tf.int64)

    def judge(units, allowed):
        """Returns the label [U] of every unit, and its score; `allowed`: index of units -> which labels they may have."""
        unit = tf.cumsum(tf.cast(units.first, tf.int32)) - 1  # of each piece
        cuts = _cut(units.ids.row_lengths(), max_length)
        number = tf.reduce_sum(tf.cast(units.first, tf.int32))

        def read(i, found, scores):
            starts, ends, kept_from, kept_to = (field[i : i + windows.WINDOWS] for field in cuts[1:])
            window = tf.gather(units.ids.flat_values, tf.ragged.range(starts, ends))
            logits = model(frame.pack(window, tokenizer, max_length), training=False)  # [windows, S, C]
            kept = tf.ragged.range(kept_from, kept_to)
            is_first = tf.gather(units.first, kept.flat_values)
            piece = tf.boolean_mask(kept.flat_values, is_first)
            row = tf.boolean_mask(kept.value_rowids(), is_first)
            own = tf.gather(unit, piece)
            logits = tf.gather_nd(
                logits, tf.stack([row, piece - tf.gather(starts, row) + layout.FIRST], -1)
            )  # [units of these, C]
            logits = tf.where(allowed(own), logits, logits.dtype.min)
            best = tf.argmax(logits, axis=-1, output_type=tf.int32)
            score = tf.reduce_max(tf.nn.softmax(logits), axis=-1)
            found = tf.tensor_scatter_nd_update(found, own[:, None], best)
            return i + windows.WINDOWS, found, tf.tensor_scatter_nd_update(scores, own[:, None], score)

        first = (tf.constant(0), tf.zeros([number], tf.int32), tf.zeros([number]))
        _, found, scores = tf.while_loop(lambda i, *_: i < tf.size(cuts.rows), read, first, parallel_iterations=1)
        return found, scores

    def of_text(text):
        text = tf.ensure_shape(text, [None])  # a session does not look at shapes
        text = tf.strings.unicode_transcode(text, "UTF-8", "UTF-8", errors="replace")
        pieces = tokenizer(text)
        units = _units_of(pieces)
        of_units = lambda ragged: tf.boolean_mask(ragged.flat_values, units.first)  # [U]
        starts, ends = of_units(pieces.starts), of_units(pieces.ends)
        rows = tf.boolean_mask(pieces.ids.value_rowids(), units.first)
        before = tf.concat([ends[:1], ends[:-1]], 0)
        joined = ~windows.changes(rows) & (starts == before)  # nothing between it and the token before

        def allowed(unit):
            is_joined, length = tf.gather(joined, unit), tf.gather(ends - starts, unit)
            return (begins | is_joined[:, None]) & (deepest < length[:, None])

        found, scores = judge(units, allowed)
        of_words = tf.gather(places, found)  # [U, (words that begin)]
        unit, place = tf.cast(of_words.value_rowids(), tf.int64), of_words.flat_values
        row = tf.gather(rows, unit)
        start = tf.where(place == 0, tf.gather(starts, unit), tf.gather(ends, unit) + place)
        # A word ends where the next one begins; where that is at a token's start, with the token before.
        last = tf.searchsorted(rows, row, side="right", out_type=tf.int64) - 1  # token of the row
        shifted = lambda x: tf.concat([x[1:], x[:1]], 0)
        follows = shifted(~windows.changes(row))  # another word, in the same row
        inside = follows & (shifted(place) != 0)
        end = tf.where(inside, shifted(start), tf.gather(ends, tf.where(follows & ~inside, shifted(unit) - 1, last)))
        characters = tf.strings.unicode_split(text, "UTF-8")
        first = tf.gather(characters.row_starts(), row)
        letters = tf.ragged.range(first + tf.cast(start, tf.int64), first + tf.cast(end, tf.int64))
        word = tf.strings.reduce_join(tf.gather(characters.flat_values, letters), axis=-1)
        number = tf.size(text, rows.dtype)
        padded = lambda x, empty: tf.RaggedTensor.from_value_rowids(x, row, number, validate=False).to_tensor(empty)
        return {
            "words": padded(word, ""),
            "tags": padded(tf.gather(tags, found).flat_values, ""),
            "scores": padded(tf.gather(scores, unit), -1.0),
            "starts": padded(start, -1),
            "ends": padded(end, -1),
        }

    def of_words(words):
        words = tf.ensure_shape(words, [None, None])
        given = words != ""  # [B, W]
        count = tf.reduce_sum(tf.cast(given, tf.int64), axis=1)
        units = _units_of_words(tokenizer, tf.boolean_mask(words, given), count)
        found, scores = judge(units, lambda unit: tf.broadcast_to(is_plain, [tf.size(unit), tf.size(is_plain)]))
        place, shape = tf.where(given), tf.shape(words, tf.int64)
        return {
            "tags": tf.tensor_scatter_nd_update(tf.fill(shape, ""), place, tf.gather(tf.constant(labels), found)),
            "scores": tf.tensor_scatter_nd_update(tf.fill(shape, -1.0), place, scores),
        }

    strings = lambda name, shape: [tf.TensorSpec(shape, tf.string, name=name)]
    return {
        "serving_default": tf.function(of_text, input_signature=strings("text", [None]), autograph=False),
        "words": tf.function(of_words, input_signature=strings("words", [None, None]), autograph=False),
    }


def _tell_unknown(rows, labels):
    """Says which gold tags the run does not know: words that have them are never right.

    Raises:
        Mistake: It knows none.
    """
    known = {*labels[: labels.index(segmentation.INSIDE)]}
    counts = Counter(tag for row in rows for tag in row["tags"])
    unknown = {tag: count for tag, count in counts.items() if tag not in known}
    names = ", ".join([*unknown][:20]) + (f", and {len(unknown) - 20} more" if len(unknown) > 20 else "")
    if len(unknown) == len(counts):
        raise Mistake(
            f"expected tags that this run knows ({', '.join(sorted(known))}), found {names}; see --column for others of a treebank"
        )
    if unknown:
        say(
            f"note      {sum(unknown.values()):,} of {counts.total():,} words have tags that this run does not know: {names}"
        )


class Scorer:
    """Scores a model as it is when called, by the functions that are exported: every word counts, in rows of any length.

    Returns {accuracy, words_..., tags_..., examples, words}: accuracy of the tags on gold words; precision, recall and F1 of
    the words found in the raw text, and of these with their tags, see `metrics.aligned`; `spans_f1` if the tags are BIO.
    `metric` is the one by which epochs are compared.
    """

    def __init__(self, model, reading, rows, task, batch_size, *, tune=False):
        _tell_unknown(rows, reading.labels)
        self.functions = functions(model, reading)
        self.metric = "spans_f1" if metrics.are_bio([tag for row in rows for tag in row["tags"]]) else task.metric
        self.rows = rows
        self.plan = batches.plan_evaluation(np.array([len(row["text"]) for row in rows]), batch_size)

    def __call__(self, tick=lambda: None):
        """`tick` is called between batches."""
        self.tags, self.found = [None] * len(self.rows), [None] * len(self.rows)
        for batch in self.plan:
            words = tf.ragged.constant([self.rows[i]["words"] for i in batch]).to_tensor("")
            tags = self.functions["words"](words)["tags"].numpy()
            tick()
            found = self.functions["serving_default"](tf.constant([self.rows[i]["text"] for i in batch]))
            starts, ends, names = (found[name].numpy() for name in ("starts", "ends", "tags"))
            tick()
            for i, (row, *columns) in zip(batch, zip(tags, starts, ends, names, strict=True), strict=True):
                self.tags[i] = [tag.decode("utf-8") for tag in row[: len(self.rows[i]["words"])]]
                count = int(np.sum(columns[0] >= 0))
                self.found[i] = [(int(a), int(b), tag.decode("utf-8")) for a, b, tag in zip(*columns, strict=True)][
                    :count
                ]
        golds = [row["tags"] for row in self.rows]
        flat = lambda lists: [tag for tags in lists for tag in tags]
        score = {"accuracy": metrics.accuracy(flat(golds), flat(self.tags))}
        if self.metric == "spans_f1":
            score["spans_f1"] = metrics.spans_f1(golds, self.tags)
        score |= metrics.aligned(
            self.rows, [conll.covering(r["text"], f) for r, f in zip(self.rows, self.found, strict=True)]
        )
        return {name: round(value, 6) for name, value in score.items()} | {
            "examples": len(self.rows),
            "words": len(flat(golds)),
        }

    def predictions(self, path, column=None):
        """Returns {ending: content} of files of what was predicted: CoNLL-U of the raw texts (path in .conllu), as the scorers of
        CoNLL 2018 read it; else columns word, gold tag, predicted tag of the given words, as conlleval reads them."""
        if str(path).endswith(".conllu"):
            pairs = zip(self.rows, self.found, strict=True)
            return {"": "".join(conll.to_universal(row["text"], found, column) for row, found in pairs)}
        lines = [
            [f"{word} {gold} {tag}\n" for word, gold, tag in zip(row["words"], row["tags"], tags, strict=True)]
            for row, tags in zip(self.rows, self.tags, strict=True)
        ]
        return {"": "\n".join("".join(sentence) for sentence in lines)}

    def variants(self):
        """Returns {name: scores} of other forms of the rows: Chinese as it is typed, if it was written otherwise."""
        wide = [conll.full_width(row) for row in self.rows]
        if not any(wide):
            return {}
        other = copy(self)  # the functions are traced
        other.rows = [new or row for new, row in zip(wide, self.rows, strict=True)]
        return {"full_width": other()}

    def __str__(self):
        return f"{len(self.rows):,} sentences, {sum(len(row['words']) for row in self.rows):,} words"
