"""Word pieces to what BERT reads: framed, cut to a length, padded.

Glossary of shapes: B batch, P pieces of a text, S sequence length of a batch.
"""

import tensorflow as tf

from trainer.text.layout import place_of_second, room
from trainer.text.word_pieces import PADDING, SEPARATOR, START, Tokenizer

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
        parts = [column(start), ids[:, : room(max_length)], column(separator)]
    else:
        one, two = pair_lengths(ids.row_lengths(), second.row_lengths(), room(max_length, 2))
        parts = [column(start), _first(ids, one), column(separator), _first(second, two), column(separator)]
    ids = tf.concat(parts, axis=1)
    lengths = ids.row_lengths()
    longest = tf.maximum(tf.reduce_max(lengths), 2)  # an empty batch, too, has a first token to slice
    token_ids = ids.to_tensor(padding, shape=tf.stack([tf.constant(-1, longest.dtype), longest]))  # [B, S]
    mask = tf.sequence_mask(lengths, longest)
    if second is None:
        segment_ids = tf.zeros_like(token_ids)
    else:
        segment_ids = tf.cast(
            mask & ~tf.sequence_mask(place_of_second(one), longest), tf.int32
        )  # 1 behind the first [SEP]
    return {"token_ids": token_ids, "segment_ids": segment_ids, "mask": mask}


def pair_lengths(one, two, most):
    """Returns how many pieces of two texts stay, if both together may have `most`: the longer loses its last, one by one."""
    kept = tf.minimum(one, tf.maximum(most - two, (most + 1) // 2))
    return kept, tf.minimum(two, most - kept)


def _first(ids, lengths):
    starts = ids.row_starts()
    return tf.gather(ids.flat_values, tf.ragged.range(starts, starts + lengths, row_splits_dtype=lengths.dtype))
