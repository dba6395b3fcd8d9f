"""The objective of language models: the next unit at each place. States that are carried on, loss, scores.

Glossary of shapes: K directions, B rows of a batch, S length of a window, N drawn units, E width of a row, V vocabulary.
"""

import math
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from trainer.pretraining.source import StreamSource
from trainer.pretraining.windows import NOTHING
from trainer.training import batches
from trainer.training.recompute import Recomputing
from trainer.training.step import in_float32

TARGETS = tf.TensorSpec([None, None, None], tf.int32)  # [K, B, S]


class Carried:
    """A model whose states pass from one batch to the next, called like a model.

    States of a fixed size (of recurrent layers) are variables, zero where a pass over the text begins. Those that grow (keys and
    values) begin empty in each batch.

    Args:
        model: See `models.heads.next_units`.
        rows: B.
        letters: int32 [V, L], of each unit, where the model reads them.
        recompute: Compute layers anew for the gradient.
    """

    def __init__(
        self, model: keras.Model, rows: int, letters: np.ndarray | None = None, *, recompute: bool = False
    ) -> None:
        self.model, self.trainable_variables = model, model.trainable_variables
        self.compute = Recomputing(model) if recompute else model
        self.letters = None if letters is None else tf.constant(letters)
        self.variables: dict[str, keras.Variable] = {}
        self.empty: dict[str, list[int]] = {}
        for tensor in model.inputs:
            shape = list(tensor.shape[1:])
            if tensor.name not in model.output["states"]:
                continue
            if None in shape:
                self.empty[tensor.name] = [size or 0 for size in shape]
            else:
                zeros = keras.ops.zeros([rows, *shape])
                self.variables[tensor.name] = keras.Variable(zeros, trainable=False, name=tensor.name)

    @property
    def signature(self) -> dict[str, tf.TensorSpec]:
        """What it is called with."""
        ids = [tensor.name for tensor in self.model.inputs if tensor.name.endswith("token_ids")]
        return dict.fromkeys(ids, tf.TensorSpec([None, None], tf.int32)) | {"begins": tf.TensorSpec([], tf.bool)}

    def __call__(self, inputs: dict[str, tf.Tensor], training: bool) -> dict[str, Any]:
        given = {name: tensor for name, tensor in inputs.items() if name != "begins"}
        rows = tf.shape(given["token_ids"])[0]
        if self.letters is not None:
            of_units = {
                name.replace("token_ids", "letters"): tf.gather(self.letters, ids) for name, ids in given.items()
            }
            given |= of_units
        given |= {name: tf.zeros([rows, *shape]) for name, shape in self.empty.items()}
        for name, variable in self.variables.items():
            given[name] = tf.where(inputs["begins"], tf.zeros_like(variable.value), variable.value)
        outputs = self.compute(given, training=training)
        for name, variable in self.variables.items():
            variable.assign(tf.stop_gradient(outputs["states"][name]))
        return outputs


