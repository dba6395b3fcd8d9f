"""The Transformer (Vaswani et al. 2017, arXiv 1706.03762): its stack of layers, which BERT shares, and its encoder.

Glossary of shapes: B batch, S sequence length, N real tokens of the batch, D width, H heads, V vocabulary. A shape [N, D]
reads [B, S, D] in the layout `models.layers.Padded`.

Position-wise work (linear layers, normalisation, dropout) is most of the cost and needs no padding. Only attention needs
sequences, [B, S, ...]: `layout.pack` and `layout.unpack` stand around it and nowhere else.
"""

from collections.abc import Iterator

import keras

from models.inputs import unit_inputs, units
from models.layers import Packed, Padded, Pooling, PositionCodes, SelfAttention, linear


def transformer(
    x: keras.KerasTensor,
    layout: Packed | Padded,
    *,
    layers: int = 6,
    heads: int = 8,
    feed_forward: int | None = None,
    activation: str = "relu",
    dropout: float = 0.1,
    attention_dropout: float = 0.0,
    epsilon: float = 1e-6,
    norm_first: bool = False,
    causal: bool = False,
    states: dict[str, keras.KerasTensor] | None = None,
    output_deviation: float = 0.02,
    first_only: bool = False,
    seeds: Iterator[int],
) -> tuple[list[keras.KerasTensor], list[keras.KerasTensor], dict[str, keras.KerasTensor]]:
    """Returns the hidden states and attention maps of a stack of layers, and the states that it carries on.

    Args:
        x: Embeddings [N, D].
        layout: Of the batch; its mask tells the real tokens.
        layers, heads: Size; `heads` must divide D.
        feed_forward: Width inside a position-wise feed-forward network; by default 4 * D.
        activation: Of these networks.
        dropout: On the output of every sub-layer.
        attention_dropout: On attention probabilities.
        epsilon: Of layer normalisation.
        norm_first: Normalise the input of every sub-layer, and what the last layer gives (Xiong et al. 2020, arXiv
            2002.04745), instead of each sum with the residual connection, as in the paper.
        causal: No token attends to those behind it.
        states: Keys and values of P tokens before the first ones: `layer_0_keys`, `layer_0_values`, ..., each [B, H, P, D/H].
        output_deviation: Of the first weights of what each sub-layer adds to its input.
        first_only: Run the last layer on the first token of each sequence alone.
        seeds: Of the dropout, 3 a layer.

    Returns:
        Hidden states: layers + 1 tensors [B, S, D], the embeddings first; the last one [B, D] with `first_only`. Attention
        maps: layers tensors [B, H, S, S]; the last one [B, H, 1, S] with `first_only`. `states` with those of the S tokens
        behind them, each [B, H, P+S, D/H]; without `states` none.

    Raises:
        ValueError: `heads` does not divide D.
    """
    width = x.shape[-1]
    if width % heads:
        raise ValueError(f"heads must divide width, got width={width}, heads={heads}")
    feed_forward = feed_forward or 4 * width

    def normalise(x, name):
        return keras.layers.LayerNormalization(epsilon=epsilon, name=name)(x)

    def drop(x, name):
        return keras.layers.Dropout(dropout, seed=next(seeds), name=name)(x)

    before = normalise if norm_first else lambda x, name: x
    after = (lambda x, name: x) if norm_first else normalise
    hidden_states, attention_maps = [layout.unpack(x, "hidden_state_0")], []
    carried: dict[str, keras.KerasTensor] = {}
    for i in range(layers):
        first = first_only and i == layers - 1
        # Attention
        y = linear(3 * width, f"layer_{i}_attention_qkv")(before(x, f"layer_{i}_attention_norm"))  # [N, 3*D]
        y = layout.unpack(y, f"layer_{i}_attention_unpack")  # [B, S, 3*D]
        attention = SelfAttention(
            heads,
            attention_dropout,
            first_query_only=first,
            causal=causal,
            seed=next(seeds),
            name=f"layer_{i}_attention",
        )
        names = [f"layer_{i}_keys", f"layer_{i}_values"]
        past = [states[name] for name in names] if states else None
        y, attention_map, *cached = attention(y, layout.mask, past=past)
        carried |= dict(zip(names, cached, strict=False))
        if first:
            x, y = hidden_states[-1][:, 0], y[:, 0]  # from here on [B, D]
        else:
            y = layout.pack(y, f"layer_{i}_attention_pack")  # [N, D]
        y = linear(width, f"layer_{i}_attention_output", deviation=output_deviation)(y)
        y = drop(y, f"layer_{i}_attention_dropout")
        x = after(x + y, f"layer_{i}_attention_norm")
        # Feed-forward
        y = before(x, f"layer_{i}_feed_forward_norm")
        y = linear(feed_forward, f"layer_{i}_feed_forward_inner", activation)(y)  # [N, 4*D]
        y = linear(width, f"layer_{i}_feed_forward_output", deviation=output_deviation)(y)  # [N, D]
        y = drop(y, f"layer_{i}_feed_forward_dropout")
        x = after(x + y, f"layer_{i}_feed_forward_norm")
        if i == layers - 1:
            x = before(x, f"layer_{i}_output_norm")
        hidden_states.append(x if first else layout.unpack(x, f"hidden_state_{i + 1}"))  # [B, S, D]
        attention_maps.append(attention_map)
    return hidden_states, attention_maps, carried


