"""Heads: what a task adds to an encoder, whatever the encoder is.

An encoder is a model to a dict of `pooled` [B, D], one vector a sequence, and `hidden_states`, a list of [B, S, D] of which
the last is read. Heads as of Devlin et al. 2018, section 4.

Glossary of shapes: B batch, S sequence length, K masked places of the batch, P places of a row, D width, C classes, V vocabulary.
"""

import keras

from models.crf import CRF
from models.dropout import Dropout
from models.inputs import embedding_of_units
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
    if "positions" in inputs:  # of several sequences in a row, see `models.layers.Joined`
        first = keras.ops.cast(keras.ops.equal(inputs["positions"], 0), "int32")
        places = keras.ops.maximum(first, context)  # [1, N]
    else:
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


def next_units(encoder: keras.Model, vocabulary_size: int, *, bias: bool, dropout: float, seed: int) -> keras.Model:
    """Returns an encoder that reads from left to right, or ELMo, with the head of a language model: what comes next at each place.

    Units are predicted by the rows that they are read with (Press and Wolf 2017, arXiv 1608.05859), behind a dense layer where a
    state is not as wide as a row; by rows of their own, where they are read by their letters.

    Args:
        encoder: With the states that it carries on: to `hidden_states`, or `last_states` of each direction, and `states`.
        vocabulary_size: V.
        bias: Whether a unit has a bias; GPT's have none.
        dropout: On the last states.
        seed: Of the dropout.

    Returns:
        A model from the encoder's inputs to `features` [B, S, E], what the rows [V, E] are multiplied by, and `logits` [B, S, V],
        each a list with one of them for each direction, and `states`.
    """
    last_states = encoder.output.get("last_states") or encoder.output["hidden_states"][-1:]  # each [B, S, D]
    width = last_states[0].shape[-1]
    if "token_embedding" in {layer.name for layer in encoder.layers}:
        embedding = encoder.get_layer("token_embedding")
    else:
        embedding = embedding_of_units(vocabulary_size, width)
        embedding.build([None, None])
    project = drop = lambda x: x
    if embedding.output_dim != width:
        project = linear(embedding.output_dim, "next_projection", deviation=width**-0.5)
    if dropout:
        drop = Dropout(dropout, seed=1000 * seed + 999, name="next_dropout")
    features = [project(drop(x)) for x in last_states]  # each [B, S, E]
    add = Bias(name="next_bias") if bias else lambda x: x
    logits = [add(embedding(x, reverse=True)) for x in features]  # each [B, S, V]
    outputs = {"features": features, "logits": logits, "states": encoder.output["states"]}
    return keras.Model(encoder.input, outputs, name="next_units")


def _drop(x, rate, seed):
    # The encoder's dropout counts its own seeds from 1000 * seed.
    return Dropout(rate, seed=1000 * seed + 999, name="classifier_dropout")(x)


def _logits(classes, name, seed):
    initializer = keras.initializers.TruncatedNormal(stddev=0.02, seed=seed)
    return keras.layers.Dense(classes, kernel_initializer=initializer, name=name)
