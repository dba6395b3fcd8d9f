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
    """The plain layout of a batch: every row as long as the longest, [B, S, ...]. `Packed` and `Joined` are the others."""

    firsts: keras.KerasTensor | None = None

    def __init__(self, mask: keras.KerasTensor) -> None:
        self.mask = mask  # [B, S]

    def pack(self, x: keras.KerasTensor, name: str) -> keras.KerasTensor:
        return x

    def unpack(self, x: keras.KerasTensor, name: str) -> keras.KerasTensor:
        return x

    def first(self, x: keras.KerasTensor, name: str) -> keras.KerasTensor:
        return x[:, 0]


class Packed:
    """The layout that leaves padding out: real tokens of all rows one after the other, [N, ...].

    Args:
        mask: [B, S], true at real tokens.
    """

    firsts: keras.KerasTensor | None = None

    def __init__(self, mask: keras.KerasTensor) -> None:
        self.mask = mask  # [B, S]
        self.index = Packing(name="packing")(mask)  # [N]

    def pack(self, x: keras.KerasTensor, name: str) -> keras.KerasTensor:
        """Returns [N, ...] of x [B, S, ...]."""
        return Pack(name=name)(x, self.index)

    def unpack(self, x: keras.KerasTensor, name: str) -> keras.KerasTensor:
        """Returns [B, S, D] of x [N, D]; zeros where no token is."""
        return Unpack(name=name)(x, self.index, self.mask)

    def first(self, x: keras.KerasTensor, name: str) -> keras.KerasTensor:
        """Returns [B, D], the first token of each sequence, of x [B, S, D]."""
        return x[:, 0]


class Joined:
    """The layout of a runtime that knows no packing: sequences one after the other in the only row of a batch, [1, N, ...]; a
    token sees those of its own sequence. Position-wise work runs on [N, ...], without padding.

    Args:
        sequences: [1, N], the number of each token's sequence.
        firsts: [B], where each sequence begins.
    """

    def __init__(self, sequences: keras.KerasTensor, firsts: keras.KerasTensor) -> None:
        self.mask = ops.equal(ops.expand_dims(sequences, 2), ops.expand_dims(sequences, 1))  # [1, N, N]
        self.firsts = firsts

    def pack(self, x: keras.KerasTensor, name: str) -> keras.KerasTensor:
        """Returns [N, ...] of x [1, N, ...]."""
        return ops.squeeze(x, axis=0)

    def unpack(self, x: keras.KerasTensor, name: str) -> keras.KerasTensor:
        """Returns [1, N, D] of x [N, D]."""
        # Not `expand_dims`, which XNNPACK lacks: each layer would end the part of the graph that it computes
        return ops.reshape(x, [1, -1, x.shape[-1]])

    def first(self, x: keras.KerasTensor, name: str) -> keras.KerasTensor:
        """Returns [B, D], the first token of each sequence, of x [1, N, D]."""
        return Pack(name=name)(x, self.firsts)


@register
class Packing(keras.layers.Layer):
    """Tells where the real tokens are: mask [B, S] -> index [N] into the flattened batch, in reading order."""

    def call(self, mask):
        return ops.nonzero(ops.reshape(mask, [-1]))[0]  # [N]

    def compute_output_spec(self, mask):
        return keras.KerasTensor([None], dtype="int32")


@register
class Pack(keras.layers.Layer):
    """Keeps some tokens only, as the real ones: (x [B, S, ...], index [N]) -> [N, ...]."""

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
class ScalarMix(keras.layers.Layer):
    """Sums tensors of one shape, weighted: a list of N [B, S, D] -> scale * sum_i softmax(logits)_i * size * norm(x_i), [B, S, D].

    What a task reads of a pretrained encoder's layers (Peters et al. 2018, arXiv 1802.05365, equation 1): at first all the same, at
    scale 1. A vector is normalised to mean 0 and variance 1, as the paper does "in some cases", and made as large as embeddings
    are at first: vectors several times as large as those that stand beside them would keep these from learning.

    Args:
        size: Standard deviation of the elements of a vector at scale 1; on the dev part of SST-2 0.15 was better than 0.1 and 0.6.
    """

    def __init__(self, size: float = 0.15, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.size = size
        self.norm = keras.layers.LayerNormalization(center=False, scale=False, name="norm")

    def build(self, shapes: list[tuple[int | None, ...]]) -> None:
        self.logits = self.add_weight(shape=(len(shapes),), initializer="zeros", name="logits")
        self.scale = self.add_weight(shape=(), initializer="ones", name="scale")

    def call(self, tensors):
        weights = self.scale * self.size * self.weights_of_tensors()
        return sum(weights[i] * self.norm(x) for i, x in enumerate(tensors))

    def weights_of_tensors(self) -> Any:
        """Returns softmax(logits) [N]."""
        return ops.softmax(self.logits)

    def get_config(self):
        return super().get_config() | {"size": self.size}

    def compute_output_spec(self, tensors):
        return keras.KerasTensor(tensors[0].shape, dtype=tensors[0].dtype)
