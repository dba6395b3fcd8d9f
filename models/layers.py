"""Layers that the lineage shares: dense and embedding layers as BERT begins them, packing of real tokens, self-attention.

Glossary of shapes: B batch, S sequence length, N real tokens of the batch (N <= B*S), D width, H heads.
"""

from typing import Any

import keras
import numpy as np
from keras import ops

register = keras.saving.register_keras_serializable(package="lineage")  # so that a saved model can be loaded


@register
def gelu_tanh(x: Any) -> Any:
    """Gelu by its approximation with tanh (Hendrycks and Gimpel 2016), as GPT-2 computes it."""
    return keras.activations.gelu(x, approximate=True)


def linear(units: int, name: str, activation: str | None = None, *, deviation: float = 0.02) -> keras.layers.Dense:
    """Returns a dense layer with BERT's initial weights: normal, of a standard deviation, cut off at two of them.

    Args:
        units: Outputs.
        name: Of the layer.
        activation: `gelu_tanh`, or one of Keras's.
        deviation: Standard deviation.
    """
    initializer = keras.initializers.TruncatedNormal(stddev=deviation)
    function = gelu_tanh if activation == "gelu_tanh" else activation
    return keras.layers.Dense(units, activation=function, kernel_initializer=initializer, name=name)


def embedding(size: int, width: int, name: str, *, reversible: bool = False) -> keras.layers.Embedding:
    """Returns an embedding of `size` rows [size, D], with the initial weights of `linear`; `reversible`: what predicts tokens
    multiplies by the same rows."""
    layer = keras.layers.ReversibleEmbedding if reversible else keras.layers.Embedding
    initializer = keras.initializers.TruncatedNormal(stddev=0.02)
    return layer(size, width, embeddings_initializer=initializer, name=name)


@register
class Bias(keras.layers.Layer):
    """Adds a learned vector, zero at first: [..., V] -> [..., V]."""

    def build(self, x_shape: tuple[int | None, ...]) -> None:
        self.bias = self.add_weight(shape=(x_shape[-1],), initializer="zeros", name="bias")

    def call(self, x):
        return x + self.bias

    def compute_output_spec(self, x):
        return keras.KerasTensor(x.shape, dtype=x.dtype)


class Padded:
    """The plain layout of a batch: every row as long as the longest, [B, S, ...]. `Packed` is the other one."""

    def __init__(self, mask: keras.KerasTensor) -> None:
        self.mask = mask  # [B, S]

    def pack(self, x: keras.KerasTensor, name: str) -> keras.KerasTensor:
        return x

    def unpack(self, x: keras.KerasTensor, name: str) -> keras.KerasTensor:
        return x


class Packed:
    """The layout that leaves padding out: real tokens of all rows one after the other, [N, ...].

    Args:
        mask: [B, S], true at real tokens.
    """

    def __init__(self, mask: keras.KerasTensor) -> None:
        self.mask = mask  # [B, S]
        self.index = Packing(name="packing")(mask)  # [N]

    def pack(self, x: keras.KerasTensor, name: str) -> keras.KerasTensor:
        """Returns [N, ...] of x [B, S, ...]."""
        return Pack(name=name)(x, self.index)

    def unpack(self, x: keras.KerasTensor, name: str) -> keras.KerasTensor:
        """Returns [B, S, D] of x [N, D]; zeros where no token is."""
        return Unpack(name=name)(x, self.index, self.mask)


@register
class Packing(keras.layers.Layer):
    """Tells where the real tokens are: mask [B, S] -> index [N] into the flattened batch, in reading order."""

    def call(self, mask):
        return ops.nonzero(ops.reshape(mask, [-1]))[0]  # [N]

    def compute_output_spec(self, mask):
        return keras.KerasTensor([None], dtype="int32")


@register
class Pack(keras.layers.Layer):
    """Keeps real tokens only: (x [B, S, ...], index [N]) -> [N, ...]."""

    def call(self, x, index):
        shape = ops.shape(x)
        return ops.take(ops.reshape(x, [-1, *shape[2:]]), index, axis=0)  # [N, ...]

    def compute_output_spec(self, x, index):
        return keras.KerasTensor([None, *x.shape[2:]], dtype=x.dtype)


@register
class Unpack(keras.layers.Layer):
    """The way back, zeros where no token is: (x [N, D], index [N], mask [B, S]) -> [B, S, D]."""

    def call(self, x, index, mask):
        batch, length = ops.shape(mask)
        width = x.shape[-1]
        flat = ops.scatter(index[:, None], x, [batch * length, width])  # [B*S, D]
        return ops.reshape(flat, [batch, length, width])

    def compute_output_spec(self, x, index, mask):
        return keras.KerasTensor([*mask.shape, x.shape[-1]], dtype=x.dtype)


