"""Heads: what a task adds to an encoder, whatever the encoder is.

An encoder is a model to a dict of `pooled` [B, D], one vector a sequence, and `hidden_states`, a list of [B, S, D] of which
the last is read. Heads as of Devlin et al. 2018, section 4.

Glossary of shapes: B batch, S sequence length, K masked places of the batch, P places of a row, D width, C classes, V vocabulary.
"""

import keras

from models.crf import CRF
from models.layers import Bias, Pack, Packing, linear, register
from models.pairs import SECOND

LOWEST = -1e9  # below all logits; finite, so that sums of it are


def classify(encoder: keras.Model, classes: int, *, dropout: float, seed: int) -> keras.Model:
    """Returns the encoder with a classifier of whole sequences: to logits [B, C]."""
    x = _drop(encoder.output["pooled"], dropout, seed)  # [B, D]
    return keras.Model(encoder.input, _logits(classes, "classifier", seed)(x), name="classify")  # [B, C]


def tag(encoder: keras.Model, classes: int, *, dropout: float, seed: int) -> keras.Model:
    """Returns the encoder with a classifier of every place: to logits [B, S, C]."""
    x = _drop(encoder.output["hidden_states"][-1], dropout, seed)  # [B, S, D]
    return keras.Model(encoder.input, _logits(classes, "classifier", seed)(x), name="tag")  # [B, S, C]


def tag_crf(encoder: keras.Model, classes: int, *, dropout: float, seed: int) -> keras.Model:
    """Returns `tag` with a conditional random field behind it: to {"logits": [B, S, C], "transitions",
    "starts", "ends"}, see `models.crf`."""
    logits = tag(encoder, classes, dropout=dropout, seed=seed).output  # [B, S, C]
    return keras.Model(encoder.input, {"logits": logits, **CRF(name="crf")(logits)}, name="tag_crf")


def span(encoder: keras.Model, classes: int, *, dropout: float, seed: int) -> keras.Model:
    """Returns the encoder with scores of every place as the first and the last one of an answer: to logits [B, S, 2].

    Places of the question and of padding have `LOWEST`: an answer lies in segment 1, or, where texts are read apart
    (`models.pairs`), in the second one, or at the first place of all, which stands for "no answer". No dropout, as in the
    reference.
    """
    logits = _logits(classes, "qa_outputs", seed)(encoder.output["hidden_states"][-1])  # [B, S, 2]
    inputs = encoder.input
    context = keras.ops.cast(inputs[SECOND + "mask"] if SECOND + "mask" in inputs else inputs["segment_ids"], "int32")
    places = keras.ops.concatenate([keras.ops.ones_like(context[:, :1]), context[:, 1:]], axis=1)  # [B, S]
    logits = keras.ops.where(keras.ops.expand_dims(places > 0, -1), logits, LOWEST)
    return keras.Model(encoder.input, logits, name="span")


def masked_words(
    encoder: keras.Model,
    *,
    next_sentence: bool,
    activation: str = "gelu",
    epsilon: float = 1e-12,
    places: bool = False,
) -> keras.Model:
    """Returns the encoder with the heads that BERT is pretrained with (section 3.1): which words were masked, and whether the
    second text follows the first.

    Args:
        encoder: Its layer `token_embedding` is reversible: words are predicted by the rows that they are read with.
        next_sentence: Whether there is the second head.
        activation, epsilon: Of the layer before the words, and of its normalisation; the encoder's.
        places: Read as many places of every row, by their numbers. Same answers; where `masked` needs a backend with dynamic
            shapes (TensorFlow), this runs on all of them.

    Returns:
        A model from the encoder's inputs and `masked` bool [B, S] to `words` [K, V], logits of the masked places alone, in reading
        order, and `next` [B, 2], if asked for: logits of "it follows" and "it comes from elsewhere".
        With `places`: from the encoder's inputs and `places` int32 [B, P] to `words` [B, P, V] and `next`.
    """
    states = encoder.output["hidden_states"][-1]  # [B, S, D]
    masked = keras.Input([None], dtype="int32" if places else "bool", name="places" if places else "masked")
    if places:
        x = AtPlaces(name="at_places")(states, masked)  # [B, P, D]
    else:
        x = Pack(name="pack_masked")(states, Packing(name="masked_places")(masked))  # [K, D]
    x = linear(states.shape[-1], "masked_dense", activation)(x)
    x = keras.layers.LayerNormalization(epsilon=epsilon, name="masked_norm")(x)
    words = encoder.get_layer("token_embedding")(x, reverse=True)  # [K, V]
    outputs = {"words": Bias(name="masked_bias")(words)}
    if next_sentence:
        outputs["next"] = linear(2, "next_sentence")(encoder.output["pooled"])  # [B, 2]
    return keras.Model({**encoder.input, masked.name: masked}, outputs, name="masked_words")


@register
class AtPlaces(keras.layers.Layer):
    """Keeps some places of each row, by their numbers: (x [B, S, D], places [B, P]) -> [B, P, D]."""

    def call(self, x, places):
        # As a product, whose gradient is one, too: that of a gather adds row by row
        chosen = keras.ops.one_hot(places, keras.ops.shape(x)[1], dtype=x.dtype)  # [B, P, S]
        return keras.ops.matmul(chosen, x)

    def compute_output_spec(self, x, places):
        return keras.KerasTensor([*places.shape, x.shape[-1]], dtype=x.dtype)


def _drop(x, rate, seed):
    # The encoder's dropout counts its own seeds from 1000 * seed.
    return keras.layers.Dropout(rate, seed=1000 * seed + 999, name="classifier_dropout")(x)


def _logits(classes, name, seed):
    initializer = keras.initializers.TruncatedNormal(stddev=0.02, seed=seed)
    return keras.layers.Dense(classes, kernel_initializer=initializer, name=name)
