"""Intervals and orderings for leaderboards.

A claim about an *algorithm* is about its next training run, so the unit is the training seed: a seed's score is its
mean over the evaluation episodes, and n is the number of seeds. Measured coverage of nominal 95 % intervals over seeds:
Student t .95 at 3, 5 and 10 seeds; percentile bootstrap .75 at 3, .84 at 5, .91 at 10. So t is what tables use, and the
bootstrap serves only the statistics that t cannot (interquartile mean, profiles), labelled. With one seed all that can
be said is how well its mean return is known, over episodes; such an interval says so in its `method`.

All intervals are conditional on the one draw of the dataset. Legend: (S, K) = seeds, tasks.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

Verdict = Literal[">", "<", "tied", "undecided"]


class Interval(NamedTuple):
    """A confidence interval; `method` says from what it comes, for the reader of a table.

    `low` and `high` are floats, or arrays where the statistic is one (a profile).
    """

    low: Any
    high: Any
    confidence: float
    method: str


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean, or a difference of means, with what Student's t needs.

    Attributes:
        value: In units of the return.
        standard_error: Of `value`.
        degrees: Degrees of freedom; not whole for Welch's difference.
        method: Such as "Welch t over 5 and 5 training seeds".
    """

    value: float
    standard_error: float
    degrees: float
    method: str

    def interval(self, confidence: float = 0.95) -> Interval:
        half = float(stats.t.ppf((1 + confidence) / 2, self.degrees)) * self.standard_error
        return Interval(self.value - half, self.value + half, confidence, self.method)

    @property
    def p_value(self) -> float:
        """Two-sided, of the hypothesis that the true value is 0."""
        if self.standard_error == 0:
            return 1.0 if self.value == 0 else 0.0
        return float(2 * stats.t.sf(abs(self.value) / self.standard_error, self.degrees))


def seed_mean(scores: ArrayLike) -> Estimate:
    """Student t over training seeds; `scores` is one mean return a seed.

    For an agent against a fixed player (random, the optimum), which has no training seeds, give it the differences of
    each seed's mean return from the player's on the same episodes.

    Raises:
        ValueError: fewer than 2 seeds.
    """
    return _mean(scores, "training seeds")


def seed_difference(a: ArrayLike, b: ArrayLike) -> Estimate:
    """Welch t of mean(a) - mean(b), one score a training seed; the two may differ in spread and number of seeds.

    Raises:
        ValueError: fewer than 2 seeds on a side.
    """
    A, B = _scores(a), _scores(b)
    va, vb = A.var(ddof=1) / len(A), B.var(ddof=1) / len(B)
    degrees = len(A) + len(B) - 2.0
    if va + vb > 0:
        degrees = (va + vb) ** 2 / (va**2 / (len(A) - 1) + vb**2 / (len(B) - 1))
    method = f"Welch t over {len(A)} and {len(B)} training seeds"
    return Estimate(float(A.mean() - B.mean()), math.sqrt(va + vb), float(degrees), method)


def episode_mean(returns: ArrayLike) -> Estimate:
    """Student t over the episodes of one run: how well this one model's mean return is known, nothing about seeds."""
    return _mean(returns, "episodes of one run, not over training seeds")


def episode_difference(a: ArrayLike, b: ArrayLike) -> Estimate:
    """Paired t of mean(a - b), the returns of two policies on the same episodes; nothing about training seeds.

    Raises:
        ValueError: other lengths, or fewer than 2 episodes.
    """
    A, B = np.asarray(a, float), np.asarray(b, float)
    if A.shape != B.shape:
        raise ValueError(f"expected returns on the same episodes, got {A.shape} and {B.shape}")
    return _mean(A - B, "episodes of one run each (paired), not over training seeds")


def holm(p_values: ArrayLike) -> np.ndarray:
    """Adjusts the p-values of one table by Holm's method: reject where the adjusted value is below the level."""
    p = np.asarray(p_values, float)
    order = np.argsort(p, kind="stable")
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)), 1.0)
    return adjusted


