"""Passages as batches of tf.data.

Glossary of shapes: B batch, S sequence length of a batch.
"""

import numpy as np
import tensorflow as tf

from trainer.pretraining.masking import NOTHING
from trainer.pretraining.passages import Passages
from trainer.training import batches

SIGNATURE = {
    "token_ids": tf.TensorSpec([None, None], tf.int32),
    "segment_ids": tf.TensorSpec([None, None], tf.int32),
    "mask": tf.TensorSpec([None, None], tf.bool),
    "masked": tf.TensorSpec([None, None], tf.bool),
}
TARGETS = {"words": tf.TensorSpec([None, None], tf.int32), "next": tf.TensorSpec([None], tf.int32)}


class Source(Passages):
    """Passages as a `trainer.training.batches.Source`."""

    asked: float | None = None

    def plan(self, batch_size: int, *, seed: int, epoch: int) -> batches.Plan:
        """See `batches.Source`: passages in random order; nearly all are of full length."""
        order = np.random.default_rng([seed, epoch]).permutation(self.number)
        return [order[i : i + batch_size] for i in range(0, len(order), batch_size)]

    def batch(self, rows: tf.Tensor, epoch: tf.Tensor) -> tuple[dict[str, tf.Tensor], dict[str, tf.Tensor]]:
        """See `batches.Source`: (`SIGNATURE`, `TARGETS`)."""
        dtypes = [tf.int32, tf.int32, tf.bool, tf.int32, tf.int32]
        ids, segments, mask, targets, random = tf.numpy_function(self.arrays, [rows, epoch], dtypes, stateful=False)
        for tensor in (ids, segments, mask, targets):
            tensor.set_shape([None, None])
        random.set_shape([None])
        inputs = {"token_ids": ids, "segment_ids": segments, "mask": mask, "masked": targets != NOTHING}
        return inputs, {"words": targets, "next": random}
