"""Intervals of scores by the bootstrap: examples are drawn with replacement, as many as there are, and scored again.

An example is drawn as a whole, a sentence with all its words, a question with all its answers: words of a sentence are not
independent of each other. Reference: Efron and Tibshirani 1993, An Introduction to the Bootstrap, chapter 13 (percentiles);
Koehn 2004, https://aclanthology.org/W04-3250 (two systems, the same draws).

Glossary of shapes: N examples, K statistics of an example, D draws.
"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from trainer.reports.outcomes import Scores

DRAWS = 2000
LEVEL = 0.95
CHUNK = 1_000_000  # numbers drawn at once


def intervals(
    statistics: np.ndarray, scores: Callable[[np.ndarray], Scores], *, seed: int, draws: int = DRAWS
) -> dict[str, dict[str, float]]:
    """Returns {name: {value, low, high}}: each score, and the interval that holds `LEVEL` of the draws.

    Args:
        statistics: float [N, K].
        scores: Sums [..., K] -> {name: score [...]}.
        seed: Of the draws.
        draws: How many.
    """
    values = scores(statistics.sum(axis=0))
    drawn = scores(sums(statistics, seed=seed, draws=draws))
    return {name: _interval(values[name], drawn[name]) for name in values}


def differences(
    first: tuple[np.ndarray, Callable[[np.ndarray], Scores]],
    second: tuple[np.ndarray, Callable[[np.ndarray], Scores]],
    *,
    seed: int,
    draws: int = DRAWS,
) -> dict[str, dict[str, float]]:
    """Returns {name: {value, low, high, other_sign}} of the scores that two runs have: the first's less the second's.

    Both are scored on the same draws. `other_sign` is the share of draws in which the difference has the other sign, or is 0.

    Args:
        first, second: (statistics float [N, K], scores) of each run, of the same examples.
        seed, draws: As for `intervals`.
    """
    columns = first[0].shape[1]
    drawn = sums(np.concatenate([first[0], second[0]], axis=1), seed=seed, draws=draws)
    totals = [scores(statistics.sum(axis=0)) for statistics, scores in (first, second)]
    of_draws = [first[1](drawn[:, :columns]), second[1](drawn[:, columns:])]
    result = {}
    for name in totals[0]:
        if name in totals[1]:
            value = float(totals[0][name] - totals[1][name])
            difference = of_draws[0][name] - of_draws[1][name]
            other = float(np.mean(difference * np.sign(value) <= 0))
            result[name] = _interval(value, difference) | {"other_sign": round(other, 6)}
    return result


def sums(statistics: np.ndarray, *, seed: int, draws: int) -> np.ndarray:
    """Returns the sums of the statistics of each draw, float [D, K]."""
    return np.concatenate([counts @ statistics for counts in _drawn(len(statistics), seed, draws)])


def _drawn(examples: int, seed: int, draws: int) -> Iterator[np.ndarray]:
    """Yields how often each example was drawn, float [some draws, N]."""
    random = np.random.default_rng(seed)
    chunk = max(CHUNK // examples, 1)
    for first in range(0, draws, chunk):
        number = min(chunk, draws - first)
        places = random.integers(examples, size=(number, examples)) + examples * np.arange(number)[:, None]
        counts = np.bincount(places.ravel(), minlength=number * examples)
        yield counts.reshape(number, examples).astype(float)


def _interval(value: Any, drawn: np.ndarray) -> dict[str, float]:
    low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return {name: round(float(number), 6) for name, number in (("value", value), ("low", low), ("high", high))}
