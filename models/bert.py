"""BERT: a bidirectional Transformer encoder (Devlin et al. 2018, arXiv 1810.04805).

Glossary of shapes: B batch, S sequence length, N real tokens of the batch, D width, H heads, V vocabulary.
"""

import keras

from models.dropout import Dropout
from models.layers import Packed, Padded, Positions, embedding, linear
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

    Raises:
        ValueError: `heads` does not divide `width`; `pooled_only` together with `attention_maps`.
    """
    if pooled_only and attention_maps:
        raise ValueError("attention_maps needs whole layers, got pooled_only as well")
    token_ids = keras.Input([None], dtype="int32", name="token_ids")  # [B, S]
    segment_ids = keras.Input([None], dtype="int32", name="segment_ids")  # [B, S]
    mask = keras.Input([None], dtype="bool", name="mask")  # [B, S]
    layout = Packed(mask) if packed else Padded(mask)
    seeds = iter(range(1000 * seed, 1000 * seed + 3 * layers + 1))

    x = embedding(vocabulary_size, width, "token_embedding", reversible=True)(
        layout.pack(token_ids, "pack_token_ids")
    )  # [N, D]
    x += embedding(segments, width, "segment_embedding")(layout.pack(segment_ids, "pack_segment_ids"))
    places = layout.pack(Positions(name="positions")(mask), "pack_positions")  # [N]
    x += embedding(positions, width, "position_embedding")(places)
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
    outputs = {"pooled": linear(width, "pooler", "tanh")(last if pooled_only else last[:, 0])}  # [B, D]
    if not pooled_only:
        outputs["hidden_states"] = stack.hidden_states
    if attention_maps:
        outputs["attention_maps"] = stack.attention_maps
    return keras.Model({"token_ids": token_ids, "segment_ids": segment_ids, "mask": mask}, outputs, name=name)
