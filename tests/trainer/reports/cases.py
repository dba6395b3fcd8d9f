"""Labels that tests of reports share; what scikit-learn 1.9.1 says of them is written in the tests."""

import numpy as np

from trainer.reports.outcomes import Classes, Outcomes, Wrong, ratio

NAMES = ["a", "b", "c", "d", "e"]
GOLD = list("aacbaaaabaababbdabbaadaacbababaabcababba")
PREDICTED = list("aeebaaaaebeebebaabbbaaaaacabcbaabcbbabba")  # never d, which is there; e, which is not


def labelled(golds=GOLD, predicted=PREDICTED, names=NAMES):
    """Outcomes of things with one label each; the i-th is i + 1 long."""
    right = np.array([a == b for a, b in zip(golds, predicted, strict=True)], float)
    return Outcomes(
        unit="examples",
        statistics=np.stack([np.ones(len(golds)), right], axis=1),
        scores=lambda sums: {"accuracy": ratio(sums[..., 1], sums[..., 0])},
        shown=("accuracy",),
        lengths={"characters": np.arange(len(golds)) + 1},
        classes={"classes": Classes.of_labels(names, golds, predicted)},
        wrong=lambda: (Wrong(0.5 + i % 3 / 10, {"place": i}) for i in np.flatnonzero(right == 0).tolist()),
    )