class NextUnits:
    """The loss of language models, see `trainer.training.step.Loss`: nats a unit, the mean over all places and directions.

    Args:
        model: See `models.heads.next_units`.
        drawn: N above 0: the sum over all units is estimated by the right one and N others that are drawn for a batch, by their
            frequencies, by which they are weighted (importance sampling; Jean et al. 2015, arXiv 1412.2007).
        frequencies: float [V], shares of the units in the text.
        steps: The steps that were made: what is drawn is a pure function of seed and step.
        seed: Of what is drawn.
    """

    def __init__(self, model: keras.Model, drawn: int, frequencies: np.ndarray, steps: Any, seed: int) -> None:
        self.drawn, self.steps, self.seed = drawn, steps, seed
        self.rows = model.get_layer("token_embedding").embeddings
        self.bias = model.get_layer("next_bias").bias if "next_bias" in {layer.name for layer in model.layers} else None
        self.logs = tf.constant(np.log(frequencies), tf.float32)
        self.cumulative = tf.constant(np.cumsum(frequencies), tf.float32)

    def __call__(self, targets: tf.Tensor, outputs: dict[str, Any]) -> tuple[tf.Tensor, tf.Tensor]:
        if self.drawn:
            losses = self._of_drawn(targets, outputs["features"])
        else:
            losses = tf.stack([full(targets[i], logits) for i, logits in enumerate(outputs["logits"])])  # [K, B, S]
        real = tf.cast(targets != NOTHING, tf.float32)
        return tf.reduce_sum(losses * real), tf.maximum(tf.reduce_sum(real), 1.0)

    def _of_drawn(self, targets, features):
        step = tf.cast(self.steps.value, tf.int32)
        chance = tf.random.stateless_uniform([self.drawn], tf.stack([self.seed, step]))
        drawn = tf.searchsorted(self.cumulative, chance * self.cumulative[-1], side="right")  # [N]
        gold = tf.maximum(targets, 0)  # [K, B, S]
        rows = tf.gather(self.rows, tf.concat([drawn, tf.reshape(gold, [-1])], 0))
        width = rows.shape[-1]
        x = tf.reshape(tf.stack(features), [-1, width])  # [K*B*S, E]
        gold = tf.reshape(gold, [-1])
        bias = lambda ids: 0.0 if self.bias is None else tf.gather(self.bias, ids)
        of_drawn = tf.matmul(x, rows[: self.drawn], transpose_b=True) + bias(drawn)  # [K*B*S, N]
        of_drawn -= tf.gather(self.logs, drawn) + math.log(self.drawn)  # how often each is drawn
        of_drawn = tf.where(drawn == gold[:, None], -1e9, of_drawn)  # the right one stands beside them
        of_gold = tf.reduce_sum(x * rows[self.drawn :], axis=-1) + bias(gold)
        logits = tf.concat([of_gold[:, None], of_drawn], axis=-1)
        return tf.reshape(tf.reduce_logsumexp(logits, axis=-1) - of_gold, tf.shape(targets))


def full(targets: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    """Returns nats [B, S], without meaning where nothing is asked."""
    return tf.nn.sparse_softmax_cross_entropy_with_logits(tf.maximum(targets, 0), logits)


class Scorer:
    """Scores a language model, as it is when called, on a stream.

    Returns {loss: nats a unit (of ELMo the mean of both directions), perplexity: e to that, accuracy, bits_per_character,
    word_perplexity: of words between white space, ends of lines counted (left out where there are no spaces between words),
    unigram_loss: of the same units by how often they are in the text that was learned, units}.

    Args:
        model: See `models.heads.next_units`.
        source: Windows of the stream.
        limit: Windows at most.
        frequencies: See `NextUnits`; None: no unigram_loss.
        letters: See `Carried`.
    """

    def __init__(
        self,
        model: keras.Model,
        source: StreamSource,
        limit: int | None = None,
        frequencies: np.ndarray | None = None,
        letters: np.ndarray | None = None,
    ) -> None:
        self.source, self.plan = source, source.scored(limit)
        self.frequencies, self.carried = frequencies, Carried(model, source.rows, letters)
        self.step = tf.function(self._step, input_signature=[self.carried.signature, TARGETS], autograph=False)

    def _step(self, inputs, targets):
        outputs = in_float32(self.carried(inputs, training=False))
        loss = right = 0.0
        for i, logits in enumerate(outputs["logits"]):
            loss += tf.reduce_sum(tf.where(targets[i] == NOTHING, 0.0, full(targets[i], logits)))
            right += tf.reduce_sum(tf.cast(tf.argmax(logits, -1, tf.int32) == targets[i], tf.float32))
        return loss, right

    def __call__(self, tick: Callable[[], None] = lambda: None) -> dict[str, Any]:
        """Returns the scores; `tick` is called between batches."""
        loss = right = unigram = 0.0
        count = 0
        for inputs, targets in batches.dataset(self.source, self.plan):
            of_batch, right_of_batch = self.step(inputs, targets)
            gold = targets.numpy()
            gold = gold[gold != NOTHING]
            loss, right, count = loss + float(of_batch), right + float(right_of_batch), count + len(gold)
            if self.frequencies is not None:
                unigram -= float(np.sum(np.log(self.frequencies[gold])))
            tick()
        return self.source.scores(loss, right, count, None if self.frequencies is None else unigram)