def transformer_encoder(
    vocabulary_size: int,
    *,
    layers: int = 6,
    width: int = 512,
    heads: int = 8,
    feed_forward: int | None = None,
    position_codes: str = "sinusoids",
    positions: int = 512,
    norm_first: bool = False,
    activation: str = "relu",
    pooling: str = "mean",
    dropout: float = 0.1,
    attention_dropout: float = 0.0,
    letters: int = 0,
    packed: bool = False,
    pooled_only: bool = False,
    attention_maps: bool = False,
    seed: int = 0,
    name: str = "transformer",
) -> keras.Model:
    """Builds the encoder of the paper, over the embeddings of units and the codes of their positions.

    Args:
        vocabulary_size: V.
        layers, width, heads, feed_forward: Size, see `transformer`.
        position_codes: See `models.layers.PositionCodes`.
        positions: Longest sequence, where codes are learned.
        norm_first, activation, dropout, attention_dropout: See `transformer`; `dropout` also on the sum of embeddings and
            codes.
        pooling: See `models.layers.Pooling`; the paper has none.
        letters: See `models.inputs.units`.
        packed: Run position-wise work on real units only; needs a backend with dynamic shapes (TensorFlow).
        pooled_only: Return `pooled` alone.
        attention_maps: Also return the attention map of every layer.
        seed: Of the dropout.

    Returns:
        A `keras.Model` from `models.inputs.unit_inputs` to a dict of
        `hidden_states`: list of layers + 1 tensors [B, S, D], the embeddings first; where the mask is false the values mean
        nothing,
        `pooled`: [B, D],
        `attention_maps`, if asked for: list of tensors [B, H, S, S].

    Raises:
        ValueError: `heads` does not divide `width`; an argument is none of its values.
    """
    inputs = unit_inputs(letters)
    mask = inputs["mask"]
    layout = Packed(mask) if packed else Padded(mask)
    seeds = iter(range(1000 * seed, 1000 * seed + 3 * layers + 1))

    x = units(inputs, vocabulary_size, width, deviation=width**-0.5)  # [B, S, D]
    if x.shape[-1] != width:
        x = linear(width, "embedding_projection")(x)
    x *= width**0.5  # section 3.4: of one magnitude with the codes
    x = layout.pack(
        PositionCodes(position_codes, positions, name="position_codes")(x, mask), "pack_embeddings"
    )  # [N, D]
    x = keras.layers.Dropout(dropout, seed=next(seeds), name="embedding_dropout")(x)
    hidden_states, maps, _ = transformer(
        x,
        layout,
        layers=layers,
        heads=heads,
        feed_forward=feed_forward,
        activation=activation,
        dropout=dropout,
        attention_dropout=attention_dropout,
        norm_first=norm_first,
        seeds=seeds,
    )
    outputs = {"pooled": Pooling(pooling, name="pooling")(hidden_states[-1], mask)}  # [B, D]
    if not pooled_only:
        outputs["hidden_states"] = hidden_states
    if attention_maps:
        outputs["attention_maps"] = maps
    return keras.Model(inputs, outputs, name=name)
