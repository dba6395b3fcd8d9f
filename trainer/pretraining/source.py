"""Passages, and windows of a stream, as batches of tf.data.

Glossary of shapes: K directions, B batch, S sequence length of a batch.
"""

import numpy as np
import tensorflow as tf

from models.elmo import BACKWARD
from trainer.pretraining.masking import NOTHING
from trainer.pretraining.passages import Passages
from trainer.pretraining.windows import Windows
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


class StreamSource(Windows):
    """Windows of a stream as a `trainer.training.batches.Source`."""

    asked: float | None = None

    def batch(self, rows: tf.Tensor, epoch: tf.Tensor) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
        """See `batches.Source`: ({`token_ids` int32 [B, S], of two directions also `backward_token_ids`, `begins` bool [], whether
        a pass begins}, targets int32 [K, B, S])."""
        windows = tf.numpy_function(self.arrays, [rows, epoch], tf.int32, stateful=False)  # [2, K, B, S]
        windows.set_shape([2, self.directions, None, self.length])
        names = ["token_ids", BACKWARD + "token_ids"][: self.directions]
        ids = {name: windows[0, i] for i, name in enumerate(names)}
        return ids | {"begins": rows[0] == 0}, windows[1]
