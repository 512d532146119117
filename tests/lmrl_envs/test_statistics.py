from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from lmrl_envs import statistics
from lmrl_envs.statistics import Estimate


def test_seed_mean_by_hand():
    estimate = statistics.seed_mean([1.0, 2.0, 3.0])
    # variance 1, standard error 1/sqrt(3), t(.975, 2) = 4.302653
    assert estimate.value == 2.0
    assert estimate.standard_error == pytest.approx(1 / math.sqrt(3))
    interval = estimate.interval()
    assert interval.low == pytest.approx(2 - 4.302653 / math.sqrt(3), abs=1e-6)
    assert interval.high == pytest.approx(2 + 4.302653 / math.sqrt(3), abs=1e-6)
    assert interval.confidence == 0.95
    assert interval.method == "Student t over 3 training seeds"
    # t = 2 sqrt(3) with 2 degrees: p = 1 - t / sqrt(t^2 + 2) = 1 - sqrt(12/14)
    assert estimate.p_value == pytest.approx(1 - math.sqrt(12 / 14))


def test_seed_difference_by_hand_and_scipy():
    a, b = [1.0, 2.0, 3.0], [0.0, 4.0]
    estimate = statistics.seed_difference(a, b)
    # variances of the means 1/3 and 8/2 = 4; degrees = (13/3)^2 / ((1/3)^2/2 + 4^2/1)
    assert estimate.value == 0.0
    assert estimate.standard_error == pytest.approx(math.sqrt(13 / 3))
    assert estimate.degrees == pytest.approx((13 / 3) ** 2 / (1 / 18 + 16))
    rng = np.random.default_rng(0)
    x, y = rng.normal(1, 1, 5), rng.normal(0, 3, 8)
    estimate, scipys = statistics.seed_difference(x, y), stats.ttest_ind(x, y, equal_var=False)
    assert estimate.p_value == pytest.approx(scipys.pvalue)
    assert estimate.interval(0.9)[:2] == pytest.approx(tuple(scipys.confidence_interval(0.9)))
    assert estimate.method == "Welch t over 5 and 8 training seeds"


def test_episode_difference_is_paired_and_says_that_it_is_not_over_seeds():
    rng = np.random.default_rng(1)
    shared = rng.normal(0, 5, 100)
    a, b = shared + rng.normal(0.5, 1, 100), shared + rng.normal(0, 1, 100)
    estimate, scipys = statistics.episode_difference(a, b), stats.ttest_rel(a, b)
    assert estimate.p_value == pytest.approx(scipys.pvalue)
    assert estimate.interval()[:2] == pytest.approx(tuple(scipys.confidence_interval()))
    assert "not over training seeds" in estimate.method
    assert "not over training seeds" in statistics.episode_mean(a).method
    assert estimate.standard_error < 0.3 * statistics.seed_difference(a, b).standard_error


def test_differences_without_spread():
    assert statistics.seed_difference([1.0, 1.0], [1.0, 1.0]).p_value == 1.0
    assert statistics.seed_difference([2.0, 2.0], [1.0, 1.0]).p_value == 0.0
    assert statistics.seed_difference([2.0, 2.0], [1.0, 1.0]).interval()[:2] == (1.0, 1.0)


@pytest.mark.parametrize("scores", [[], [1.0], [[1.0, 2.0]]])
def test_an_interval_needs_two_numbers(scores):
    with pytest.raises(ValueError, match="at least 2 numbers"):
        statistics.seed_mean(scores)


def test_paired_returns_must_be_of_the_same_episodes():
    with pytest.raises(ValueError, match="same episodes"):
        statistics.episode_difference([1.0, 2.0], [1.0, 2.0, 3.0])


def test_holm_by_hand():
    # sorted .01 .02 .03 .04, times 4 3 2 1 = .04 .06 .06 .04, made monotone
    np.testing.assert_allclose(statistics.holm([0.04, 0.01, 0.03, 0.02]), [0.06, 0.04, 0.06, 0.06])
    np.testing.assert_allclose(statistics.holm([0.5, 0.9]), [1.0, 1.0])
    assert statistics.holm([]).shape == (0,)


