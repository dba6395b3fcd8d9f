"""Recurrent encoders: plain (Elman 1990), LSTM (Hochreiter and Schmidhuber 1997), GRU (Cho et al. 2014); deep, in both directions.

Every row is padded on the right alone. So what a forward layer gives at a real unit depends on no padding, and no mask passes
through the loop; a backward layer is a forward one over rows that are turned round, real units only (`models.layers.backward`).

Glossary of shapes: B batch, S sequence length, E width of the input, D width, F width of features, V vocabulary.
"""

import keras

from models.inputs import unit_inputs, units
from models.layers import Pooling, backward
from models.recurrent import CELLS, RecurrentLayer, carry

MERGES = ("concatenate", "sum")
NORMALISATIONS = ("layer", "batch")


def rnn(
    vocabulary_size: int,
    *,
    cell: str = "lstm",
    layers: int = 1,
    width: int = 256,
    embedding_width: int = 300,
    bidirectional: str | None = None,
    residual: bool = False,
    normalisation: str | None = None,
    pooling: str = "last",
    dropout: float = 0.5,
    recurrent_dropout: float = 0.0,
    letters: int = 0,
    features: int = 0,
    pooled_only: bool = False,
    states: bool = False,
    seed: int = 0,
    name: str = "rnn",
) -> keras.Model:
    """Builds the encoder.

    Reference: Graves 2013 (arXiv 1308.0850) for deep layers in both directions; variational dropout, the same at every step,
    as in Gal and Ghahramani 2016 (arXiv 1512.05287); GRU with the reset gate behind the recurrent product, as Keras and cuDNN
    have it.

    Args:
        vocabulary_size: V.
        cell: `rnn`, `lstm` or `gru`.
        layers: One upon the other.
        width: Of a layer in one direction.
        embedding_width: Of a unit; 0: none, where there are letters or features.
        bidirectional: `concatenate` (D = 2 * width) or `sum` (D = width) of both directions; None: forward alone (D = width).
        residual: Add the input of a layer to its output, where both are of one width.
        normalisation: `layer` or `batch`, on the output of each layer; None: none.
        pooling: See `models.layers.Pooling`; `last` in both directions: the last state of each, in the last layer.
        dropout: On the input of each layer; variational.
        recurrent_dropout: On the state; variational.
        letters: See `models.inputs.units`.
        features: F, of what is given of each unit beside its embedding: by a pretrained encoder; or, without embeddings, a frame
            of a sound.
        pooled_only: Return `pooled` alone.
        states: Carry the states of the cells from one part of a sequence to the next: there is no `mask`, and no `pooled`.
        seed: Of the dropout.

    Returns:
        A `keras.Model` from those of `models.inputs.unit_inputs` that it reads, and `mask`, to a dict of
        `hidden_states`: list of layers + 1 tensors, the input [B, S, E] first, then [B, S, D]; where the mask is false the
        values mean nothing,
        `pooled`: [B, D].
        With `states`, from what is read and `layer_I_state_J` [B, D], of each layer as many as its cell has, to `hidden_states`
        and `states`, a dict of the same names.

    Raises:
        ValueError: An argument is none of its values; `states` with `bidirectional` or normalisation by batches.
    """
    for argument, value, expected in (
        ("cell", cell, tuple(CELLS)),
        ("bidirectional", bidirectional, (None, *MERGES)),
        ("normalisation", normalisation, (None, *NORMALISATIONS)),
    ):
        if value not in expected:
            raise ValueError(f"{argument}: expected one of {', '.join(map(str, expected))}, received {value}")
    if states and (bidirectional or normalisation == "batch"):
        received = f"bidirectional={bidirectional}" if bidirectional else "normalisation=batch"
        raise ValueError(f"expected a network that reads from left to right, received {received}")
    seeds = iter(range(1000 * seed, 1000 * seed + 3 * layers))
    inputs = unit_inputs(letters, features)
    x = units(inputs, vocabulary_size, embedding_width)  # [B, S, E]
    if not embedding_width:
        del inputs["token_ids"]
    mask = inputs["mask"]
    if states:
        del inputs["mask"]
    carried: dict[str, keras.KerasTensor] = {}

    def drop(x, name):
        return keras.layers.SpatialDropout1D(dropout, seed=next(seeds), name=name)(x)  # the same at every step

    def recurrent(name):
        return RecurrentLayer(
            cell, width, recurrent_dropout=recurrent_dropout, return_state=states, seed=next(seeds), name=name
        )

    def merge(tensors, name):
        layer = keras.layers.Concatenate if bidirectional == "concatenate" else keras.layers.Add
        return layer(name=name)(tensors)

    hidden_states, ends = [x], []
    for i in range(layers):
        x = drop(x, f"layer_{i}_dropout")
        layer = recurrent(f"layer_{i}_forward")
        if states:
            y, before, behind = carry(layer, x, f"layer_{i}")  # [B, S, D]
            inputs |= before
            carried |= behind
        else:
            y = layer(x)  # [B, S, D]
        if bidirectional:
            turned, turned_back = backward(recurrent(f"layer_{i}_backward"), x, mask, f"layer_{i}")
            ends = [y, turned]
            y = merge([y, turned_back], f"layer_{i}_merge")  # [B, S, D]
        if residual and y.shape[-1] == x.shape[-1]:
            y = keras.layers.Add(name=f"layer_{i}_residual")([x, y])
        if normalisation == "layer":
            y = keras.layers.LayerNormalization(name=f"layer_{i}_norm")(y)
        elif normalisation == "batch":
            y = keras.layers.BatchNormalization(name=f"layer_{i}_norm")(y, mask=mask)
            y = keras.ops.copy(y)  # without the mask, which no recurrent layer takes
        x = y
        hidden_states.append(x)
    if states:
        return keras.Model(inputs, {"hidden_states": hidden_states, "states": carried}, name=name)
    if pooling == "last" and bidirectional:
        pooled = merge([Pooling("last", name=f"pooling_{i}")(x, mask) for i, x in enumerate(ends)], "pooling")  # [B, D]
    else:
        pooled = Pooling(pooling, name="pooling")(x, mask)
    outputs = {"pooled": pooled} if pooled_only else {"pooled": pooled, "hidden_states": hidden_states}
    return keras.Model(inputs, outputs, name=name)
