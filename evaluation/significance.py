"""How sure a measured figure is: bootstrap intervals for one model and for the difference of two.

The percentile bootstrap (Efron 1979; Efron and Tibshirani 1993, chapter 13) draws the examples again
with replacement, computes the figure each time, and reports the middle part of what came out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float64]
Indices: TypeAlias = NDArray[np.intp]
Statistic = Literal["mean", "median"]

_DRAWS_AT_ONCE = 4_000_000  # indices held in memory at a time: 32 MB


@dataclass(frozen=True)
class Interval:
    """A figure with the interval that holds the true one with probability `confidence`.

    Where `n` examples say nothing about the spread (a single one), the bounds are infinite.
    """

    value: float
    low: float
    high: float
    confidence: float
    n: int

    @property
    def excludes_zero(self) -> bool:
        """Whether chance alone hardly explains a figure as far from zero as this one."""
        return self.low > 0 or self.high < 0


def bootstrap_interval(
    values: Sequence[float] | Floats,
    statistic: Statistic = "mean",
    confidence: float = 0.95,
    resamples: int = 10_000,
    seed: int = 42,
) -> Interval:
    """The percentile bootstrap interval of the mean or median of independent values.

    When all values are equal, every resample gives that value again and the percentile bootstrap
    answers with a point. For outcomes that are all 0 or all 1 (20 of 20 right) that is false
    certainty: the Wilson interval of the share is given instead, whatever the statistic. One single
    other value has infinite bounds. Several equal other values keep the point: they show no spread.
    """
    numbers = _numbers(values)
    if _is_all_zero_or_all_one(numbers):
        low, high = wilson_bounds(int(numbers.sum()), numbers.size, confidence)
        return Interval(float(numbers[0]), low, high, confidence, numbers.size)
    function = np.mean if statistic == "mean" else np.median

    def of_resamples(indices: Indices) -> Floats:
        return np.asarray(function(numbers[indices], axis=1), dtype=np.float64)

    return _percentile_interval(float(function(numbers)), of_resamples, numbers.size, confidence, resamples, seed)


def bootstrap_perplexity(
    nlls: Sequence[float] | Floats,
    tokens: Sequence[int] | Floats,
    confidence: float = 0.95,
    resamples: int = 10_000,
    seed: int = 42,
) -> Interval:
    """The interval of exp(total negative log-likelihood / total tokens), examples drawn whole.

    Args:
        nlls: summed negative log-likelihood of each example, in nats.
        tokens: how many tokens each sum holds; all above zero.
    """
    sums, counts = _pair(nlls, tokens)
    return _percentile_interval(
        float(_perplexities(sums, counts, np.arange(sums.size)[None, :])[0]),
        lambda indices: _perplexities(sums, counts, indices),
        sums.size,
        confidence,
        resamples,
        seed,
    )


def paired_difference(
    a: Sequence[float] | Floats,
    b: Sequence[float] | Floats,
    confidence: float = 0.95,
    resamples: int = 10_000,
    seed: int = 42,
) -> Interval:
    """The mean of `a` minus the mean of `b`, measured on the same examples.

    The bootstrap draws pairs, so what makes an example hard for both cancels out (Koehn 2004).
    When 0/1 outcomes differ by the same amount in every pair, the bootstrap would give a point. The
    interval then comes from the Wilson bounds of the two shares, combined as by Newcombe (1998,
    "Improved confidence intervals for the difference between binomial proportions based on paired
    data", method 10).
    """
    first, second = _pair(a, b)
    differences = first - second
    value = float(differences.mean())
    if _is_binary(first) and _is_binary(second) and np.all(differences == differences[0]):
        # With u the upper bound of "0 of n", Newcombe's interval reaches sqrt(u^2 + u^2) from -1 and 1, and
        # u from 0 when all outcomes are alike; for pairs that agree on some of each, u is on the safe side.
        reach = wilson_bounds(0, differences.size, confidence)[1] * float(np.sqrt(1 + abs(value)))
        return Interval(value, max(-1.0, value - reach), min(1.0, value + reach), confidence, differences.size)

    def of_resamples(indices: Indices) -> Floats:
        return np.asarray(differences[indices].mean(axis=1), dtype=np.float64)

    return _percentile_interval(value, of_resamples, differences.size, confidence, resamples, seed)


def paired_perplexity_difference(
    nlls_a: Sequence[float] | Floats,
    tokens_a: Sequence[int] | Floats,
    nlls_b: Sequence[float] | Floats,
    tokens_b: Sequence[int] | Floats,
    confidence: float = 0.95,
    resamples: int = 10_000,
    seed: int = 42,
) -> Interval:
    """The perplexity of `a` minus that of `b`; below zero `a` is better.

    Both are computed on the same resampled examples. Tokens are counted per model, because two
    tokenizers may cut the same answer differently.
    """
    sums_a, counts_a = _pair(nlls_a, tokens_a)
    sums_b, counts_b = _pair(nlls_b, tokens_b)
    _pair(sums_a, sums_b)

    def of_resamples(indices: Indices) -> Floats:
        return _perplexities(sums_a, counts_a, indices) - _perplexities(sums_b, counts_b, indices)

    value = float(of_resamples(np.arange(sums_a.size)[None, :])[0])
    return _percentile_interval(value, of_resamples, sums_a.size, confidence, resamples, seed)


def wilson_bounds(successes: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """The score interval of a share (Wilson 1927); inside [0, 1] and never a point for a finite `n`."""
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    share = successes / n
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * float(np.sqrt(share * (1 - share) / n + z * z / (4 * n * n)))
    low = 0.0 if successes == 0 else centre - half
    return low, 1.0 if successes == n else centre + half


def _percentile_interval(
    value: float,
    of_resamples: Callable[[Indices], Floats],
    n: int,
    confidence: float,
    resamples: int,
    seed: int,
) -> Interval:
    """The percentile interval of a figure; `of_resamples` maps indices (resamples, n) to one figure each."""
    if n == 1:
        return Interval(value, -np.inf, np.inf, confidence, n)
    generator = np.random.default_rng(seed)
    rows = max(1, _DRAWS_AT_ONCE // n)
    figures = np.concatenate(
        [
            of_resamples(generator.integers(0, n, size=(min(rows, resamples - start), n)))
            for start in range(0, resamples, rows)
        ]
    )
    tail = (1 - confidence) / 2
    # Without interpolation, which would turn two infinite figures into NaN.
    low, high = np.quantile(figures, [tail, 1 - tail], method="inverted_cdf")
    return Interval(value, float(low), float(high), confidence, n)


def _perplexities(nlls: Floats, tokens: Floats, indices: Indices) -> Floats:
    with np.errstate(over="ignore"):  # a perplexity beyond 1e308 is told as infinite
        figures: Floats = np.exp(nlls[indices].sum(axis=1) / tokens[indices].sum(axis=1))
    return figures


def _numbers(values: Sequence[float] | Sequence[int] | Floats) -> Floats:
    numbers = np.asarray(values, dtype=np.float64)
    if numbers.size == 0:
        raise ValueError("an interval needs at least one value")
    return numbers


def _pair(
    a: Sequence[float] | Sequence[int] | Floats, b: Sequence[float] | Sequence[int] | Floats
) -> tuple[Floats, Floats]:
    first, second = _numbers(a), _numbers(b)
    if first.size != second.size:
        raise ValueError(f"values must belong to the same examples, found {first.size} and {second.size}")
    return first, second


def _is_binary(numbers: Floats) -> bool:
    return bool(np.isin(numbers, (0.0, 1.0)).all())


def _is_all_zero_or_all_one(numbers: Floats) -> bool:
    return bool(np.all(numbers == numbers[0])) and float(numbers[0]) in (0.0, 1.0)