def difference(value: float, standard_error: float) -> Estimate:
    return Estimate(value, standard_error, degrees=1e9, method="by hand")  # normal: 1.96 standard errors


def test_verdicts():
    table = [difference(1.0, 0.1), difference(-1.0, 0.1), difference(0.01, 0.02), difference(0.05, 0.1)]
    assert statistics.verdicts(table, margin=0.1) == [">", "<", "tied", "undecided"]
    assert statistics.verdicts(table, margin=0.05)[2] == "tied"  # .01 + 1.96 * .02 = .0492
    assert statistics.verdicts(table, margin=0.049)[2] == "undecided"
    with pytest.raises(ValueError, match="margin"):
        statistics.verdicts(table, margin=-1)


def test_holm_withdraws_what_only_one_comparison_would_claim():
    borderline = difference(2.1, 1.0)  # p = .036
    assert statistics.verdicts([borderline], margin=0.1) == [">"]
    assert statistics.verdicts([borderline, difference(0.0, 1.0)], margin=0.1) == ["undecided", "undecided"]


def test_normalized():
    np.testing.assert_allclose(statistics.normalized([-6.0, -4.0, -2.0], random=-6, best=-2), [0, 0.5, 1])
    two_tasks = statistics.normalized([[-6.0, 0.0], [-2.0, 10.0]], random=[-6, 0], best=[-2, 20])
    np.testing.assert_allclose(two_tasks, [[0, 0], [1, 0.5]])


def test_interquartile_mean_by_hand():
    assert statistics.interquartile_mean([0, 1, 2, 3, 4, 5, 6, 100]) == 3.5  # of 2 3 4 5
    assert statistics.interquartile_mean([[100, 1], [2, 3], [4, -50]]) == 2.5  # 6 scores: one cut at each end
    assert statistics.interquartile_mean([1, 2, 9]) == 4.0  # too few to cut any


def test_performance_profile_by_hand():
    np.testing.assert_allclose(statistics.performance_profile([0, 0.5, 1, 1], [-1, 0, 0.5, 1]), [1, 0.75, 0.5, 0])


def test_probability_of_improvement_by_hand():
    assert statistics.probability_of_improvement([1, 2], [0, 2]) == (1 + 0 + 1 + 0.5) / 4
    a, b = np.arange(5) + 0.5, np.arange(7)
    assert statistics.probability_of_improvement(a, b) == stats.mannwhitneyu(a, b).statistic / 35


def test_bootstrap_is_seeded_labelled_and_stratified():
    scores = np.array([[0.0, 100.0], [1.0, 101.0], [2.0, 102.0]])
    interval = statistics.bootstrap_interval(scores, np.mean)
    assert interval == statistics.bootstrap_interval(scores, np.mean)
    assert interval.method == "bootstrap over 3 training seeds, too narrow below 10"
    # Were tasks mixed, the mean of six would run from near 0 to near 100.
    assert 50 <= interval.low < 51 < interval.high <= 52
    assert "narrow" not in statistics.bootstrap_interval(np.zeros((10, 1))).method
    profile = statistics.bootstrap_interval(scores, lambda s: statistics.performance_profile(s, [-1, 50, 200]))
    np.testing.assert_allclose([profile.low, profile.high], [[1, 0.5, 0], [1, 0.5, 0]])
    with pytest.raises(ValueError, match="at least 2 seeds"):
        statistics.bootstrap_interval([[1.0, 2.0]])


def test_coverage_of_nominal_95_percent_intervals():
    """The coverages that the module's docstring states, by simulation with a true mean of 0."""
    rng = np.random.default_rng(2)
    for seeds, expected in ((3, 0.75), (5, 0.84), (10, 0.91)):
        runs = rng.normal(size=(1000, seeds))
        t = [statistics.seed_mean(run).interval() for run in runs]
        assert np.mean([low < 0 < high for low, high, *_ in t]) == pytest.approx(0.95, abs=0.025)
        means = np.take_along_axis(runs[:, None], rng.integers(seeds, size=(1000, 400, seeds)), axis=2).mean(axis=2)
        low, high = np.quantile(means, [0.025, 0.975], axis=1)
        assert np.mean((low < 0) & (high > 0)) == pytest.approx(expected, abs=0.04)
