"""BERT: a bidirectional Transformer encoder (Devlin et al. 2018, arXiv 1810.04805).

Glossary of shapes: B batch, S sequence length, N real tokens of the batch, D width, H heads, V vocabulary.
"""

import keras

from models.dropout import Dropout
from models.layers import Joined, Packed, Padded, Positions, embedding, linear
from models.transformer import transformer


def bert(
    vocabulary_size: int,
    *,
    layers: int = 12,
    width: int = 768,
    heads: int = 12,
    feed_forward: int | None = None,
    positions: int = 512,
    segments: int = 2,
    activation: str = "gelu",  # the exact one, with erf
    dropout: float = 0.1,
    attention_dropout: float = 0.1,
    epsilon: float = 1e-12,
    packed: bool = False,
    joined: bool = False,
    pooled_only: bool = False,
    attention_maps: bool = False,
    seed: int = 0,
    name: str = "bert",
) -> keras.Model:
    """Builds the encoder.

    Reference: Devlin et al. 2018. Google's released code approximates gelu by tanh; Hugging Face computes it by erf, as
    here.

    Args:
        vocabulary_size: V.
        layers, width, heads: Size.
        feed_forward: Width inside the feed-forward networks; by default 4 * width.
        positions: Longest sequence.
        segments: Number of segment embeddings.
        activation: Of the feed-forward networks.
        dropout: On embeddings and the output of every sub-layer.
        attention_dropout: On attention probabilities.
        epsilon: Of layer normalisation.
        packed: Run position-wise work on real tokens only. Same answers; needs a backend with dynamic shapes (TensorFlow).
        joined: Read sequences one after the other in one row, [1, N], without padding. Same answers, for runtimes that know no
            packing: position-wise work runs on all of them together, attention on each.
        pooled_only: Return `pooled` alone. Same answer; the last layer then runs on the first token of each sequence, which
            is all that the pooled output reads: about an eighth of the work of a 6-layer model less.
        attention_maps: Also return the attention map of every layer.
        seed: Of the dropout.

    Returns:
        A `keras.Model` from a dict of `token_ids` [B, S] int32, `segment_ids` [B, S] int32 and `mask` [B, S] bool (true at
        real tokens, and always at the first of a row) to a dict of
        `hidden_states`: list of layers + 1 tensors [B, S, D], the embeddings first; where the mask is false the values
        mean nothing (zeros if packed),
        `pooled`: [B, D], a dense layer with tanh on the last state of the first token,
        `attention_maps`, if asked for: list of tensors [B, H, S, S].
        If joined, from `token_ids` and `segment_ids` [1, N], `sequences` [1, N] int32, the number of each token's sequence,
        `positions` [1, N] int32, that of each token in its sequence, and `firsts` [B] int32, where each sequence begins, to
        `hidden_states` [1, N, D] and `pooled` [B, D].

    Raises:
        ValueError: `heads` does not divide `width`; `pooled_only` or `joined` together with `attention_maps`, `joined` with `packed`.
    """
    if attention_maps and (pooled_only or joined):
        raise ValueError(f"attention_maps needs whole layers, got {'joined' if joined else 'pooled_only'} as well")
    if packed and joined:
        raise ValueError("expected packed or joined, got both")
    rows = {"batch_shape": (1 if joined else None, None), "dtype": "int32"}
    inputs = {name: keras.Input(**rows, name=name) for name in ("token_ids", "segment_ids")}  # each [B, S]
    layout: Packed | Padded | Joined
    if joined:
        inputs |= {name: keras.Input(**rows, name=name) for name in ("sequences", "positions")}  # each [1, N]
        inputs["firsts"] = keras.Input(batch_shape=(None,), dtype="int32", name="firsts")  # [B]
        layout, places = Joined(inputs["sequences"], inputs["firsts"]), inputs["positions"]
    else:
        mask = inputs["mask"] = keras.Input([None], dtype="bool", name="mask")  # [B, S]
        layout, places = Packed(mask) if packed else Padded(mask), Positions(name="positions")(mask)
    seeds = iter(range(1000 * seed, 1000 * seed + 3 * layers + 1))

    x = embedding(vocabulary_size, width, "token_embedding", reversible=True)(
        layout.pack(inputs["token_ids"], "pack_token_ids")
    )  # [N, D]
    x += embedding(segments, width, "segment_embedding")(layout.pack(inputs["segment_ids"], "pack_segment_ids"))
    x += embedding(positions, width, "position_embedding")(layout.pack(places, "pack_positions"))
    x = keras.layers.LayerNormalization(epsilon=epsilon, name="embedding_norm")(x)
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
        first_only=pooled_only,
        seeds=seeds,
    )
    last = stack.hidden_states[-1]
    first = last if pooled_only else layout.first(last, "first")  # [B, D]
    outputs = {"pooled": linear(width, "pooler", "tanh")(first)}
    if not pooled_only:
        outputs["hidden_states"] = stack.hidden_states
    if attention_maps:
        outputs["attention_maps"] = stack.attention_maps
    return keras.Model(inputs, outputs, name=name)
