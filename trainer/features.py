"""Word pieces to what a model reads, and the plan of the batches.

Glossary of shapes: B batch, P pieces of a text, S sequence length of a batch, N examples.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from trainer.text import PADDING, SEPARATOR, START, Tokenizer

WINDOWS = 32  # texts, or parts of long ones, that an exported model reads at once: more take more time, not more memory
POOL = 16  # batches that are sorted by length together: little padding, and still nearly random batches


@dataclass(frozen=True)
class Reading:
    """How a run reads its texts and names its answers: all that its functions need beside the model.

    The last three are of extractive question answering, else None.
    """

    tokenizer: Tokenizer
    max_length: int  # pieces that the model reads at once, [CLS] and [SEP] included
    fields: tuple[str, ...]  # of the rows
    labels: list[str] | None  # in the order of their numbers; None: those of the training data
    doc_stride: int | None = None  # pieces from the start of one window of a context to that of the next
    max_answer_length: int | None = None  # pieces
    null_threshold: float | None = None  # no answer where the null score is above; None: there is always one

    def __str__(self):
        if self.doc_stride:
            none = (
                "" if self.null_threshold is None else f"; none where the null score is above {self.null_threshold:g}"
            )
            return (
                f"windows of {self.max_length} pieces, {self.doc_stride} from one to the next; answers of "
                f"{self.max_answer_length} pieces at most{none}"
            )
        more = f", and {len(self.labels) - 40} more" if len(self.labels) > 40 else ""
        return ", ".join(f"{i} {label}" for i, label in enumerate(self.labels[:40])) + more


# What a model is given; for the signature of a tf.function, so that no length is traced anew.
INPUTS = {
    "token_ids": tf.TensorSpec([None, None], tf.int32),
    "segment_ids": tf.TensorSpec([None, None], tf.int32),
    "mask": tf.TensorSpec([None, None], tf.bool),
}


def pack(ids, tokenizer: Tokenizer, max_length: int, *, second=None):
    """Frames and pads one text a row, [CLS] pieces [SEP], or two, [CLS] pieces [SEP] pieces [SEP].

    What is too long loses its end; of two texts always the longer one, as in Google's `_truncate_seq_pair`.

    Args:
        ids: Ragged int32 [B, (P)].
        tokenizer: Whose vocabulary names the special tokens.
        max_length: Longest row, special tokens included.
        second: Ragged int32 [B, (P)], of the second texts.

    Returns:
        The inputs of `models.bert.bert`: `token_ids`, `segment_ids` int32 [B, S] and `mask` bool [B, S].
    """
    start, separator, padding = (tokenizer.vocabulary.index(token) for token in (START, SEPARATOR, PADDING))
    rows = tf.shape(ids.row_lengths())[0]
    column = lambda token: tf.fill([rows, 1], token)
    if second is None:
        parts = [column(start), ids[:, : max_length - 2], column(separator)]
    else:
        one, two = pair_lengths(ids.row_lengths(), second.row_lengths(), max_length - 3)
        parts = [column(start), _first(ids, one), column(separator), _first(second, two), column(separator)]
    ids = tf.concat(parts, axis=1)
    lengths = ids.row_lengths()
    longest = tf.maximum(tf.reduce_max(lengths), 2)  # an empty batch, too, has a first token to slice
    token_ids = ids.to_tensor(padding, shape=tf.stack([tf.constant(-1, longest.dtype), longest]))  # [B, S]
    mask = tf.sequence_mask(lengths, longest)
    if second is None:
        segment_ids = tf.zeros_like(token_ids)
    else:
        segment_ids = tf.cast(mask & ~tf.sequence_mask(one + 2, longest), tf.int32)  # 1 behind the first [SEP]
    return {"token_ids": token_ids, "segment_ids": segment_ids, "mask": mask}


def pair_lengths(one, two, room):
    """Returns how many pieces of two texts stay, if both together may have `room`: the longer loses its last, one by one."""
    kept = tf.minimum(one, tf.maximum(room - two, (room + 1) // 2))
    return kept, tf.minimum(two, room - kept)


def _first(ids, lengths):
    starts = ids.row_starts()
    return tf.gather(ids.flat_values, tf.ragged.range(starts, starts + lengths, row_splits_dtype=lengths.dtype))


class Windows(NamedTuple):
    """Overlapping parts of long rows: each piece is kept by one of them, which shows what stands around it.

    All fields are int64, one entry a window, in the order of the rows; places are counted over the pieces of all rows.
    """

    rows: tf.Tensor
    starts: tf.Tensor
    ends: tf.Tensor
    kept_from: tf.Tensor
    kept_to: tf.Tensor


def windows(lengths, room, step):
    """Cuts rows of pieces into windows that a model can read; one that fits is one window.

    Of what two windows share, each keeps the half that is nearer to its middle: within a text, no piece is judged with less
    than (room - step) // 2 pieces around it on either side.

    Args:
        lengths: [B], pieces of each row.
        room: Longest window; a number, or one a row [B].
        step: From one window's start to the next one's, 1 to `room`; likewise.
    """
    lengths = tf.cast(lengths, tf.int64)
    room, step = (tf.zeros_like(lengths) + tf.cast(value, tf.int64) for value in (room, step))  # [B]
    margin = (room - step) // 2
    counts = 1 + tf.maximum(lengths - room + step - 1, 0) // step  # windows of each row
    rows = tf.repeat(tf.range(tf.size(lengths, tf.int64)), counts)
    number = tf.range(tf.size(rows, tf.int64)) - tf.gather(tf.cumsum(counts, exclusive=True), rows)
    before = tf.cumsum(lengths, exclusive=True)
    before, length, room, step, margin = (tf.gather(x, rows) for x in (before, lengths, room, step, margin))
    starts = tf.minimum(number * step, tf.maximum(length - room, 0))  # the last one reaches back
    last = number + 1 == tf.gather(counts, rows)
    return Windows(
        rows,
        before + starts,
        before + tf.minimum(starts + room, length),
        before + tf.where(number == 0, number, number * step + margin),
        before + tf.where(last, length, (number + 1) * step + margin),
    )


def changes(values):
    """Says of each entry [N] whether it is the first, or another than the one before."""
    return tf.concat([tf.ones_like(values[:1], tf.bool), values[1:] != values[:-1]], 0)


def begins(pieces):
    """Says of each of all `Pieces` of a batch, [all pieces], whether a word begins with it."""
    return changes(pieces.words.flat_values) | changes(pieces.words.value_rowids())


def pieces_of(texts, tokenizer, chunk=256):
    """Yields, for each text: ids of its pieces, which of them begin a word, where the words of the pieces start and end."""
    step = tf.function(tokenizer.__call__, input_signature=[tf.TensorSpec([None], tf.string)], autograph=False)
    for i in range(0, len(texts), chunk):
        pieces = step(tf.constant(texts[i : i + chunk]))
        ids, starts, ends = (field.flat_values for field in (pieces.ids, pieces.starts, pieces.ends))
        columns = [column.numpy() for column in (ids, begins(pieces), starts, ends)]
        for start, end in pairwise(pieces.ids.row_splits.numpy()):
            yield tuple(column[start:end] for column in columns)


def plan_training(lengths, batch_size, *, seed, epoch):
    """Returns the batches of one epoch as index arrays: a pure function of its arguments.

    Rows are shuffled, sorted by length within pools of `POOL` batches (length buckets whose borders follow the data), cut
    into batches, and the batches shuffled.
    """
    random = np.random.default_rng([seed, epoch])
    order = random.permutation(len(lengths))
    pools = [order[i : i + POOL * batch_size] for i in range(0, len(order), POOL * batch_size)]
    batches = []
    for pool in pools:
        pool = pool[np.argsort(lengths[pool], kind="stable")]
        batches += [pool[i : i + batch_size] for i in range(0, len(pool), batch_size)]
    return [batches[i] for i in random.permutation(len(batches))]


def plan_evaluation(lengths, batch_size):
    """Returns every row once, longest first: what does not fit in memory fails at once."""
    order = np.argsort(-lengths, kind="stable")
    return [order[i : i + batch_size] for i in range(0, len(order), batch_size)]


def tokenize(texts, tokenizer, chunk=1024):
    """Returns ragged ids int32 [len(texts), (P)], by the function that the exported model holds."""
    step = tf.function(lambda strings: tokenizer(strings).ids, input_signature=[tf.TensorSpec([None], tf.string)])
    return tf.concat([step(tf.constant(texts[i : i + chunk])) for i in range(0, len(texts), chunk)], axis=0)


class Examples:
    """What a model is trained on: rows tokenised once, by the exported model's own functions, and held in memory.

    Args:
        ids: Ragged int32 [N, (P)].
        targets: int32 [N, ...], or ragged [N, (P)], one a piece: -1 where none is asked for.
        tokenizer, max_length: See `pack`.
        second: Ragged int32 [N, (P)], of second texts.
        forms: Where a row has several forms, a list of rows: each a list of forms, each a list of examples. Every epoch takes
            each row in one of its forms, in turn; all forms of a row have the same number of examples.
        about: What the examples were made of, for `str`.
    """

    def __init__(self, ids, targets, tokenizer, max_length, *, second=None, forms=None, about=""):
        self.about = about
        self.ids, self.targets, self.second, self.forms = ids, targets, second, forms
        self.tokenizer, self.max_length = tokenizer, max_length
        pieces = ids.row_lengths().numpy() + 2  # [CLS] and [SEP]
        if second is not None:
            pieces += second.row_lengths().numpy() + 1
        self.lengths = np.minimum(pieces, max_length)
        self.truncated = int(np.sum(pieces > max_length))
        self.number = sum(len(row[0]) for row in forms) if forms else len(pieces)  # an epoch

    def plan_training(self, batch_size, *, seed, epoch):
        """Returns the batches of one epoch as index arrays: a pure function of its arguments and of the examples."""
        if not self.forms:
            return plan_training(self.lengths, batch_size, seed=seed, epoch=epoch)
        first = np.random.default_rng(seed).integers(
            2**20, size=len(self.forms)
        )  # not the same form of all rows at once
        chosen = np.array([i for row, k in zip(self.forms, first + epoch, strict=True) for i in row[k % len(row)]])
        return [chosen[batch] for batch in plan_training(self.lengths[chosen], batch_size, seed=seed, epoch=epoch)]

    def plan_evaluation(self, batch_size):
        return plan_evaluation(self.lengths, batch_size)

    def batches(self, plan):
        """Returns a `tf.data.Dataset` of (inputs of the model, targets, indices of the examples), one a planned batch."""
        indices = tf.RaggedTensor.from_row_lengths(np.concatenate(plan), [len(batch) for batch in plan])

        def batch(rows):
            second = None if self.second is None else tf.gather(self.second, rows)
            inputs = pack(tf.gather(self.ids, rows), self.tokenizer, self.max_length, second=second)
            targets = tf.gather(self.targets, rows)
            if isinstance(targets, tf.RaggedTensor):
                shape = tf.shape(inputs["token_ids"], targets.row_splits.dtype) - [0, 1]
                targets = tf.pad(targets.to_tensor(-1, shape=shape), [[0, 0], [1, 0]], constant_values=-1)  # [B, S]
            return inputs, targets, rows

        options = tf.data.Options()
        # Nothing here to tune; and its thread sleeps for up to 60 s, which 5 of 22 epochs waited for at their end.
        options.autotune.enabled = False
        return (
            tf.data.Dataset.from_tensor_slices(indices)
            .map(batch, num_parallel_calls=2)
            .prefetch(2)
            .with_options(options)
        )

    def steps(self, plan, batch_size):
        """Yields, for each batch of the plan, ([(inputs, targets)] of `batch_size` at most, number of examples)."""
        parts = [[rows[i : i + batch_size] for i in range(0, len(rows), batch_size)] for rows in plan]
        batches = iter(self.batches([part for step in parts for part in step]) if plan else ())
        for step, rows in zip(parts, plan, strict=True):
            yield [next(batches)[:2] for _ in step], len(rows)

    def __str__(self):
        return (
            f"{self.about}{self.number:,} examples, {self.lengths.mean():.1f} pieces on average, {self.lengths.max()} at most; "
            f"{self.truncated} cut at {self.max_length}"
        )
