"""What a model is trained on, tokenised once, and the plan of its batches: a pure function of seed, epoch and data.

Glossary of shapes: B batch, P pieces of a text, S sequence length of a batch, N examples.
"""

import numpy as np
import tensorflow as tf

from trainer.text.frame import pack
from trainer.text.layout import FIRST, specials

POOL = 16  # batches that are sorted by length together: little padding, and still nearly random batches


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
    return tf.concat(
        [tokenizer.traced_ids(tf.constant(texts[i : i + chunk])) for i in range(0, len(texts), chunk)], axis=0
    )


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
        pieces = ids.row_lengths().numpy() + specials(1 if second is None else 2)
        if second is not None:
            pieces += second.row_lengths().numpy()
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
                shape = tf.shape(inputs["token_ids"], targets.row_splits.dtype) - [0, FIRST]
                targets = tf.pad(targets.to_tensor(-1, shape=shape), [[0, 0], [FIRST, 0]], constant_values=-1)  # [B, S]
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
