"""GPT: a Transformer that reads from left to right and says what comes next (Radford et al. 2018, 2019).

Glossary of shapes: B batch, S sequence length, P tokens before it, N real tokens of the batch, D width, H heads, V vocabulary.
"""

import keras

from models.dropout import Dropout
from models.layers import Packed, Padded, Pooling, Positions, embedding
from models.transformer import transformer


def gpt(
    vocabulary_size: int,
    *,
    layers: int = 12,
    width: int = 768,
    heads: int = 12,
    feed_forward: int | None = None,
    positions: int = 1024,
    activation: str = "gelu_tanh",
    dropout: float = 0.1,
    attention_dropout: float = 0.1,
    epsilon: float = 1e-5,
    packed: bool = False,
    pooled_only: bool = False,
    states: bool = False,
    seed: int = 0,
    name: str = "gpt",
) -> keras.Model:
    """Builds the decoder, without what predicts units (see `models.heads.next_units`).

    Reference: Radford et al. 2019, "Language Models are Unsupervised Multitask Learners" (GPT-2): as in Vaswani et al. 2017,
    with normalisation before each sub-layer and behind the last, learned positions, and first weights of what is added to a
    residual path divided by the root of their number. `pooled` is what Radford et al. 2018 classify by: the last real token.

    Args:
        vocabulary_size: V.
        layers, width, heads, feed_forward: Size, see `models.transformer.transformer`.
        positions: Longest sequence.
        activation: Of the feed-forward networks.
        dropout: On embeddings and the output of every sub-layer.
        attention_dropout: On attention probabilities.
        epsilon: Of layer normalisation.
        packed: Run position-wise work on real tokens only; needs a backend with dynamic shapes (TensorFlow).
        pooled_only: Return `pooled` alone.
        states: Carry keys and values from one part of a sequence to the next: `mask` and `segment_ids` are no inputs then.
        seed: Of the dropout.

    Returns:
        A `keras.Model` from a dict of `token_ids`, `segment_ids` [B, S] int32 (not read) and `mask` [B, S] bool (true at real
        tokens, and always at the first of a row) to a dict of
        `hidden_states`: list of layers + 1 tensors [B, S, D], the embeddings first; where the mask is false the values mean
        nothing,
        `pooled`: [B, D], the last state of the last real token.
        With `states`, from `token_ids` and `layer_I_keys`, `layer_I_values` [B, H, P, D/H] of the P tokens before them, P from
        0 on, to `hidden_states` and `states`, a dict of the same names, [B, H, P+S, D/H].

    Raises:
        ValueError: `heads` does not divide `width`.
    """
    token_ids = keras.Input([None], dtype="int32", name="token_ids")  # [B, S]
    inputs = {"token_ids": token_ids}
    past = None
    if states:
        mask = keras.ops.ones_like(token_ids, dtype="bool")
        names = [f"layer_{i}_{kind}" for i in range(layers) for kind in ("keys", "values")]
        past = {name: keras.Input([heads, None, width // heads], name=name) for name in names}
    else:
        inputs["segment_ids"] = keras.Input([None], dtype="int32", name="segment_ids")
        inputs["mask"] = mask = keras.Input([None], dtype="bool", name="mask")  # [B, S]
    layout = Packed(mask) if packed and not states else Padded(mask)
    seeds = iter(range(1000 * seed, 1000 * seed + 3 * layers + 1))

    x = embedding(vocabulary_size, width, "token_embedding", reversible=True)(
        layout.pack(token_ids, "pack_token_ids")
    )  # [N, D]
    places = Positions(name="positions")(mask, past=past["layer_0_keys"] if past else None)
    x += embedding(positions, width, "position_embedding")(layout.pack(places, "pack_positions"))
    x = Dropout(dropout, seed=next(seeds), name="embedding_dropout")(x)
    stack = transformer(
        x,
        layout,
        layers=layers,
        heads=heads,
        feed_forward=feed_forward,
        activation=activation,
        dropout=dropout,
        attention_dropout=attention_dropout,
        epsilon=epsilon,
        norm_first=True,
        causal=True,
        states=past,
        output_deviation=0.02 * (2 * layers) ** -0.5,
        seeds=seeds,
    )
    if past:
        outputs = {"hidden_states": stack.hidden_states, "states": stack.states}
        return keras.Model(inputs | past, outputs, name=name)
    outputs = {"pooled": Pooling("last", name="pooling")(stack.hidden_states[-1], mask)}  # [B, D]
    if not pooled_only:
        outputs["hidden_states"] = stack.hidden_states
    return keras.Model(inputs, outputs, name=name)
