"""BERT: a bidirectional Transformer encoder (Devlin et al. 2018, arXiv 1810.04805).

Glossary of shapes: B batch, S sequence length, N real tokens of the batch, D width, H heads, V vocabulary.

Position-wise work (embeddings, linear layers, normalisation, dropout) is most of the cost and needs no padding: packed,
it runs on [N, D]. Only attention needs sequences, [B, S, ...]; `pack` and `unpack` stand around it and nowhere else.
"""

import keras

from models.layers import Pack, Packing, Positions, SelfAttention, Unpack

# Sizes by name. Feed-forward is 4 * width in all of them.
PRESETS = {
    "tiny": {"layers": 2, "width": 128, "heads": 2},
    "mini": {"layers": 4, "width": 256, "heads": 4},
    "small": {"layers": 4, "width": 512, "heads": 8},
    "medium": {"layers": 8, "width": 512, "heads": 8},
    "minilm": {"layers": 6, "width": 384, "heads": 12},
    "base": {"layers": 12, "width": 768, "heads": 12},
    "large": {"layers": 24, "width": 1024, "heads": 16},
}


def bert(
    vocabulary_size,
    *,
    layers=12,
    width=768,
    heads=12,
    feed_forward=None,  # 4 * width
    positions=512,
    segments=2,
    activation="gelu",  # the exact one, with erf
    dropout=0.1,
    attention_dropout=0.1,
    epsilon=1e-12,
    packed=False,
    pooled_only=False,
    attention_maps=False,
    seed=0,
    name="bert",
):
    """Builds the encoder.

    Reference: Devlin et al. 2018. Google's released code approximates gelu by tanh; Hugging Face computes it by erf, as
    here.

    Args:
        vocabulary_size: V.
        layers, width, heads, feed_forward: Size; see `PRESETS`.
        positions: Longest sequence.
        segments: Number of segment embeddings.
        activation: Of the feed-forward layers.
        dropout: On embeddings and the output of every sub-layer.
        attention_dropout: On attention probabilities.
        epsilon: Of layer normalisation.
        packed: Run position-wise work on real tokens only. Same answers; needs a backend with dynamic shapes (TensorFlow).
        pooled_only: Return `pooled` alone. Same answer; the last layer then runs on the first token of each sequence, the
            one that the pooled output reads: about an eighth of the work of a 6-layer model less.
        attention_maps: Also return the attention map of every layer.
        seed: Of the dropout.

    Returns:
        A `keras.Model` from a dict of `token_ids` [B, S] int32, `segment_ids` [B, S] int32 and `mask` [B, S] bool (true at
        real tokens, and always at the first of a row) to a dict of
        `hidden_states`: list of layers + 1 tensors [B, S, D], the embeddings first; where the mask is false the values
        mean nothing (zeros if packed),
        `pooled`: [B, D], a dense layer with tanh on the last state of the first token,
        `attention_maps`, if asked for: list of tensors [B, H, S, S].

    Raises:
        ValueError: `heads` does not divide `width`; `pooled_only` together with `attention_maps`.
    """
    if width % heads:
        raise ValueError(f"heads must divide width, got width={width}, heads={heads}")
    if pooled_only and attention_maps:
        raise ValueError("attention_maps needs whole layers, got pooled_only as well")
    feed_forward = feed_forward or 4 * width
    seeds = iter(range(1000 * seed, 1000 * seed + 3 * layers + 1))

    token_ids = keras.Input([None], dtype="int32", name="token_ids")  # [B, S]
    segment_ids = keras.Input([None], dtype="int32", name="segment_ids")  # [B, S]
    mask = keras.Input([None], dtype="bool", name="mask")  # [B, S]

    if packed:
        index = Packing(name="packing")(mask)  # [N]
        pack = lambda x, name: Pack(name=name)(x, index)
        unpack = lambda x, name: Unpack(name=name)(x, index, mask)
    else:
        pack = unpack = lambda x, name: x

    def linear(units, name, activation=None):
        initializer = keras.initializers.TruncatedNormal(stddev=0.02)
        return keras.layers.Dense(units, activation=activation, kernel_initializer=initializer, name=name)

    def embedding(size, name):
        initializer = keras.initializers.TruncatedNormal(stddev=0.02)
        return keras.layers.Embedding(size, width, embeddings_initializer=initializer, name=name)

    def normalise(x, name):
        return keras.layers.LayerNormalization(epsilon=epsilon, name=name)(x)

    def drop(x, name):
        return keras.layers.Dropout(dropout, seed=next(seeds), name=name)(x)

    # Embeddings. From here on a shape [N, D] reads [B, S, D] where the model is not packed.
    x = embedding(vocabulary_size, "token_embedding")(pack(token_ids, "pack_token_ids"))  # [N, D]
    x += embedding(segments, "segment_embedding")(pack(segment_ids, "pack_segment_ids"))
    x += embedding(positions, "position_embedding")(pack(Positions(name="positions")(mask), "pack_positions"))
    x = drop(normalise(x, "embedding_norm"), "embedding_dropout")
    hidden_states, maps = [unpack(x, "hidden_state_0")], []

    for i in range(layers):
        last = pooled_only and i == layers - 1
        # Attention
        y = linear(3 * width, f"layer_{i}_attention_qkv")(x)  # [N, 3*D]
        y = unpack(y, f"layer_{i}_attention_unpack")  # [B, S, 3*D]
        attention = SelfAttention(
            heads, attention_dropout, first_query_only=last, seed=next(seeds), name=f"layer_{i}_attention"
        )
        y, attention_map = attention(y, mask)
        if last:
            x, y = hidden_states[-1][:, 0], y[:, 0]  # from here on [B, D]
        else:
            y = pack(y, f"layer_{i}_attention_pack")  # [N, D]
        y = drop(linear(width, f"layer_{i}_attention_output")(y), f"layer_{i}_attention_dropout")
        x = normalise(x + y, f"layer_{i}_attention_norm")
        # Feed-forward
        y = linear(feed_forward, f"layer_{i}_feed_forward_inner", activation)(x)  # [N, 4*D]
        y = drop(linear(width, f"layer_{i}_feed_forward_output")(y), f"layer_{i}_feed_forward_dropout")  # [N, D]
        x = normalise(x + y, f"layer_{i}_feed_forward_norm")
        if not last:
            hidden_states.append(unpack(x, f"hidden_state_{i + 1}"))  # [B, S, D]
        maps.append(attention_map)

    first = x if pooled_only else hidden_states[-1][:, 0]  # [B, D]
    pooled = linear(width, "pooler", "tanh")(first)  # [B, D]

    outputs = {"pooled": pooled}
    if not pooled_only:
        outputs["hidden_states"] = hidden_states
    if attention_maps:
        outputs["attention_maps"] = maps
    return keras.Model({"token_ids": token_ids, "segment_ids": segment_ids, "mask": mask}, outputs, name=name)
