"""Two texts that an encoder reads apart, then put together: for one answer to both, or for places of the second text.

Glossary of shapes: B batch, Q and S lengths of first and second text, D width of the encoder, W width of what is put together.
"""

import keras

from models.dropout import Dropout
from models.layers import backward
from models.recurrent import RecurrentLayer

SECOND = "second_"  # before the names of the second text's inputs
ATTENTIONS = ("multiplicative", "additive")


def pair(
    encoder: keras.Model,
    *,
    width: int = 256,
    attention: str = "multiplicative",
    dropout: float = 0.1,
    pooled_only: bool = False,
    seed: int = 0,
) -> keras.Model:
    """Returns a model of two texts, made of an encoder of one, whose weights both share.

    Args:
        encoder: From inputs of one text to `pooled` [B, D], and without `pooled_only` `hidden_states` [B, S, ...], the
            embeddings first.
        width: W, of the layers that put both together.
        attention: From places of the second text to those of the first: `multiplicative` (Luong et al. 2015) or `additive`
            (Bahdanau et al. 2014).
        dropout: On what is put together.
        pooled_only: Return `pooled` alone.
        seed: Of the dropout.

    Returns:
        A `keras.Model` from the encoder's inputs, of the second text with `SECOND` before their names, to a dict of either
        `pooled`: [B, W], a dense layer on [u; v; |u-v|; u*v] of both texts' vectors (Mou et al. 2016, arXiv 1512.08422;
            Conneau et al. 2017, arXiv 1705.02364), or
        `hidden_states`: a list of one [B, S, W], the second text's places, aware of the first: of each place what the encoder
            gives, h, and what it attends to in the first text, a, by embeddings and by last hidden states (Seo et al. 2016,
            arXiv 1611.01603; Chen et al. 2017, arXiv 1704.00051): [h; a; h*a], a dense layer, and an LSTM in both directions,
            by which a place knows what its neighbours have found.

    Raises:
        ValueError: `attention` is neither.
    """
    if attention not in ATTENTIONS:
        raise ValueError(f"attention: expected one of {', '.join(ATTENTIONS)}, received {attention}")
    first = encoder.input
    second = {name: keras.Input(x.shape[1:], dtype=x.dtype, name=SECOND + name) for name, x in first.items()}
    of_first, of_second = encoder.output, encoder(second)
    inputs = first | {SECOND + name: x for name, x in second.items()}
    join = lambda tensors, name: keras.layers.Concatenate(name=name)(tensors)
    if pooled_only:
        u, v = of_first["pooled"], of_second["pooled"]
        difference = keras.ops.abs(keras.layers.Subtract(name="pair_difference")([u, v]))
        product = keras.layers.Multiply(name="pair_product")([u, v])
        x = join([u, v, difference, product], "pair_features")  # [B, 4*D]
        x = Dropout(dropout, seed=1000 * seed + 900, name="pair_dropout")(x)
        x = keras.layers.Dense(width, "tanh", name="pair_dense")(x)  # [B, W]
        return keras.Model(inputs, {"pooled": x}, name="pair")
    features = []
    for place, name in ((0, "embeddings"), (-1, "states")):
        h, asked = of_second["hidden_states"][place], of_first["hidden_states"][place]  # [B, S, D], [B, Q, D]
        layer = keras.layers.Attention if attention == "multiplicative" else keras.layers.AdditiveAttention
        attend = layer(use_scale=True, name=f"pair_attention_{name}")
        a = attend([h, asked], mask=[second["mask"], first["mask"]])
        a = keras.ops.copy(a)  # [B, S, D], without the mask, which no recurrent layer takes
        features += [h, a, keras.layers.Multiply(name=f"pair_product_{name}")([h, a])]
    x = Dropout(dropout, seed=1000 * seed + 900, name="pair_dropout")(join(features, "pair_features"))
    x = keras.layers.Dense(width, "relu", name="pair_dense")(x)  # [B, S, W]
    forward, to_turn = (RecurrentLayer("lstm", width // 2, name=f"pair_{name}") for name in ("forward", "backward"))
    _, turned_back = backward(to_turn, x, second["mask"], "pair")
    x = join([forward(x), turned_back], "pair_merge")  # [B, S, W]
    return keras.Model(inputs, {"hidden_states": [x]}, name="pair")
