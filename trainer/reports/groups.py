"""Scores by length, and by what else examples have in common.

Glossary of shapes: N examples.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from trainer.reports.outcomes import Outcomes

SHARES = (
    0.25,
    0.5,
    0.75,
    0.95,
)  # of the examples, from the shortest on, at which a bucket ends: the last are the longest
MOST_GROUPS, FEWEST = 10, 5  # groups, and examples of a group, unless the groups are fewer than that
OTHERS = "(others)"


def by_length(outcomes: Outcomes, lengths: np.ndarray) -> list[dict[str, Any]]:
    """Returns [{from, to, examples, and the scores that are shown}], the shortest first.

    Args:
        outcomes: Of all examples.
        lengths: int [N].
    """
    ends = np.unique(np.quantile(lengths, [*SHARES, 1.0], method="inverted_cdf"))
    bucket = np.searchsorted(ends, lengths)
    chosen = [bucket == i for i in range(len(ends))]
    return [
        {"from": int(lengths[mask].min()), "to": int(lengths[mask].max())} | _scores(outcomes, mask) for mask in chosen
    ]


def by_group(outcomes: Outcomes, groups: Sequence[str]) -> list[dict[str, Any]]:
    """Returns [{group, examples, and the scores that are shown}], the most frequent first, the rest together, last.

    Args:
        outcomes: Of all examples.
        groups: Of each example.
    """
    counts = Counter(groups)
    most = counts.most_common(MOST_GROUPS)
    frequent = [name for name, count in most if count >= FEWEST or len(counts) < FEWEST]
    named = np.array([name if name in frequent else OTHERS for name in groups])
    return [{"group": name} | _scores(outcomes, named == name) for name in [*frequent, OTHERS] if (named == name).any()]


def _scores(outcomes, chosen):
    scores = outcomes.scores(outcomes.statistics[chosen].sum(axis=0))
    return {"examples": int(chosen.sum())} | {name: round(float(scores[name]), 6) for name in outcomes.shown}