def verdicts(differences: Sequence[Estimate], *, margin: float, confidence: float = 0.95) -> list[Verdict]:
    """Orders both sides of each difference of one table.

    `>` and `<`: the difference is not 0 at this confidence, after Holm's adjustment within the table. Else `tied`: the
    difference's own interval lies inside (-margin, margin). Else `undecided`: more seeds are needed.

    Args:
        differences: Of one table, all that claims are made about.
        margin: A return that makes no difference, named before looking.
    """
    if margin < 0:
        raise ValueError(f"expected a margin of at least 0, in units of the return; got {margin}")
    adjusted = holm([difference.p_value for difference in differences])
    return [_verdict(*pair, margin, confidence) for pair in zip(differences, adjusted, strict=True)]


def _verdict(difference: Estimate, p_value: float, margin: float, confidence: float) -> Verdict:
    if p_value < 1 - confidence:
        return ">" if difference.value > 0 else "<"
    low, high, *_ = difference.interval(confidence)
    return "tied" if -margin < low and high < margin else "undecided"


def normalized(scores: ArrayLike, *, random: ArrayLike, best: ArrayLike) -> np.ndarray:
    """(score - random) / (best - random); with scores (S, K), the references are (K,)."""
    worst = np.asarray(random, float)
    return (np.asarray(scores, float) - worst) / (np.asarray(best, float) - worst)


def interquartile_mean(scores: ArrayLike) -> float:
    """Mean of the middle half of all scores, of any shape; floor(n / 4) are cut at each end."""
    return float(stats.trim_mean(np.ravel(scores), 0.25))


def performance_profile(scores: ArrayLike, thresholds: ArrayLike) -> np.ndarray:
    """(len(thresholds),) share of the scores, of any shape, that lie above each threshold."""
    return np.mean(np.ravel(scores)[:, None] > np.asarray(thresholds, float)[None, :], axis=0)


def probability_of_improvement(a: ArrayLike, b: ArrayLike) -> float:
    """Chance that a run of the first beats a run of the second, ties counting half (Mann-Whitney U / nm)."""
    A, B = np.ravel(a)[:, None], np.ravel(b)[None, :]
    return float(np.mean((A > B) + 0.5 * (A == B)))


def bootstrap_interval(
    scores: ArrayLike,
    statistic: Callable[[np.ndarray], Any] = interquartile_mean,
    *,
    seed: int = 0,
    resamples: int = 2000,
    confidence: float = 0.95,
) -> Interval:
    """Percentile bootstrap of a statistic of (S, K) scores; seeds are drawn anew within each task.

    Below 10 seeds it is too narrow (see the module's coverages), and its `method` says so.

    Raises:
        ValueError: `scores` is not (S, K) with at least 2 seeds.
    """
    table = np.asarray(scores, float)
    if table.ndim != 2 or len(table) < 2:
        raise ValueError(f"expected scores of shape (seeds, tasks) with at least 2 seeds, got {table.shape}")
    rng = np.random.Generator(np.random.PCG64(seed))
    draws = rng.integers(len(table), size=(resamples, *table.shape))
    values = [statistic(np.take_along_axis(table, rows, axis=0)) for rows in draws]
    low, high = np.quantile(values, [(1 - confidence) / 2, (1 + confidence) / 2], axis=0)
    method = f"bootstrap over {len(table)} training seeds"
    return Interval(low, high, confidence, method + (", too narrow below 10" if len(table) < 10 else ""))


def _mean(values: ArrayLike, unit: str) -> Estimate:
    x = _scores(values)
    return Estimate(float(x.mean()), float(stats.sem(x)), len(x) - 1.0, f"Student t over {len(x)} {unit}")


def _scores(values: ArrayLike) -> np.ndarray:
    x = np.asarray(values, float)
    if x.ndim != 1 or len(x) < 2:
        raise ValueError(f"an interval needs a flat sequence of at least 2 numbers, got shape {x.shape}")
    return x
