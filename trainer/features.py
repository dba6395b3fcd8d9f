"""Word pieces to what a model reads, and the plan of the batches.

Glossary of shapes: B batch, P pieces of a text, S sequence length of a batch.
"""

import numpy as np
import tensorflow as tf

from trainer.text import PADDING, SEPARATOR, START, Tokenizer

POOL = 16  # batches that are sorted by length together: little padding, and still nearly random batches

# What `batches` yields to a step, (inputs, targets); given to its tf.function, so that no length is traced anew.
BATCH_SIGNATURE = (
    {
        "token_ids": tf.TensorSpec([None, None], tf.int32),
        "segment_ids": tf.TensorSpec([None, None], tf.int32),
        "mask": tf.TensorSpec([None, None], tf.bool),
    },
    tf.TensorSpec([None], tf.int32),
)


def pack(ids, tokenizer: Tokenizer, max_length: int):
    """Frames and pads one text a row: [CLS] pieces [SEP].

    Args:
        ids: Ragged int32 [B, (P)].
        tokenizer: Whose vocabulary names the special tokens.
        max_length: Longest row, special tokens included; longer texts lose their end.

    Returns:
        The inputs of `models.bert.bert`: `token_ids`, `segment_ids` int32 [B, S] and `mask` bool [B, S].
    """
    start, separator, padding = (tokenizer.vocabulary.index(token) for token in (START, SEPARATOR, PADDING))
    ids = ids[:, : max_length - 2]
    rows = tf.shape(ids.row_lengths())[0]
    ids = tf.concat([tf.fill([rows, 1], start), ids, tf.fill([rows, 1], separator)], axis=1)
    lengths = ids.row_lengths()
    longest = tf.maximum(tf.reduce_max(lengths), 2)  # an empty batch, too, has a first token to slice
    token_ids = ids.to_tensor(padding, shape=tf.stack([tf.constant(-1, longest.dtype), longest]))  # [B, S]
    return {
        "token_ids": token_ids,
        "segment_ids": tf.zeros_like(token_ids),
        "mask": tf.sequence_mask(lengths, longest),
    }


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


def batches(ids, targets, plan, tokenizer, max_length):
    """Returns a `tf.data.Dataset` of (inputs of the model, targets, indices of the rows), one element a planned batch."""
    indices = tf.RaggedTensor.from_row_lengths(np.concatenate(plan), [len(batch) for batch in plan])

    def batch(rows):
        return pack(tf.gather(ids, rows), tokenizer, max_length), tf.gather(targets, rows), rows

    options = tf.data.Options()
    # Nothing here to tune; and its thread sleeps for up to 60 s, which 5 of 22 epochs waited for at their end.
    options.autotune.enabled = False
    return (
        tf.data.Dataset.from_tensor_slices(indices).map(batch, num_parallel_calls=2).prefetch(2).with_options(options)
    )
