"""A recurrent layer that trains fast on CPUs: plain, LSTM and GRU cells in one loop, with a gradient of its own.

Keras's layers multiply input and state at each step, and TensorFlow differentiates that op by op: each step back multiplies by
transposed weights, which takes an LSTM twice the time, and adds to the gradient of all weights. Here

- the input is multiplied by its weights for all steps at once, outside of the loop;
- a step forward has one product left, that of the state, and keeps the values of the gates;
- a step back has one product too, by weights that were transposed once, and keeps the gradients of the gates;
- the gradient of the weights is one product over all steps.

Four fifths of a training step are then in products that run as fast as the processor multiplies. All is written in `keras.ops`;
TensorFlow calls the gradient with those of all outputs one after the other, JAX with all of them in a tuple.

Glossary of shapes: B batch, S sequence length, E width of the input, D width, G width of all gates: D, 4*D (LSTM), 3*D (GRU).

    a        [B, G]   what the input adds to the gates at a step
    u        [B, G]   what the state h adds: h @ weights + bias
    states   of a cell, each [B, D]: h, which is its output, first
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

import keras
import numpy as np
from keras import ops

from models.layers import register


def _sigmoid_back(y, dy):
    return dy * y * (1 - y)  # gradient of x, where y = sigmoid(x)


def _tanh_back(y, dy):
    return dy * (1 - y * y)  # gradient of x, where y = tanh(x)


def _plain(a, u, before):
    h = ops.tanh(a + u)
    return (h,), (h,)


def _plain_back(kept, before, gradients):
    return (_tanh_back(*kept, *gradients),), (0.0,)


def _lstm(a, u, before):
    i, f, g, o = ops.split(a + u, 4, axis=-1)
    i, f, g, o = ops.sigmoid(i), ops.sigmoid(f), ops.tanh(g), ops.sigmoid(o)
    c = f * before[1] + i * g
    t = ops.tanh(c)
    return (o * t, c), (i, f, g, o, t)


def _lstm_back(kept, before, gradients):
    i, f, g, o, t = kept
    dh, dc = gradients
    dc += _tanh_back(t, dh * o)
    di, df, dg = _sigmoid_back(i, dc * g), _sigmoid_back(f, dc * before[1]), _tanh_back(g, dc * i)
    return (ops.concatenate([di, df, dg, _sigmoid_back(o, dh * t)], axis=-1),), (0.0, dc * f)


def _gru(a, u, before):
    (a_z, a_r, a_n), (u_z, u_r, u_n) = ops.split(a, 3, axis=-1), ops.split(u, 3, axis=-1)
    z, r = ops.sigmoid(a_z + u_z), ops.sigmoid(a_r + u_r)
    n = ops.tanh(a_n + r * u_n)
    return (z * before[0] + (1 - z) * n,), (z, r, n, u_n)


def _gru_back(kept, before, gradients):
    z, r, n, u_n = kept
    dh = gradients[0]
    dn = _tanh_back(n, dh * (1 - z))
    dz, dr = _sigmoid_back(z, dh * (before[0] - n)), _sigmoid_back(r, dn * u_n)
    return (ops.concatenate([dz, dr, dn * r], axis=-1), ops.concatenate([dz, dr, dn], axis=-1)), (dh * z,)


@dataclass(frozen=True)
class Cell:
    """The equations of a cell, and those of its gradient, element by element."""

    owner: type[keras.layers.Layer]
    """Keras's cell, which owns the weights."""
    name: str
    """Of that cell, in the names of the weights."""
    states: int
    step: Callable[[Any, Any, Sequence[Any]], tuple[tuple, tuple]]
    """(a, u, states before) -> (states behind, `kept` tensors [B, D] for `back`)."""
    kept: int
    back: Callable[[Sequence[Any], Sequence[Any], Sequence[Any]], tuple[tuple, tuple]]
    """(kept, states before, gradients of the states behind) -> (gradient of u, and that of a where it is `apart`; gradients of
    the states before, without what goes through u)."""
    apart: bool = False


CELLS = {
    "rnn": Cell(keras.layers.SimpleRNNCell, "simple_rnn_cell", states=1, step=_plain, kept=1, back=_plain_back),
    "lstm": Cell(keras.layers.LSTMCell, "lstm_cell", states=2, step=_lstm, kept=5, back=_lstm_back),
    "gru": Cell(keras.layers.GRUCell, "gru_cell", states=1, step=_gru, kept=4, back=_gru_back, apart=True),
}


