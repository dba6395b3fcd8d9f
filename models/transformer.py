"""The Transformer's stack of layers (Vaswani et al. 2017, arXiv 1706.03762), apart from embeddings and outputs.

Glossary of shapes: B batch, S sequence length, N real tokens of the batch, D width, H heads. A shape [N, D] reads [B, S, D]
in the layout `models.layers.Padded`.

Position-wise work (linear layers, normalisation, dropout) is most of the cost and needs no padding. Only attention needs
sequences, [B, S, ...]: `layout.pack` and `layout.unpack` stand around it and nowhere else.
"""

from collections.abc import Iterator

import keras

from models.layers import Packed, Padded, SelfAttention, linear


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
    first_only: bool = False,
    seeds: Iterator[int],
) -> tuple[list[keras.KerasTensor], list[keras.KerasTensor]]:
    """Returns the hidden states and attention maps of an encoder's layers, each normalised after its residual connection.

    Args:
        x: Embeddings [N, D].
        layout: Of the batch; its mask tells the real tokens.
        layers, heads: Size; `heads` must divide D.
        feed_forward: Width inside a position-wise feed-forward network; by default 4 * D.
        activation: Of these networks.
        dropout: On the output of every sub-layer.
        attention_dropout: On attention probabilities.
        epsilon: Of layer normalisation.
        first_only: Run the last layer on the first token of each sequence alone.
        seeds: Of the dropout, 3 a layer.

    Returns:
        Hidden states: layers + 1 tensors [B, S, D], the embeddings first; the last one [B, D] with `first_only`. Attention
        maps: layers tensors [B, H, S, S]; the last one [B, H, 1, S] with `first_only`.

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

    hidden_states, attention_maps = [layout.unpack(x, "hidden_state_0")], []
    for i in range(layers):
        first = first_only and i == layers - 1
        # Attention
        y = linear(3 * width, f"layer_{i}_attention_qkv")(x)  # [N, 3*D]
        y = layout.unpack(y, f"layer_{i}_attention_unpack")  # [B, S, 3*D]
        attention = SelfAttention(
            heads, attention_dropout, first_query_only=first, seed=next(seeds), name=f"layer_{i}_attention"
        )
        y, attention_map = attention(y, layout.mask)
        if first:
            x, y = hidden_states[-1][:, 0], y[:, 0]  # from here on [B, D]
        else:
            y = layout.pack(y, f"layer_{i}_attention_pack")  # [N, D]
        y = drop(linear(width, f"layer_{i}_attention_output")(y), f"layer_{i}_attention_dropout")
        x = normalise(x + y, f"layer_{i}_attention_norm")
        # Feed-forward
        y = linear(feed_forward, f"layer_{i}_feed_forward_inner", activation)(x)  # [N, 4*D]
        y = drop(linear(width, f"layer_{i}_feed_forward_output")(y), f"layer_{i}_feed_forward_dropout")  # [N, D]
        x = normalise(x + y, f"layer_{i}_feed_forward_norm")
        hidden_states.append(x if first else layout.unpack(x, f"hidden_state_{i + 1}"))  # [B, S, D]
        attention_maps.append(attention_map)
    return hidden_states, attention_maps
