"""The Transformer (Vaswani et al. 2017, arXiv 1706.03762): its stack of layers, which BERT shares, and its encoder.

Glossary of shapes: B batch, S sequence length, T target length, M places of a memory, N real tokens of the batch, D width,
H heads, V vocabulary. A shape [N, D] reads [B, S, D] in the layout `models.layers.Padded`.

Position-wise work (linear layers, normalisation, dropout) is most of the cost and needs no padding. Only attention needs
sequences, [B, S, ...]: `layout.pack` and `layout.unpack` stand around it and nowhere else.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import keras

from models.attention import CrossAttention, Heads, SelfAttention
from models.dropout import Dropout
from models.inputs import embedding_of_units, unit_inputs, units
from models.layers import Bias, Joined, Packed, Padded, Pooling, PositionCodes, linear, register
from models.seq2seq import MASK


class Memory(NamedTuple):
    """What a decoder looks back at: keys and values [B, H, M, D/H] for each layer, by `layer_I_memory_keys`, ..._values; and
    the mask [B, M], true at real places."""

    states: dict[str, keras.KerasTensor]
    mask: keras.KerasTensor


class Stack(NamedTuple):
    """What `transformer` gives."""

    hidden_states: list[keras.KerasTensor]
    attention_maps: list[keras.KerasTensor]
    states: dict[str, keras.KerasTensor]
    memory_maps: list[keras.KerasTensor]


def transformer(
    x: keras.KerasTensor,
    layout: Packed | Padded | Joined,
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
    memory: Memory | None = None,
    prefix: str = "",
    output_deviation: float = 0.02,
    first_only: bool = False,
    seeds: Iterator[int],
) -> Stack:
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
        memory: Of another sequence, which each layer attends to between its attention and its feed-forward network.
        prefix: Before the names of the layers.
        output_deviation: Of the first weights of what each sub-layer adds to its input.
        first_only: Run the last layer on the first token of each sequence alone.
        seeds: Of the dropout, 3 a layer; with a memory 5.

    Returns:
        Hidden states: layers + 1 tensors [B, S, D], the embeddings first; the last one [B, D] with `first_only`. Attention
        maps: layers tensors [B, H, S, S]; the last one [B, H, 1, S] with `first_only`. `states` with those of the S tokens
        behind them, each [B, H, P+S, D/H]; without `states` none. Maps of the memory: layers tensors [B, H, S, M], none without it.

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
        return Dropout(dropout, seed=next(seeds), name=name)(x)

    before = normalise if norm_first else lambda x, name: x
    after = (lambda x, name: x) if norm_first else normalise
    hidden_states, attention_maps = [layout.unpack(x, f"{prefix}hidden_state_0")], []
    carried: dict[str, keras.KerasTensor] = {}
    memory_maps: list[keras.KerasTensor] = []
    for i in range(layers):
        part = f"{prefix}layer_{i}"
        first = first_only and i == layers - 1
        # Attention
        y = linear(3 * width, f"{part}_attention_qkv")(before(x, f"{part}_attention_norm"))  # [N, 3*D]
        y = layout.unpack(y, f"{part}_attention_unpack")  # [B, S, 3*D]
        attention = SelfAttention(
            heads,
            attention_dropout,
            first_query_only=first,
            causal=causal,
            seed=next(seeds),
            name=f"{part}_attention",
        )
        names = [f"{part}_keys", f"{part}_values"]
        past = [states[name] for name in names] if states else None
        y, attention_map, *cached = attention(y, layout.mask, past=past, firsts=layout.firsts if first else None)
        carried |= dict(zip(names, cached, strict=False))
        if first:
            x = layout.first(hidden_states[-1], f"{part}_first")  # from here on [B, D]
            y = keras.ops.reshape(y, [-1, width])
        else:
            y = layout.pack(y, f"{part}_attention_pack")  # [N, D]
        y = linear(width, f"{part}_attention_output", deviation=output_deviation)(y)
        y = drop(y, f"{part}_attention_dropout")
        x = after(x + y, f"{part}_attention_norm")
        # Attention to the memory
        if memory:
            y = before(x, f"{part}_memory_norm")
            y = layout.unpack(linear(width, f"{part}_memory_queries")(y), f"{part}_memory_unpack")  # [B, S, D]
            attend = CrossAttention(attention_dropout, seed=next(seeds), name=f"{part}_memory_attention")
            kept = [memory.states[f"{part}_memory_{kind}"] for kind in ("keys", "values")]
            y, memory_map = attend(y, *kept, memory.mask)
            y = linear(width, f"{part}_memory_output", deviation=output_deviation)(
                layout.pack(y, f"{part}_memory_pack")
            )
            x = after(x + drop(y, f"{part}_memory_dropout"), f"{part}_memory_norm")
            memory_maps.append(memory_map)
        # Feed-forward
        y = before(x, f"{part}_feed_forward_norm")
        y = linear(feed_forward, f"{part}_feed_forward_inner", activation)(y)  # [N, 4*D]
        y = linear(width, f"{part}_feed_forward_output", deviation=output_deviation)(y)  # [N, D]
        y = drop(y, f"{part}_feed_forward_dropout")
        x = after(x + y, f"{part}_feed_forward_norm")
        if i == layers - 1:
            x = before(x, f"{part}_output_norm")
        hidden_states.append(x if first else layout.unpack(x, f"{prefix}hidden_state_{i + 1}"))  # [B, S, D]
        attention_maps.append(attention_map)
    return Stack(hidden_states, attention_maps, carried, memory_maps)


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
        norm_first=norm_first,
        seeds=seeds,
    )
    outputs = {"pooled": Pooling(pooling, name="pooling")(stack.hidden_states[-1], mask)}  # [B, D]
    if not pooled_only:
        outputs["hidden_states"] = stack.hidden_states
    if attention_maps:
        outputs["attention_maps"] = stack.attention_maps
    return keras.Model(inputs, outputs, name=name)


def transformer_seq2seq(
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
    dropout: float = 0.1,
    attention_dropout: float = 0.0,
    packed: bool = False,
    seed: int = 0,
) -> tuple[keras.Model, keras.Model]:
    """Builds the encoder and the decoder of the paper.

    Source and target have one vocabulary and one embedding, and the output multiplies by it, as in section 3.4.

    Args:
        vocabulary_size: V, of source and target together.
        layers, width, heads, feed_forward: Size of the encoder, and of the decoder, see `transformer`.
        position_codes, positions: See `transformer_encoder`.
        norm_first, activation, dropout, attention_dropout: Likewise.
        packed: Run position-wise work of the encoder on real units only.
        seed: Of the dropout.

    Returns:
        (encoder, decoder), `keras.Model`s as in `models.seq2seq`.
        The encoder maps `token_ids` int32 [B, S], `mask` bool [B, S] to a dict of
        `memory`: `layer_I_memory_keys`, `layer_I_memory_values` [B, H, S, D/H] and `memory_mask` [B, S],
        `states`: `layer_I_keys`, `layer_I_values` [B, H, 0, D/H].
        The decoder maps `token_ids` [B, T], and what stands in `memory` and `states` (of P tokens before), to a dict of the
        following; `token_ids` and `states` may have K rows for each of `memory`, side by side.
        `logits` [B, T, V], of the unit behind each,
        `states`: likewise, [B, H, P+T, D/H],
        `alignments` [B, T, S]: how the last layer attends to the source, the mean of its heads.

    Raises:
        ValueError: `heads` does not divide `width`; an argument is none of its values; positions as a `fraction` of a length
            that a decoder does not know.
    """
    if position_codes == "fraction":
        raise ValueError("position_codes: expected codes that do not need the length of the target, received fraction")
    seeds = iter(range(1000 * seed, 1000 * seed + 8 * layers + 2))
    embed = embedding_of_units(vocabulary_size, width, deviation=width**-0.5)
    shared: dict[str, Any] = {
        "layers": layers, "heads": heads, "feed_forward": feed_forward, "activation": activation, "dropout": dropout,
        "attention_dropout": attention_dropout, "norm_first": norm_first, "seeds": seeds,
    }  # fmt: skip

    def embedded(token_ids, mask, name, past=None):
        codes = PositionCodes(position_codes, positions, name=f"{name}position_codes")
        x = codes(embed(token_ids) * width**0.5, mask, past=past)  # [B, S, D]
        return Dropout(dropout, seed=next(seeds), name=f"{name}embedding_dropout")(x)

    # Encoder
    inputs = unit_inputs()
    mask = inputs["mask"]
    layout = Packed(mask) if packed else Padded(mask)
    x = layout.pack(embedded(inputs["token_ids"], mask, "encoder_"), "encoder_pack_embeddings")  # [N, D]
    x = transformer(x, layout, prefix="encoder_", **shared).hidden_states[-1]  # [B, S, D]
    kept: dict[str, keras.KerasTensor] = {}
    for i in range(layers):
        both = linear(2 * width, f"layer_{i}_memory_keys_values")(x)  # [B, S, 2*D]
        names = [f"layer_{i}_memory_keys", f"layer_{i}_memory_values"]
        kept |= dict(zip(names, Heads(heads, name=f"layer_{i}_memory_heads")(both), strict=True))
    past_names = [f"layer_{i}_{kind}" for i in range(layers) for kind in ("keys", "values")]
    begin = {name: NoPast(heads, width // heads, name=f"{name}_begin")(mask) for name in past_names}
    encoder = keras.Model(inputs, {"memory": kept | {MASK: mask}, "states": begin}, name="encoder")

    # Decoder
    token_ids = keras.Input([None], dtype="int32", name="token_ids")  # [B, T]
    recalled = {name: keras.Input(y.shape[1:], dtype=y.dtype, name=name) for name, y in kept.items()}
    memory_mask = keras.Input([None], dtype="bool", name=MASK)
    past = {name: keras.Input([heads, None, width // heads], name=name) for name in past_names}
    mask = keras.ops.ones_like(token_ids, dtype="bool")
    x = embedded(token_ids, mask, "", past=past["layer_0_keys"])
    memory = Memory(recalled, memory_mask)
    stack = transformer(x, Padded(mask), causal=True, states=past, memory=memory, **shared)
    outputs = {
        "logits": Bias(name="output_bias")(embed(stack.hidden_states[-1], reverse=True)),  # [B, T, V]
        "states": stack.states,
        "alignments": Alignments(name="alignments")(stack.memory_maps[-1], token_ids),  # [B, T, S]
    }
    inputs = {"token_ids": token_ids, **recalled, MASK: memory_mask, **past}
    return encoder, keras.Model(inputs, outputs, name="decoder")


@register
class Alignments(keras.layers.Layer):
    """The mean of the heads of an attention map [B, H, K*T, S], for token_ids [B*K, T]: [B*K, T, S]."""

    def call(self, attention_map, token_ids):
        mean = keras.ops.mean(attention_map, axis=1)  # [B, K*T, S]
        return keras.ops.reshape(mean, [*keras.ops.shape(token_ids), keras.ops.shape(mean)[-1]])

    def compute_output_spec(self, attention_map, token_ids):
        return keras.KerasTensor([*token_ids.shape, attention_map.shape[-1]], dtype=attention_map.dtype)


@register
class NoPast(keras.layers.Layer):
    """Keys or values of no tokens: mask [B, S] -> [B, H, 0, D/H]."""

    def __init__(self, heads: int, size: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.heads, self.size = heads, size

    def call(self, mask):
        return keras.ops.zeros([keras.ops.shape(mask)[0], self.heads, 0, self.size], self.compute_dtype)

    def get_config(self):
        return super().get_config() | {"heads": self.heads, "size": self.size}

    def compute_output_spec(self, mask):
        return keras.KerasTensor([mask.shape[0], self.heads, None, self.size], dtype=self.compute_dtype)
