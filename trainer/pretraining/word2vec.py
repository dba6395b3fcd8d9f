"""The training of word2vec: windows of neighbours, words drawn against them, and a step that multiplies matrices.

Reference: Mikolov et al. 2013 (arXiv 1310.4546) and their code: windows of a width drawn for each word, frequent words left out at
random, negative samples by the power 3/4 of their frequencies, stochastic gradient descent with a rate that falls to 0.

What differs, for speed (after Ji et al. 2016, arXiv 1604.04661): the words of a step share the words that are drawn, each of which
counts as many times less; and a step is made of some hundred words at once, whose products are those of blocks of matrices.

Glossary of shapes: N blocks, M words of a block, F words of a block with those around it, R drawn words, D width, V vocabulary.
"""

from collections.abc import Callable
from dataclasses import dataclass

import keras
import numpy as np
import tensorflow as tf

from trainer.corpora.shards import Corpus
from trainer.training import batches

BLOCK = 32  # words
SLICE = 2048  # words of the text that a step reads; of a small vocabulary half as many as it has
LEAST_SLICE = 64
DRAWN = 128  # words that are drawn for a step
POWER = 0.75
FURTHEST = 0.5  # that a vector moves in a step: where a small vocabulary repeats its words, their gradients add up
NOBODY = -1  # an id where no word is

SIGNATURE = {
    "frames": tf.TensorSpec([None, None], tf.int32),  # [N, F]
    "near": tf.TensorSpec([None, BLOCK, None], tf.bool),  # [N, M, F]: neighbours
    "drawn": tf.TensorSpec([DRAWN], tf.int32),  # [R]
}


@dataclass(frozen=True, kw_only=True)
class Windows:
    """How neighbours are found.

    Args:
        window: Neighbours on either side at most; for each word a width from 1 to this is drawn.
        sample: Words more frequent than this share are left out at random; 0: none is.
        negatives: Words that each neighbour is set against.
        seed: Of all draws.
    """

    window: int = 5
    sample: float = 1e-4
    negatives: int = 5
    seed: int = 0


