"""Attention: of a sequence to itself, and from the places of one sequence to those of another, which decoders look back with.

Keys and values of another sequence are made once, by whoever reads it, and asked at every step, also by several hypotheses of
what is written: the rows that ask are K to a row of the memory, side by side, in training one.

Glossary of shapes: B batch, S sequence length, or places of the memory, K hypotheses, N = B*K, T places that ask, D width, A width
of keys, H heads.
"""

from typing import Any

import keras
from keras import ops

from models.dropout import Dropout, Mask
from models.layers import register

SCORES = ("additive", "multiplicative")


def _hidden(mask, scores):
    """Returns what is added to scores where the mask is false; -1e9 would overflow in float16."""
    return ops.cast(ops.where(mask, 0.0, -3e4 if scores.dtype == "float16" else -1e9), scores.dtype)


def _of_rows(queries, memory):
    """Sets what asks the same row of a memory [B, ...] side by side: [N, T, D] -> [B, K*T, D]; attention knows no order of it."""
    (number, length), rows = ops.shape(queries)[:2], ops.shape(memory)[0]
    return ops.reshape(queries, [rows, number * length // ops.maximum(rows, 1), queries.shape[-1]])


def scaled_dot_product(
    queries: Any, keys: Any, values: Any, seen: Any, mask: Mask | None = None, *, training: bool = True
) -> tuple[Any, Any]:
    """Returns what attention gives [B, H, T, D/H] and its map [B, H, T, S], through which no gradient flows.

    A training step of long rows is spent on passes over maps. The gradient here makes few of them: it masks what comes back where
    the map was masked, and takes the sum that the softmax's gradient needs of the context, which is small.

    Args:
        queries: [B, H, T, D/H], scaled.
        keys, values: [B, H, S, D/H].
        seen: bool [..., S], which keys a query sees; broadcast to the map.
        mask: [B, H, T, S], what dropout keeps of the map; None: all.
        training: Without, there is no gradient of its own: converters to other runtimes know none.
    """
    transposed = lambda x: ops.transpose(x, [0, 1, 3, 2])
    drop, scale = (mask, mask.scale) if mask else (lambda x: x, 1.0)

    def run(queries, keys, values):
        scores = ops.matmul(queries, transposed(keys))
        probabilities = ops.softmax(scores + _hidden(seen, scores))
        scaled = values * scale
        context = ops.matmul(drop(probabilities), scaled)

        def gradient(*of_outputs):
            of_context = keras.tree.flatten(of_outputs)[0]
            drop = mask.after(of_context) if mask else lambda x: x
            of_values = ops.matmul(transposed(drop(probabilities)), of_context) * scale
            of_map = drop(ops.matmul(of_context, transposed(scaled)))
            of_scores = probabilities * (of_map - ops.sum(of_context * context, axis=-1, keepdims=True))
            return ops.matmul(of_scores, keys), ops.matmul(transposed(of_scores), queries), of_values

        return (context, probabilities), gradient

    return ops.custom_gradient(run)(queries, keys, values) if training else run(queries, keys, values)[0]


@register
class Attention(keras.layers.Layer):
    """Sums the memory, weighted by how well each of its places answers a query.

    References: Bahdanau et al. 2014 (arXiv 1409.0473), `additive`: v . tanh(W q + k); Luong et al. 2015 (arXiv 1508.04025),
    `multiplicative`: W q . k, their "general" score with its matrix on the other side.

    Args:
        score: One of `SCORES`.

    Call arguments:
        queries: [N, T, D].
        keys: [B, S, A].
        values: [B, S, D'].
        mask: [B, S], true at real places; there is one in every row.

    Returns:
        context [N, T, D'] and alignments [N, T, S].
    """

    def __init__(self, score: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if score not in SCORES:
            raise ValueError(f"attention: expected one of {', '.join(SCORES)}, received {score}")
        self.score = score

    def build(self, queries_shape: Any, keys_shape: Any, values_shape: Any) -> None:
        shape = (queries_shape[-1], keys_shape[-1])
        self.kernel = self.add_weight(shape=shape, initializer="glorot_uniform", name="kernel")
        if self.score == "additive":
            self.vector = self.add_weight(shape=(keys_shape[-1], 1), initializer="glorot_uniform", name="vector")

    def call(self, queries, keys, values, mask):
        number, length = ops.shape(queries)[:2]
        queries = _of_rows(ops.matmul(queries, self.kernel), keys)  # [B, K*T, A]
        if self.score == "additive":
            scores = ops.matmul(ops.tanh(queries[:, :, None] + keys[:, None]), self.vector)[..., 0]  # [B, K*T, S]
        else:
            scores = ops.matmul(queries, ops.transpose(keys, [0, 2, 1]))  # [B, K*T, S]
        alignments = ops.softmax(scores + _hidden(mask[:, None], scores))
        context = ops.reshape(ops.matmul(alignments, values), [number, length, values.shape[-1]])
        return context, ops.reshape(alignments, [number, length, ops.shape(keys)[1]])

    def get_config(self):
        return super().get_config() | {"score": self.score}

    def compute_output_spec(self, queries, keys, values, mask):
        batch, length, _ = queries.shape
        context = keras.KerasTensor([batch, length, values.shape[-1]], dtype=queries.dtype)
        return context, keras.KerasTensor([batch, length, keys.shape[1]], dtype=queries.dtype)


@register
class Heads(keras.layers.Layer):
    """Splits keys and values side by side, [B, S, 2*D], into those of H heads: two tensors [B, H, S, D/H]."""

    def __init__(self, heads: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.heads = heads

    def call(self, x):
        batch, length = ops.shape(x)[:2]
        x = ops.reshape(x, [batch, length, 2, self.heads, x.shape[-1] // 2 // self.heads])
        keys, values = ops.unstack(ops.transpose(x, [2, 0, 3, 1, 4]))
        return keys, values

    def get_config(self):
        return super().get_config() | {"heads": self.heads}

    def compute_output_spec(self, x):
        shape = [x.shape[0], self.heads, x.shape[1], x.shape[-1] // 2 // self.heads]
        return keras.KerasTensor(shape, dtype=x.dtype), keras.KerasTensor(shape, dtype=x.dtype)


@register
class CrossAttention(keras.layers.Layer):
    """Scaled dot-product attention of several heads to a memory (Vaswani et al. 2017, section 3.2.3); owns no weight.

    Args:
        dropout: Rate on the attention probabilities.
        seed: Of the dropout.

    Call arguments:
        queries: [N, T, D].
        keys, values: [B, H, S, D/H], see `Heads`.
        mask: [B, S], true at real places.

    Returns:
        context [N, T, D] and the attention map [B, H, K*T, S], after softmax and before dropout.
    """

    def __init__(self, dropout: float = 0.0, *, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.rate, self.seed = dropout, seed
        self.dropout = Dropout(dropout, seed=seed, name="dropout")

    def call(self, queries, keys, values, mask, training=None):
        heads, size = keys.shape[1], keys.shape[3]
        number, length = ops.shape(queries)[:2]
        queries = _of_rows(queries, keys)  # [B, K*T, D]
        batch, asked = ops.shape(queries)[:2]
        queries = ops.transpose(ops.reshape(queries, [batch, asked, heads, size]), [0, 2, 1, 3])  # [B, H, K*T, D/H]
        drop = self.dropout.mask([*ops.shape(queries)[:3], ops.shape(keys)[2]], training)
        context, probabilities = scaled_dot_product(
            queries * size**-0.5, keys, values, mask[:, None, None], drop, training=bool(training)
        )
        return ops.reshape(ops.transpose(context, [0, 2, 1, 3]), [number, length, heads * size]), probabilities

    def get_config(self):
        return super().get_config() | {"dropout": self.rate, "seed": self.seed}

    def compute_output_spec(self, queries, keys, values, mask, training=None):
        batch, length, _ = queries.shape
        shape = [batch, keys.shape[1], length, keys.shape[2]]
        return keras.KerasTensor(queries.shape, dtype=queries.dtype), keras.KerasTensor(shape, dtype=queries.dtype)


@register
class SelfAttention(keras.layers.Layer):
    """Scaled dot-product self-attention of several heads (Vaswani et al. 2017, section 3.2); owns no weight.

    Args:
        heads: H; must divide the width.
        dropout: Rate on the attention probabilities, as in the paper's code.
        first_query_only: Attend from the first token alone; read [B, 1, ...] for the results.
        causal: No query attends to what stands behind it. Padding, on the right, is then seen by padding alone.
        seed: Of the dropout.

    Call arguments:
        queries_keys_values: [B, S, 3*D], side by side.
        mask: [B, S], true at real tokens; no query attends to the others. Or [B, S, S], which keys each query sees.
        past: Keys and values of P tokens before the first one, each [B, H, P, D/H]; they are attended to as well.
        firsts: [F], with `first_query_only` and a mask [B, S, S]: the tokens that attend, instead of the first one.

    Returns:
        context [B, S, D] and the attention map [B, H, S, S], after softmax and before dropout; with `past` the map is
        [B, H, S, P+S], and keys and values follow, each [B, H, P+S, D/H].
    """

    def __init__(
        self,
        heads: int,
        dropout: float = 0.0,
        *,
        first_query_only: bool = False,
        causal: bool = False,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.heads = heads
        self.first_query_only, self.causal = first_query_only, causal
        self.rate, self.seed = dropout, seed
        self.dropout = Dropout(dropout, seed=seed, name="dropout")

    def call(self, queries_keys_values, mask, past=None, firsts=None, training=None):
        batch = ops.shape(mask)[0]
        width = queries_keys_values.shape[-1] // 3
        size = width // self.heads
        x = ops.reshape(queries_keys_values, [batch, -1, 3 * self.heads, size])
        queries, keys, values = ops.split(ops.transpose(x, [0, 2, 1, 3]), 3, axis=1)  # each [B, H, S, D/H]
        if firsts is not None:
            queries = ops.take(queries, firsts, axis=2)  # [B, H, F, D/H]
            mask = ops.take(mask, firsts, axis=1)  # [B, F, S]
        elif self.first_query_only:
            queries = queries[:, :, :1]  # [B, H, 1, D/H]
        if past is not None:
            keys, values = (ops.concatenate([old, new], axis=2) for old, new in zip(past, (keys, values), strict=True))
        if self.causal:
            seen = self._behind(queries, keys)
        else:
            seen = mask[:, None] if len(mask.shape) == 3 else mask[:, None, None]
        drop = self.dropout.mask([*ops.shape(queries)[:3], ops.shape(keys)[2]], training)
        context, probabilities = scaled_dot_product(
            queries * size**-0.5, keys, values, seen, drop, training=bool(training)
        )
        context = ops.reshape(ops.transpose(context, [0, 2, 1, 3]), [batch, -1, width])
        return (context, probabilities) if past is None else (context, probabilities, keys, values)

    @staticmethod
    def _behind(queries, keys):
        """Returns which keys each query sees, [S, P+S]: those of the past, of itself and of what stands before it."""
        length, all_keys = ops.shape(queries)[2], ops.shape(keys)[2]
        place = ops.arange(all_keys, dtype="int32")
        return place[None, :] <= place[all_keys - length :, None]

    def get_config(self):
        arguments = {"heads": self.heads, "dropout": self.rate, "seed": self.seed}
        return super().get_config() | arguments | {"first_query_only": self.first_query_only, "causal": self.causal}

    def compute_output_spec(self, queries_keys_values, mask, past=None, firsts=None, training=None):
        batch, length, triple = queries_keys_values.shape
        queries, dtype = 1 if self.first_query_only else length, queries_keys_values.dtype
        if firsts is not None:
            queries = firsts.shape[0]
        cached = (
            [] if past is None else [keras.KerasTensor([*x.shape[:2], None, x.shape[3]], dtype=dtype) for x in past]
        )
        keys = None if cached else length
        return (
            keras.KerasTensor([batch, queries, triple // 3], dtype=dtype),
            keras.KerasTensor([batch, self.heads, queries, keys], dtype=dtype),
            *cached,
        )
