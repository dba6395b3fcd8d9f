"""Linear-chain conditional random field: a label is judged with its neighbours, a row of labels as a whole.

The score of a row of labels is the sum of the scores of each label at its place, of each label behind the one before it, of
the first as a beginning and of the last as an end; its probability, the softmax over all rows of labels of that length.
Reference: Lafferty et al. 2001; on top of a neural encoder, Lample et al. 2016 (arXiv 1603.01360), section 2.

Glossary of shapes: B batch, S sequence length, U units of the longest row (what is labelled), C labels.

    emissions     [B, U, C]   score of each label at each unit
    lengths       [B]         units of each row, the first of the U; what stands behind them changes nothing
    transitions   [C, C]      score of a label (second) behind another (first)
    starts, ends  [C]         score of a label as the first, as the last one of a row

A label or a neighbourhood that must not be has the score `LOWEST`.
"""

from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from models.layers import register

TINY = 1e-37  # above 0, whose logarithm is no number


@register
class CRF(keras.layers.Layer):
    """Owns the scores of neighbouring labels, all 0 at first.

    Call arguments:
        logits: [B, S, C], for their C alone.

    Returns:
        {"transitions": [C, C], "starts": [C], "ends": [C]}, for the functions of this module.
    """

    def build(self, shape: tuple[int | None, ...]) -> None:
        classes = shape[-1]
        for name, size in (("transitions", [classes, classes]), ("starts", [classes]), ("ends", [classes])):
            setattr(self, name, self.add_weight(shape=size, initializer="zeros", name=name))

    def call(self, logits):
        return {name: ops.convert_to_tensor(getattr(self, name)) for name in ("transitions", "starts", "ends")}

    def compute_output_spec(self, logits):
        classes = logits.shape[-1]
        spec = lambda *shape: keras.KerasTensor(shape, dtype=logits.dtype)
        return {"transitions": spec(classes, classes), "starts": spec(classes), "ends": spec(classes)}


def log_likelihood(emissions: Any, labels: Any, lengths: Any, transitions: Any, starts: Any, ends: Any) -> Any:
    """Returns the log-probability of rows of labels: [B]; 0 for a row without units.

    Args:
        emissions, lengths, transitions, starts, ends: See above.
        labels: int32 [B, U], at padding any label.
    """
    alphas = _forward(emissions, lengths, starts, _log_sums(transitions))  # [U, B, C]
    total = ops.logsumexp(alphas[-1] + ends, axis=-1)  # [B]
    return ops.where(lengths > 0, _score(emissions, labels, lengths, transitions, starts, ends) - total, 0.0)


def best_path(emissions: Any, lengths: Any, transitions: Any, starts: Any, ends: Any) -> Any:
    """Returns the most probable row of labels, found by Viterbi's algorithm: int32 [B, U]; at padding the last label.

    No backpointers are kept: on the way back, the label before is the one whose best score so far, with the transition to
    the label behind it, is highest.
    """
    best = _forward(
        emissions, lengths, starts, lambda before: ops.max(before[:, :, None] + transitions, axis=1)
    )  # [U, B, C]
    into = ops.transpose(transitions)  # [to, from]

    def back(label, unit):
        is_last = (unit >= lengths - 1)[:, None]  # [B, 1]
        scores = best[unit] + ops.where(is_last, ends[None], ops.take(into, label, axis=0))  # [B, C]
        label = ops.cast(ops.argmax(scores, axis=-1), "int32")
        return label, label

    labels = _scan(back, ops.zeros_like(lengths, dtype="int32"), best, reverse=True)  # [U, B]
    return ops.transpose(labels)


def marginals(emissions: Any, lengths: Any, transitions: Any, starts: Any, ends: Any) -> Any:
    """Returns the probability of each label at each unit, over all rows of labels: [B, U, C], by the forward-backward
    algorithm; at padding that of the last unit's."""
    alphas = _forward(emissions, lengths, starts, _log_sums(transitions))  # [U, B, C]
    log_sums = _log_sums(ops.transpose(transitions))
    by_unit = ops.transpose(emissions, [1, 0, 2])  # [U, B, C]
    longest = ops.shape(by_unit)[0]

    def back(beta, unit):
        is_last = (unit >= lengths - 1)[:, None]
        behind = by_unit[ops.minimum(unit + 1, longest - 1)] + beta  # [B, C]
        beta = ops.where(is_last, ends[None], log_sums(behind))
        return beta, beta

    betas = _scan(back, ops.zeros_like(by_unit[0]), by_unit, reverse=True)  # [U, B, C]
    return ops.transpose(ops.softmax(alphas + betas, axis=-1), [1, 0, 2])


def _log_sums(transitions: Any) -> Callable[[Any], Any]:
    """Returns a function: scores [B, C] -> for each label behind, the logarithm of the sum over the labels before it: [B, C].

    A product of matrices: C * C exponentials in all, not at each unit of each row.
    """
    highest = ops.stop_gradient(ops.max(transitions, axis=0))  # [C]
    weights = ops.exp(transitions - highest)  # [C, C]

    def log_sums(scores):
        most = ops.stop_gradient(ops.max(scores, axis=-1, keepdims=True))  # [B, 1]
        return ops.log(ops.maximum(ops.matmul(ops.exp(scores - most), weights), TINY)) + most + highest

    return log_sums


def _forward(emissions: Any, lengths: Any, starts: Any, over: Callable[[Any], Any]) -> Any:
    """Returns, for each unit and label, what `over` makes of the scores of all rows of labels that lead there: [U, B, C].

    Args:
        emissions, lengths, starts: See above.
        over: Scores [B, C] of the labels before -> of the labels behind, [B, C], transitions included.
    """
    by_unit = ops.transpose(emissions, [1, 0, 2])  # [U, B, C]

    def step(before, unit):
        scores = over(before) + by_unit[unit]  # [B, C]
        scores = ops.where(unit == 0, starts[None] + by_unit[0], scores)
        scores = ops.where((unit < lengths)[:, None], scores, before)  # behind its end a row stays as it is
        return scores, scores

    return _scan(step, ops.zeros_like(by_unit[0]), by_unit)


def _scan(step, first, by_unit, reverse=False):
    """Returns what `step` gives, (carried, unit) -> (carried, what is kept of it), for each unit: [U, ...] as `first`."""
    units = ops.shape(by_unit)[0]
    _, kept = ops.scan(step, first, ops.arange(units, dtype="int32"), reverse=reverse)
    return ops.reshape(kept, [units, *ops.shape(first)])


def _score(emissions, labels, lengths, transitions, starts, ends):
    """Returns the score of rows of labels [B]; a row without units has any."""
    longest = ops.shape(emissions)[1]
    is_unit = ops.cast(ops.arange(longest) < lengths[:, None], emissions.dtype)  # [B, U]
    of_labels = ops.take_along_axis(emissions, labels[:, :, None], axis=2)[:, :, 0]  # [B, U]
    of_pairs = ops.take(ops.reshape(transitions, [-1]), labels[:, :-1] * transitions.shape[0] + labels[:, 1:])
    last = ops.take_along_axis(labels, ops.maximum(lengths - 1, 0)[:, None], axis=1)[:, 0]  # [B]
    score = ops.sum(of_labels * is_unit, axis=1) + ops.sum(of_pairs * is_unit[:, 1:], axis=1)
    return score + ops.take(starts, labels[:, 0]) + ops.take(ends, last)