class Neighbourhoods:
    """Slices of a corpus as blocks of words with their neighbours; a `trainer.training.batches.Source` whose examples are slices.

    Args:
        corpus: In words.
        size: V.
        first: The first id that is a word; those before are special tokens.
        windows: See there.
    """

    asked: float | None = None

    def __init__(self, corpus: Corpus, size: int, first: int, windows: Windows) -> None:
        self.corpus, self.windows, self.first = corpus, windows, first
        counts = corpus.frequencies(size)
        counts[:first] = 0
        self.words = int(counts.sum())
        share = counts / max(self.words, 1)
        with np.errstate(divide="ignore"):
            keep = np.sqrt(windows.sample / share) + windows.sample / share if windows.sample else np.ones(size)
        self.keep = np.where(counts > 0, np.minimum(keep, 1.0), 0.0)  # of each word, the chance to stay
        self.drawing = np.cumsum(counts**POWER) / max(np.sum(counts**POWER), 1e-9)
        self.slice = min(SLICE, max(LEAST_SLICE, size // 2))
        lengths = [-(-shard.pieces // self.slice) for shard in corpus.sizes]
        self.slices_before = np.cumsum([0, *lengths])
        self.number = int(self.slices_before[-1])

    def plan(self, batch_size: int, *, seed: int, epoch: int) -> batches.Plan:
        """See `batches.Source`; a slice a step."""
        return [*np.random.default_rng([seed, epoch]).permutation(self.number)[:, None]]

    def batch(self, rows: tf.Tensor, epoch: tf.Tensor) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
        """See `batches.Source`: (`SIGNATURE`, the words of the slice)."""
        dtypes = [tf.int32, tf.bool, tf.int32, tf.int32]
        frames, near, drawn, words = tf.numpy_function(self._batch, [rows[0], epoch], dtypes, stateful=False)
        frames.set_shape([None, None])
        near.set_shape([None, BLOCK, None])
        drawn.set_shape([DRAWN])
        words.set_shape([])
        return {"frames": frames, "near": near, "drawn": drawn}, words

    def _batch(self, row, epoch):
        draw = np.random.default_rng([self.windows.seed, int(epoch), int(row)])
        ids, sentence, words = self._slice(int(row), draw)
        return *self.blocks(ids, sentence, draw), np.int32(words)

    def _slice(self, row, draw):
        """Returns (the words of a slice that are kept [n], the sentence of each, how many the slice has)."""
        i = int(np.searchsorted(self.slices_before, row, side="right")) - 1
        shard, start = self.corpus.shard(i), self.slice * (row - int(self.slices_before[i]))
        ids = shard.ids[start : start + self.slice].astype(np.int32)
        sentence = np.searchsorted(shard.sentences, np.arange(start, start + len(ids)), side="right")
        kept = draw.random(len(ids)) < self.keep[ids]
        return ids[kept], sentence[kept], int(np.sum(ids >= self.first))

    def blocks(self, ids: np.ndarray, sentence: np.ndarray, draw: np.random.Generator) -> tuple[np.ndarray, ...]:
        """Returns (frames [N, F], near [N, M, F], drawn [R]) of words [n] and the sentences that they stand in."""
        width = self.windows.window
        count = max(-(-len(ids) // BLOCK), 1)
        fill = lambda values: np.pad(values, (width, count * BLOCK - len(values) + width), constant_values=NOBODY)
        places = np.arange(count)[:, None] * BLOCK + np.arange(BLOCK + 2 * width)  # [N, F]
        frames, sentences = fill(ids)[places], fill(sentence)[places]
        reach = draw.integers(1, width + 1, size=(count, BLOCK, 1))
        away = np.abs(np.arange(BLOCK + 2 * width) - width - np.arange(BLOCK)[:, None])  # [M, F]
        middle = slice(width, width + BLOCK)
        same = (sentences[:, middle, None] == sentences[:, None, :]) & (frames[:, middle, None] >= 0)
        near = same & (away > 0) & (away <= reach)
        drawn = np.searchsorted(self.drawing, draw.random(DRAWN)).astype(np.int32)
        return frames.astype(np.int32), near, drawn


def training_step(
    model: keras.Model, windows: Windows, *, cbow: bool, rate: Callable[[tf.Tensor], tf.Tensor], steps: tf.Variable
) -> Callable[[list], dict[str, float]]:
    """Returns a function [(inputs, words)] -> measures that makes a step.

    Args:
        model: Of `models.word2vec`.
        windows: How neighbours were found.
        cbow: Predict words from their neighbours, not neighbours from words.
        rate: Step -> learning rate.
        steps: Made so far; counted on.
    """
    first = model.get_layer("words_embedding").embeddings.value
    second = model.get_layer("neighbours_embedding").embeddings.value

    @tf.function(input_signature=[SIGNATURE], autograph=False)
    def step(inputs):
        loss, pairs, updates = gradients(first, second, inputs, windows, cbow=cbow)
        learning_rate = rate(steps)
        for table, ids, gradient in updates:
            rows, place = tf.unique(ids)
            summed = learning_rate * tf.math.unsorted_segment_sum(gradient, place, tf.size(rows))
            moved = tf.clip_by_norm(summed, FURTHEST, axes=[1])
            tf.raw_ops.ResourceScatterSub(resource=table.handle, indices=rows, updates=moved)
        steps.assign_add(1)
        return loss / tf.maximum(pairs, 1.0)

    return lambda batch: {"loss": float(step(batch[0][0]))}


def gradients(
    first: tf.Variable, second: tf.Variable, inputs: dict[str, tf.Tensor], windows: Windows, *, cbow: bool
) -> tuple[tf.Tensor, tf.Tensor, list[tuple[tf.Variable, tf.Tensor, tf.Tensor]]]:
    """Returns (the loss of a step summed over its pairs, how many these are, of each table the rows and their gradients).

    Args:
        first, second: The two tables of vectors [V, D].
        inputs: See `SIGNATURE`.
        windows: How neighbours were found.
        cbow: See `training_step`.
    """
    frames, drawn = tf.maximum(inputs["frames"], 0), inputs["drawn"]
    near = tf.cast(inputs["near"], tf.float32)  # [N, M, F]
    middle = frames[:, windows.window : windows.window + BLOCK]  # [N, M]
    against = tf.gather(second, drawn)  # [R, D]
    weight = windows.negatives / DRAWN
    if cbow:
        around = tf.gather(first, frames)  # [N, F, D]
        number = tf.reduce_sum(near, axis=-1, keepdims=True)  # [N, M, 1]
        mean = tf.math.divide_no_nan(near, number)
        h, real = mean @ around, tf.cast(number > 0, tf.float32)  # [N, M, D], [N, M, 1]
        there = tf.gather(second, middle)  # [N, M, D]
        scores = tf.reduce_sum(h * there, axis=-1, keepdims=True)  # [N, M, 1]
        wrong = tf.einsum("nmd,rd->nmr", h, against)
        up, down = (tf.sigmoid(scores) - 1) * real, tf.sigmoid(wrong) * real * weight
        of_h = up * there + tf.einsum("nmr,rd->nmd", down, against)
        updates = [
            (first, frames, tf.matmul(mean, of_h, transpose_a=True)),
            (second, middle, up * h),
            (second, drawn, tf.einsum("nmr,nmd->rd", down, h)),
        ]
        losses = real * tf.math.softplus(-scores), real * weight * tf.math.softplus(wrong)
        pairs = tf.reduce_sum(real)
    else:
        words, around = tf.gather(first, middle), tf.gather(second, frames)  # [N, M, D], [N, F, D]
        scores = tf.matmul(words, around, transpose_b=True)  # [N, M, F]
        wrong = tf.einsum("nmd,rd->nmr", words, against)
        number = tf.reduce_sum(near, axis=-1, keepdims=True) * weight  # [N, M, 1]
        up, down = (tf.sigmoid(scores) - 1) * near, tf.sigmoid(wrong) * number
        updates = [
            (first, middle, up @ around + tf.einsum("nmr,rd->nmd", down, against)),
            (second, frames, tf.matmul(up, words, transpose_a=True)),
            (second, drawn, tf.einsum("nmr,nmd->rd", down, words)),
        ]
        losses = near * tf.math.softplus(-scores), number * tf.math.softplus(wrong)
        pairs = tf.reduce_sum(near)
    loss = sum(tf.reduce_sum(part) for part in losses)
    width = first.shape[-1]
    return loss, pairs, [(table, tf.reshape(ids, [-1]), tf.reshape(g, [-1, width])) for table, ids, g in updates]
