"""What players of games are measured by: shares and means with intervals, and differences of independent games.

Two players' games are not pairs: after the first moves that differ they are different games, whatever their seeds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import NormalDist

import numpy as np

from evaluation.significance import Interval, bootstrap_interval, wilson_bounds

POWER = 0.8  # the usual chance with which a detectable difference is to be seen (Cohen 1988, section 2.4)


@dataclass(frozen=True)
class Detectable:
    """The smallest true differences that as many games show in four of five experiments.

    `mean_score` is None where neither player's scores scatter, so that nothing is known about it.
    """

    win_rate: float
    mean_score: float | None


def share_interval(successes: int, n: int, confidence: float = 0.95) -> Interval:
    """A share with the score interval of Wilson (1927)."""
    low, high = wilson_bounds(successes, n, confidence)
    return Interval(successes / n, low, high, confidence, n)


def share_difference(a: int, n_a: int, b: int, n_b: int, confidence: float = 0.95) -> Interval:
    """The share a / n_a minus the share b / n_b of independent trials.

    From the Wilson bounds of both (Newcombe 1998, "Interval estimation for the difference between independent
    proportions", method 10).
    """
    share_a, share_b = a / n_a, b / n_b
    low_a, high_a = wilson_bounds(a, n_a, confidence)
    low_b, high_b = wilson_bounds(b, n_b, confidence)
    value = share_a - share_b
    low = value - sqrt((share_a - low_a) ** 2 + (high_b - share_b) ** 2)
    high = value + sqrt((high_a - share_a) ** 2 + (share_b - low_b) ** 2)
    return Interval(value, low, high, confidence, n_a + n_b)


def mean_difference(
    a: Sequence[float], b: Sequence[float], confidence: float = 0.95, resamples: int = 10_000, seed: int = 42
) -> Interval:
    """The mean of `a` minus the mean of `b`, of independent samples, each resampled by itself.

    A single value says nothing about the spread: the bounds are then infinite.
    """
    value = float(np.mean(a) - np.mean(b))
    if min(len(a), len(b)) == 1:
        return Interval(value, -np.inf, np.inf, confidence, len(a) + len(b))
    rows_a, rows_b = (_resampled_means(values, resamples, seed + index) for index, values in enumerate((a, b)))
    tail = (1 - confidence) / 2
    low, high = np.quantile(rows_a - rows_b, [tail, 1 - tail], method="inverted_cdf")
    return Interval(value, float(low), float(high), confidence, len(a) + len(b))


def mean_interval(
    values: Sequence[float], confidence: float = 0.95, resamples: int = 10_000, seed: int = 42
) -> Interval:
    """A mean with its percentile bootstrap interval."""
    return bootstrap_interval(values, "mean", confidence, resamples, seed)


def detectable_differences(a: Sequence[float], b: Sequence[float], confidence: float = 0.95) -> Detectable:
    """What these many games of two players could have shown.

    Normal approximation: (z of the confidence + z of the power) times the standard error of the difference. For win
    rates the error is taken at one half, where it is largest.

    Args:
        a, b: the scores of the games of either player.
    """
    normal = NormalDist()
    reach = normal.inv_cdf(0.5 + confidence / 2) + normal.inv_cdf(POWER)
    error = sqrt(_variance(a) / len(a) + _variance(b) / len(b))
    return Detectable(min(1.0, reach * sqrt(0.25 / len(a) + 0.25 / len(b))), reach * error or None)


def _resampled_means(
    values: Sequence[float], resamples: int, seed: int
) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    numbers = np.asarray(values, np.float64)
    generator = np.random.default_rng(seed)
    return np.array([numbers[generator.integers(0, numbers.size, numbers.size)].mean() for _ in range(resamples)])


def _variance(values: Sequence[float]) -> float:
    return float(np.var(values, ddof=1)) if len(values) > 1 else 0.0
