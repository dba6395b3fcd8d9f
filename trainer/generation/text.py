"""What a language model writes behind a text: strings in, strings out.

A text is read as it is in pretraining, each line behind the end of the one before; an empty one is the start of a line. Keys and
values, or the states of cells, are carried from unit to unit.

Glossary of shapes: B batch, P units of a prompt, E width of a row, V vocabulary, L most units that are written.
"""

import keras
import numpy as np
import tensorflow as tf

from trainer.generation import decode, given_options
from trainer.tasks.options import SAMPLING
from trainer.text import windows
from trainer.text.tokenizer import Tokenizer
from trainer.text.vocabulary import MASK, PADDING, START, UNKNOWN

NEVER = (PADDING, UNKNOWN, START, MASK)  # is written
MOST_READ = 4096  # units of a prompt that a network without positions reads, its last


def functions(model: keras.Model, tokenizer: Tokenizer, positions: int | None, letters: np.ndarray | None) -> dict:
    """Returns {"serving_default", "sample"}: tf.functions of texts [B], the second one also of each of `SAMPLING` [B], or [1] for
    all rows, which have the defaults that the first one has.

    Both give `continuation` [B], what was written, without the text, and `score` [B], the mean logarithm of the probabilities of
    its units, as the model has them, whatever the options.

    Args:
        model: See `models.heads.next_units`.
        tokenizer: Of the run, without letters.
        positions: Units that the model was trained to read at once; None: as many as one likes.
        letters: int32 [V, L], of each unit, where the model reads them.
    """
    writer = Writer(model, tokenizer, positions, letters)
    defaults = [tf.constant([option.default], option.dtype) for option in SAMPLING]

    def plain(text):
        return writer(text, *defaults)

    def sample(
        text, temperature=defaults[0], top_k=defaults[1], top_p=defaults[2], seed=defaults[3], longest=defaults[4]
    ):
        return writer(text, temperature, top_k, top_p, seed, longest)

    text = tf.TensorSpec([None], tf.string, name="text")
    options = [tf.TensorSpec([None], option.dtype, name=option.name) for option in SAMPLING]
    return {
        name: tf.function(function, input_signature=signature, autograph=False)
        for name, function, signature in (("serving_default", plain, [text]), ("sample", sample, [text, *options]))
    }


class Writer:
    """Writes behind texts; a plain function of its input that any graph can hold. Args as `functions`."""

    def __init__(
        self, model: keras.Model, tokenizer: Tokenizer, positions: int | None, letters: np.ndarray | None
    ) -> None:
        self.tokenizer, self.positions = tokenizer, positions
        self.letters = None if letters is None else tf.constant(letters)
        (features,) = model.output["features"]  # of one direction
        # Units are predicted at the last place alone: at all places of a long prompt logits would fill the memory
        self.encoder = keras.Model(model.input, {"features": features, "states": model.output["states"]})
        self.embedding = model.get_layer("token_embedding")
        self.bias = model.get_layer("next_bias") if "next_bias" in {layer.name for layer in model.layers} else None
        self.states = {name: x.shape[1:] for name, x in model.input.items() if name in model.output["states"]}
        size, vocabulary = model.output["logits"][0].shape[-1], tokenizer.vocabulary
        self.allowed = tf.constant([i < len(vocabulary) and vocabulary[i] not in NEVER for i in range(size)])

    def __call__(self, texts: tf.Tensor, *options: tf.Tensor) -> dict[str, tf.Tensor]:
        """Returns what `functions` gives, `windows.WINDOWS` rows at once; `options`: of each of `SAMPLING`, [B] or [1]."""
        texts = tf.ensure_shape(texts, [None])  # A session does not look at shapes.
        rows = tf.size(texts)
        given = given_options.rows_of(SAMPLING, options, rows)

        def write(i, *before):
            part = lambda x: x[i : i + windows.WINDOWS]
            found = self._written(part(texts), *map(part, given))
            return i + windows.WINDOWS, *[tf.concat(pair, axis=0) for pair in zip(before, found, strict=True)]

        _, continuation, score = tf.while_loop(
            lambda i, *_: i < rows,
            write,
            (tf.constant(0), tf.zeros([0], tf.string), tf.zeros([0])),
            shape_invariants=(tf.TensorShape([]), tf.TensorShape([None]), tf.TensorShape([None])),
            parallel_iterations=1,
        )
        return {"continuation": continuation, "score": score}

    def _written(self, texts, temperature, top_k, top_p, seed, longest):
        """Returns (continuations [B], scores [B])."""
        prompts, longest = self._fitted(self.tokenizer.lines(texts), longest)
        found = decode.sample(
            self._following,
            {},
            {name: tf.zeros([tf.size(texts), *[size or 0 for size in shape]]) for name, shape in self.states.items()},
            prompts.to_tensor(),
            tf.cast(prompts.row_lengths(), tf.int32),
            decode.Chance(temperature, top_k, top_p, seed),
            end=-1,
            allowed=self.allowed,
            longest=longest,
        )
        ids = tf.RaggedTensor.from_tensor(found.ids[:, 0], found.lengths[:, 0])
        scores = found.scores[:, 0] / tf.cast(tf.maximum(found.lengths[:, 0], 1), tf.float32)
        return self.tokenizer.continuation(ids, texts), scores

    def _fitted(self, prompts, longest):
        """Returns (prompts, what is written at most [B]) as they fit in the positions: a prompt loses its beginning, so that all
        is written that is asked for, but not more than half of the positions' worth."""
        lengths = tf.cast(prompts.row_lengths(), tf.int32)
        if self.positions is None:
            kept = tf.minimum(lengths, MOST_READ)
        else:
            # The last unit that is written is not read
            kept = tf.minimum(lengths, tf.maximum(self.positions + 1 - longest, (self.positions + 1) // 2))
            longest = tf.minimum(longest, self.positions + 1 - kept)
        ends = tf.cast(prompts.row_limits(), tf.int32)
        return tf.gather(prompts.values, tf.ragged.range(ends - kept, ends)), longest

    def _following(self, ids, memory, states):
        inputs = {"token_ids": ids, **states}
        if self.letters is not None:
            inputs["letters"] = tf.gather(self.letters, ids)
        found = self.encoder(inputs, training=False)
        logits = self.embedding(found["features"][:, -1:], reverse=True)  # [B, 1, V]
        return decode.Step(logits if self.bias is None else self.bias(logits), found["states"], None)
