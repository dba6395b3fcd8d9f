"""Intervals are those of an independent bootstrap; draws are the seed's.

The ends of an interval of 2,000 draws vary from seed to seed: a percentile p of draws of density f has the standard error
sqrt(p (1 - p) / 2000) / f; at 2.5 % of a normal distribution that is 0.0597 standard errors of the score. Four of those, 0.24
standard errors of the score, is the tolerance here; the 200,000 draws of the reference add a hundredth of that variance.
"""

import numpy as np
import pytest

from tests.trainer.reports.cases import labelled
from trainer.reports import bootstrap, report
from trainer.reports.outcomes import ratio

LOSSES = np.round(np.random.default_rng(5).gamma(2.0, 0.3, 200), 3)


def mean(statistics):
    return np.stack([np.ones(len(statistics)), statistics], axis=1), lambda sums: {
        "mean": ratio(sums[..., 1], sums[..., 0])
    }


@pytest.mark.parametrize("seed", range(5))
def test_equal_scipy(seed):
    """scipy.stats.bootstrap((LOSSES,), np.mean, method="percentile", n_resamples=200000, rng=0), scipy 1.17.1: mean 0.60579,
    interval 0.55038 to 0.66359, standard error 0.02883."""
    interval = bootstrap.intervals(*mean(LOSSES), seed=seed)["mean"]
    assert interval["value"] == 0.60579
    assert interval["low"] == pytest.approx(0.55038, abs=0.24 * 0.02883)
    assert interval["high"] == pytest.approx(0.66359, abs=0.24 * 0.02883)


@pytest.mark.parametrize("seed", range(5))
def test_a_difference_equals_scipy(seed):
    """Two runs on the same 200 rows: scipy.stats.bootstrap((a, b), difference of means, paired=True, method="percentile",
    n_resamples=200000, rng=0): interval -0.02 to 0.07, standard error 0.02284, 16.11 % of the draws 0 or below. The tolerance
    of the ends is a row, 0.005; that of the share four of its standard errors, sqrt(0.16 * 0.84 / 2000)."""
    random = np.random.default_rng(6)
    first = (random.random(200) < 0.8).astype(float)
    second = np.where(random.random(200) < 0.8, first, random.random(200) < 0.6).astype(float)
    difference = bootstrap.differences(mean(first), mean(second), seed=seed)["mean"]
    assert difference["value"] == 0.025
    assert difference["low"] == pytest.approx(-0.02, abs=0.0051)
    assert difference["high"] == pytest.approx(0.07, abs=0.0051)
    assert difference["other_sign"] == pytest.approx(0.1611, abs=0.033)
    back = bootstrap.differences(mean(second), mean(first), seed=seed)["mean"]
    assert (back["value"], back["other_sign"]) == (-difference["value"], difference["other_sign"])
    alone = bootstrap.intervals(*mean(first), seed=seed)["mean"]
    assert difference["high"] - difference["low"] < alone["high"] - alone["low"]  # the draws are the same


def test_a_score_that_is_no_mean_equals_scikit_learn():
    """Macro F1: percentiles 2.5 and 97.5 of f1_score(GOLD[i], PREDICTED[i], average="macro", zero_division=0) of 20,000 draws i
    by default_rng(0), scikit-learn 1.9.1: 0.2422 and 0.5167. Its density is far from normal, 40 rows: 0.02."""
    interval = report.report(labelled())["intervals"]["macro_f1"]
    assert interval["value"] == 0.356892
    assert (interval["low"], interval["high"]) == pytest.approx((0.2422, 0.5167), abs=0.02)


def test_draws_are_the_seeds(monkeypatch):
    intervals = [bootstrap.intervals(*mean(LOSSES), seed=seed) for seed in (0, 0, 1)]
    assert intervals[0] == intervals[1] != intervals[2]
    monkeypatch.setattr(bootstrap, "CHUNK", 1000)  # several pieces; every draw has as many examples as there are
    assert {*bootstrap.sums(np.ones([200, 1]), seed=0, draws=13)[:, 0]} == {200.0}
    assert bootstrap.sums(np.ones([200, 1]), seed=0, draws=13).shape == (13, 1)


def test_no_difference_is_no_sign():
    assert bootstrap.differences(mean(LOSSES), mean(LOSSES), seed=0)["mean"] == {
        "value": 0.0, "low": 0.0, "high": 0.0, "other_sign": 1.0,
    }  # fmt: skip
