"""Which tokens of a sequence are hidden, and what stands in their place. Imports no framework.

Reference: Devlin et al. 2018, section 3.1; `create_masked_lm_predictions` of google-research/bert. TF Text's
`mask_language_model` draws from a generator whose state is lost when a run is stopped; here the draws of a sequence are a pure
function of the generator that is given.

Glossary of shapes: P pieces of a sequence.
"""

from dataclasses import dataclass

import numpy as np

NOTHING = -1  # the target of a place that is not predicted


@dataclass(frozen=True)
class Masking:
    """How sequences are masked.

    Args:
        mask: Id of [MASK].
        size: Ids that may stand in the place of another: 0 to `size` - 1, as in the reference special tokens too.
        share: Of the pieces that are predicted, special tokens counted; one at least, if a group is as small.
        most: Predicted pieces of a sequence at most.
        hidden, random: Shares of the predicted pieces that become [MASK], and another; the rest stay as they are.
    """

    mask: int
    size: int
    share: float = 0.15
    most: int = 20
    hidden: float = 0.8
    random: float = 0.1

    def __call__(self, ids: np.ndarray, groups: np.ndarray, draw: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Masks a sequence.

        Args:
            ids: int [P].
            groups: int [P]: the number of the group that each stands in, whose pieces are predicted all or none; another one
                for each of those that follow each other; 0 for what is never predicted.
            draw: Decides.

        Returns:
            (the ids that are read [P], the targets [P], `NOTHING` where none is predicted).
        """
        targets = np.full(len(ids), NOTHING, np.int32)
        chosen = self._chosen(groups, len(ids), draw)
        targets[chosen] = ids[chosen]
        kind = draw.random(len(chosen))
        read = ids.copy()
        read[chosen[kind < self.hidden]] = self.mask
        others = chosen[(kind >= self.hidden) & (kind < self.hidden + self.random)]
        read[others] = draw.integers(self.size, size=len(others))
        return read, targets

    def _chosen(self, groups, length, draw):
        """Returns the places that are predicted: groups in random order, those left out that would be too many."""
        wanted = min(self.most, max(1, round(length * self.share)))
        starts, ends = spans(groups)
        places: list[int] = []
        for i in draw.permutation(len(starts)):
            if len(places) + ends[i] - starts[i] <= wanted:
                places += range(starts[i], ends[i])
            if len(places) == wanted:
                break
        return np.array(places, np.int64)


def spans(groups: np.ndarray) -> tuple[list[int], list[int]]:
    """Returns where groups, which are told apart by their numbers, start and end; 0 is none.

    Example:
        >>> spans(np.array([0, 1, 1, 2, 0, 3]))
        ([1, 3, 5], [3, 4, 6])
    """
    borders = np.flatnonzero(np.diff(groups, prepend=0, append=0))
    real = groups[borders[:-1]] > 0
    return borders[:-1][real].tolist(), borders[1:][real].tolist()