@register
class Positions(keras.layers.Layer):
    """Position of every token within its sequence: mask [B, S] -> [B, S], each row 0 ... S-1; behind P tokens, of which `past`
    [B, H, P, ...] tells, P ... P+S-1."""

    def call(self, mask, past=None):
        batch, length = ops.shape(mask)
        first = 0 if past is None else ops.shape(past)[2]
        return ops.broadcast_to(ops.arange(length, dtype="int32") + first, [batch, length])

    def compute_output_spec(self, mask, past=None):
        return keras.KerasTensor(mask.shape, dtype="int32")


@register
class PositionCodes(keras.layers.Layer):
    """Adds to each embedding what tells its position p of a row of n: (x [B, S, D], mask [B, S]) -> [B, S, D]; behind P tokens,
    of which `past` [B, H, P, ...] tells, positions are P ... P+S-1.

    Args:
        kind: `sinusoids` (Vaswani et al. 2017, section 3.5: feature 2i has sin(p / 10000^(2i/D)), feature 2i+1 its cosine),
            `learned` (a vector each), `fraction` (p / (n - 1)) or `integers` (p), either times a learned vector, `none`.
        positions: Longest sequence, where codes are learned.
    """

    KINDS = ("sinusoids", "learned", "fraction", "integers", "none")

    def __init__(self, kind: str, positions: int = 512, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if kind not in self.KINDS:
            raise ValueError(f"position_codes: expected one of {', '.join(self.KINDS)}, received {kind}")
        self.kind, self.positions = kind, positions

    def build(self, x_shape: tuple[int | None, ...]) -> None:
        rows = {"learned": self.positions, "fraction": 1, "integers": 1}.get(self.kind)
        if rows:
            initializer = keras.initializers.TruncatedNormal(stddev=0.02)
            self.codes = self.add_weight(shape=(rows, x_shape[-1]), initializer=initializer, name="embeddings")

    def call(self, x, mask, past=None):
        length, width = ops.shape(x)[1], x.shape[-1]
        place = ops.arange(length, dtype="int32") + (0 if past is None else ops.shape(past)[2])  # [S]
        if self.kind == "learned":
            return x + ops.take(self.codes, place, axis=0)
        place = ops.cast(place, x.dtype)[:, None]  # [S, 1]
        if self.kind == "sinusoids":
            feature = np.arange(width)
            angle = place * ops.convert_to_tensor((10000.0 ** -(feature // 2 * 2 / width)).astype("float32"), x.dtype)
            return x + ops.where(ops.convert_to_tensor(feature % 2 == 0), ops.sin(angle), ops.cos(angle))  # [S, D]
        if self.kind == "integers":
            return x + place * self.codes
        if self.kind == "fraction":
            lengths = ops.sum(ops.cast(mask, x.dtype), axis=1)[:, None, None]  # [B, 1, 1]
            return x + place / ops.maximum(lengths - 1, 1) * self.codes
        return x

    def get_config(self):
        return super().get_config() | {"kind": self.kind, "positions": self.positions}

    def compute_output_spec(self, x, mask, past=None):
        return keras.KerasTensor(x.shape, dtype=x.dtype)


@register
class Reverse(keras.layers.Layer):
    """Turns the real part of each row round: (x [B, S, D], mask [B, S]) -> [B, S, D]; padding stays on the right."""

    def call(self, x, mask):
        batch, length = ops.shape(mask)
        lengths = ops.sum(ops.cast(mask, "int32"), axis=1, keepdims=True)  # [B, 1]
        place = ops.arange(length, dtype="int32")[None]  # [1, S]
        source = ops.where(place < lengths, lengths - 1 - place, place)  # [B, S]
        source += length * ops.arange(batch, dtype="int32")[:, None]
        return ops.take(ops.reshape(x, [batch * length, x.shape[-1]]), source, axis=0)

    def compute_output_spec(self, x, mask):
        return keras.KerasTensor(x.shape, dtype=x.dtype)


def backward(
    layer: keras.layers.Layer, x: keras.KerasTensor, mask: keras.KerasTensor, name: str
) -> tuple[keras.KerasTensor, keras.KerasTensor]:
    """Returns what a recurrent layer gives of rows that are read from their last real token, and the same turned back: both
    [B, S, D], the first in the order of reading, the second in that of the rows."""
    turned = layer(Reverse(name=f"{name}_reverse")(x, mask))
    return turned, Reverse(name=f"{name}_reverse_back")(turned, mask)


@register
class Pooling(keras.layers.Layer):
    """Makes one vector of a sequence: (x [B, S, D], mask [B, S]) -> [B, D]; every row has a real token.

    Args:
        kind: `mean`, `maximum`, `first`, `last` (real token), or `attention`: the sum weighted by the softmax of a learned score
            of each place (Yang et al. 2016, "Hierarchical Attention Networks", equations 5 to 7, with D as hidden width).
    """

    KINDS = ("mean", "maximum", "first", "last", "attention")

    def __init__(self, kind: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if kind not in self.KINDS:
            raise ValueError(f"pooling: expected one of {', '.join(self.KINDS)}, received {kind}")
        self.kind = kind

    def build(self, x_shape: tuple[int | None, ...]) -> None:
        if self.kind == "attention":
            width = x_shape[-1]
            self.kernel = self.add_weight(shape=(width, width), initializer="glorot_uniform", name="kernel")
            self.bias = self.add_weight(shape=(width,), initializer="zeros", name="bias")
            self.context = self.add_weight(shape=(width, 1), initializer="glorot_uniform", name="context")

    def call(self, x, mask):
        if self.kind == "first":
            return x[:, 0]
        real = ops.cast(mask, x.dtype)[:, :, None]  # [B, S, 1]
        if self.kind == "mean":
            return ops.sum(x * real, axis=1) / ops.sum(real, axis=1)
        if self.kind == "last":
            place = ops.arange(ops.shape(mask)[1], dtype="int32")[None]  # [1, S]
            last = place == ops.sum(ops.cast(mask, "int32"), axis=1, keepdims=True) - 1  # [B, S]
            return ops.sum(ops.where(last[:, :, None], x, 0.0), axis=1)
        lowest = -3e4 if x.dtype == "float16" else -1e9
        if self.kind == "maximum":
            return ops.max(ops.where(mask[:, :, None], x, lowest), axis=1)
        scores = ops.matmul(ops.tanh(ops.matmul(x, self.kernel) + self.bias), self.context)  # [B, S, 1]
        weights = ops.softmax(ops.where(mask[:, :, None], scores, lowest), axis=1)
        return ops.sum(x * weights, axis=1)

    def get_config(self):
        return super().get_config() | {"kind": self.kind}

    def compute_output_spec(self, x, mask):
        return keras.KerasTensor([x.shape[0], x.shape[-1]], dtype=x.dtype)


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
        mask: [B, S], true at real tokens; no query attends to the others.
        past: Keys and values of P tokens before the first one, each [B, H, P, D/H]; they are attended to as well.

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
        self.dropout = keras.layers.Dropout(dropout, seed=seed, name="dropout")

    def call(self, queries_keys_values, mask, past=None, training=None):
        batch, length = ops.shape(mask)
        width = queries_keys_values.shape[-1] // 3
        size = width // self.heads
        x = ops.reshape(queries_keys_values, [batch, length, 3, self.heads, size])
        queries, keys, values = ops.unstack(ops.transpose(x, [2, 0, 3, 1, 4]))  # each [B, H, S, D/H]
        if self.first_query_only:
            queries = queries[:, :, :1]  # [B, H, 1, D/H]
        if past is not None:
            keys, values = (ops.concatenate([old, new], axis=2) for old, new in zip(past, (keys, values), strict=True))
        scores = ops.matmul(queries * size**-0.5, ops.transpose(keys, [0, 1, 3, 2]))  # [B, H, S, P+S]
        seen = self._behind(queries, keys) if self.causal else mask[:, None, None, :]
        # -1e9 would overflow in float16
        hidden = ops.where(seen, 0.0, -3e4 if scores.dtype == "float16" else -1e9)
        probabilities = ops.softmax(scores + ops.cast(hidden, scores.dtype))
        context = ops.matmul(self.dropout(probabilities, training=training), values)  # [B, H, S, D/H]
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

    def compute_output_spec(self, queries_keys_values, mask, past=None, training=None):
        batch, length, triple = queries_keys_values.shape
        queries, dtype = 1 if self.first_query_only else length, queries_keys_values.dtype
        cached = (
            [] if past is None else [keras.KerasTensor([*x.shape[:2], None, x.shape[3]], dtype=dtype) for x in past]
        )
        keys = None if cached else length
        return (
            keras.KerasTensor([batch, queries, triple // 3], dtype=dtype),
            keras.KerasTensor([batch, self.heads, queries, keys], dtype=dtype),
            *cached,
        )