@register
class RecurrentLayer(keras.layers.Layer):
    """Reads a sequence, x [B, S, E] -> h after each step [B, S, D], or [B, S, P] with a projection; what stands behind a step
    changes nothing there.

    Weights and answers are those of `keras.layers.SimpleRNN`, `LSTM` and `GRU`, which have no projection. References: Elman 1990; Hochreiter and
    Schmidhuber 1997, with the forget gate of Gers et al. 2000; Cho et al. 2014 (arXiv 1406.1078), version 1, which has the reset
    gate behind the recurrent product; Sak et al. 2014 (arXiv 1402.1128) for the projection.

    Args:
        cell: `rnn`, `lstm` or `gru`.
        units: D.
        projection: P, of a matrix [D, P] that h of an LSTM is multiplied by, for the gates of the next step and for the output;
            0: none.
        recurrent_dropout: On h where it is multiplied, the same at every step (Gal and Ghahramani 2016, arXiv 1512.05287).
        return_state: Return also the last states, each [B, D], behind the output; h as it is before a projection.
        seed: Of the dropout.

    Call arguments:
        x: [B, S, E].
        initial_state: The states before the first step, each [B, D]; by default zeros.
    """

    def __init__(
        self,
        cell: str,
        units: int,
        *,
        projection: int = 0,
        recurrent_dropout: float = 0.0,
        return_state: bool = False,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if projection and cell != "lstm":
            raise ValueError(f"projection: expected with the cell lstm, received with {cell}")
        self.kind, self.units, self.projection, self.rate = cell, units, projection, recurrent_dropout
        self.return_state, self.seed = return_state, seed
        self.cell = CELLS[cell].owner(units, seed=seed, name=CELLS[cell].name)

    def build(self, x_shape: tuple[int | None, ...], initial_state_shape: Any = None) -> None:
        if not self.projection:
            self.cell.build([None, x_shape[-1]])
            self.matrices = [self.cell.kernel, self.cell.recurrent_kernel]
            self.bias = self.cell.bias
            return
        shapes = {
            "kernel": (x_shape[-1], 4 * self.units),
            "projection": (self.units, self.projection),
            "recurrent_kernel": (self.projection, 4 * self.units),
        }
        self.matrices = [
            self.add_weight(shape=shape, initializer="glorot_uniform", name=name) for name, shape in shapes.items()
        ]
        forget = np.repeat([0.0, 1.0, 0.0, 0.0], self.units)  # 1 for the forget gate, as Keras has it
        initializer = lambda shape, dtype: ops.convert_to_tensor(forget, dtype)
        self.bias = self.add_weight(shape=(4 * self.units,), initializer=initializer, name="bias")

    def call(self, x, initial_state=None, training=False):
        cell = CELLS[self.kind]
        # Tensors: `gradient` is not told of variables
        bias, kernel, *weights = map(ops.copy, [self.bias, *self.matrices])
        (batch, length, inputs), width = ops.shape(x), kernel.shape[1]
        zeros = ops.zeros([batch, self.units], x.dtype)
        if initial_state is None:
            initial_state = [zeros] * cell.states
        drop = None
        if training and self.rate:
            drop = keras.random.dropout(zeros + 1.0, self.rate, seed=self.cell.seed_generator)  # [B, D]
        *bias_of_a, bias_of_u = ops.unstack(ops.reshape(bias, [-1, width]))  # only a GRU has two
        by_step = ops.reshape(ops.transpose(x, [1, 0, 2]), [length * batch, inputs])  # [S*B, E]
        a = ops.reshape(sum(bias_of_a, by_step @ kernel), [length, batch, width])  # [S, B, G]
        h, *states = recur(cell, a, weights, bias_of_u, initial_state, drop=drop, training=training)
        h = ops.transpose(h, [1, 0, 2])  # [B, S, D]
        if self.projection:
            h = h @ weights[0]  # [B, S, P]
        return (h, *states) if self.return_state else h

    def get_config(self):
        arguments = {"cell": self.kind, "units": self.units, "projection": self.projection}
        arguments |= {"recurrent_dropout": self.rate, "return_state": self.return_state, "seed": self.seed}
        return super().get_config() | arguments

    def compute_output_spec(self, x, initial_state=None, training=False):
        shapes = [x.shape[:2], *[x.shape[:1]] * CELLS[self.kind].states]
        widths = [self.projection or self.units, *[self.units] * (len(shapes) - 1)]
        tensors = zip(shapes, widths, strict=True)
        h, *states = [keras.KerasTensor([*shape, width], dtype=self.compute_dtype) for shape, width in tensors]
        return (h, *states) if self.return_state else h


def carry(
    layer: RecurrentLayer, x: keras.KerasTensor, name: str
) -> tuple[keras.KerasTensor, dict[str, keras.KerasTensor], dict[str, keras.KerasTensor]]:
    """Returns (what a layer with `return_state` gives, the inputs that it begins with, its last states), states by name:
    NAME_state_0, ..., each [B, D]."""
    names = [f"{name}_state_{i}" for i in range(CELLS[layer.kind].states)]
    before = {state: keras.Input([layer.units], name=state) for state in names}
    y, *behind = layer(x, initial_state=[*before.values()])
    return y, before, dict(zip(names, behind, strict=True))


def recur(
    cell: Cell,
    a: Any,
    weights: Sequence[Any],
    bias: Any,
    states: Sequence[Any],
    *,
    drop: Any = None,
    training: bool = True,
) -> tuple[Any, ...]:
    """Returns h after each step, [S, B, D], then the last states.

    Args:
        cell: The equations.
        a: [S, B, G].
        weights: One matrix [D, G], or two, [D, P] and [P, G], that h is multiplied by in turn.
        bias: [G], of u.
        states: The first ones.
        drop: [B, D], what h is multiplied by on its way to u.
        training: Keep what the gradient needs. Without, TensorFlow finds one step by step, where it is asked for.
    """
    units, width = weights[0].shape[0], weights[-1].shape[1]
    dropped = (lambda h: h) if drop is None else (lambda h: h * drop)

    def run(a, bias, *rest):
        first, weights = rest[: cell.states], rest[cell.states :]

        def forward(t, carried):
            u = reduce(ops.matmul, weights, dropped(carried[0])) + bias
            states, kept = cell.step(a[t], u, carried[: cell.states])
            return (*states, *kept) if training else states

        empty = [ops.zeros_like(first[0])] * cell.kept if training else []
        last, saved = _loop(forward, (*first, *empty), a)

        def gradient(*of_outputs):
            dh, *of_last = keras.tree.flatten(of_outputs)
            behind, kept = saved[: cell.states], saved[cell.states :]
            before = [ops.concatenate([x[None], y[:-1]]) for x, y in zip(first, behind, strict=True)]  # each [S, B, D]
            transposed = [ops.transpose(matrix) for matrix in reversed(weights)]  # [G, D]; or [G, P] and [P, D]

            def back(t, carried):
                of_behind = (carried[0] + dh[t], *carried[1 : cell.states])
                of_gates, (direct, *others) = cell.back([x[t] for x in kept], [x[t] for x in before], of_behind)
                of_before = dropped(reduce(ops.matmul, transposed, of_gates[0])) + direct
                return (of_before, *others, *of_gates)

            empty = [ops.zeros_like(a[0])] * (1 + cell.apart)
            of_first, gradients = _loop(back, (*of_last, *empty), a, backwards=True)
            du, *da = gradients[cell.states :]  # [S, B, G]
            du_by_step = ops.reshape(du, [-1, width])  # [S*B, G]
            h_by_step = ops.reshape(dropped(before[0]), [-1, units])  # [S*B, D]
            of_weights = _of_matrices(weights, h_by_step, du_by_step)
            return *(da or [du]), ops.sum(du_by_step, axis=0), *of_first[: cell.states], *of_weights

        return (saved[0], *last[: cell.states]), gradient

    differentiable = ops.custom_gradient(run) if training else lambda *tensors: run(*tensors)[0]
    return differentiable(a, bias, *states, *weights)


def _of_matrices(matrices, x, dy):
    """Returns the gradients of one matrix, or two, that x [N, D] was multiplied by in turn; dy [N, G]: that of the product."""
    if len(matrices) == 1:
        return [ops.transpose(x) @ dy]
    inner, outer = matrices
    return [ops.transpose(x) @ (dy @ ops.transpose(outer)), ops.transpose(x @ inner) @ dy]


def _loop(step, carried, a, *, backwards=False):
    """Returns what `step`, (t, carried) -> carried, gives after all steps of a, and after each, [S, B, ...].

    `ops.scan` keeps just what it carries: what is to be kept of a step is carried too, though the next one does not read it.
    """
    length = ops.shape(a)[0]
    twice = lambda carried, t: (step(t, carried),) * 2
    last, kept = ops.scan(twice, carried, ops.arange(length, dtype="int32"), reverse=backwards)
    return last, [ops.reshape(x, [length, *ops.shape(y)]) for x, y in zip(kept, carried, strict=True)]
