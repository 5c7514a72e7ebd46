"""Intervals: known values, edge cases, and whether they hold the truth as often as they claim."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest, bootstrap

from evaluation.significance import (
    bootstrap_interval,
    bootstrap_perplexity,
    paired_difference,
    paired_perplexity_difference,
    wilson_bounds,
)


def test_the_interval_of_a_mean_agrees_with_scipy():
    """A second implementation of the percentile bootstrap; bounds differ only by its random draws."""
    values = np.random.default_rng(1).gamma(2.0, size=80)
    expected = bootstrap((values,), np.mean, method="percentile", n_resamples=20_000, rng=2).confidence_interval
    interval = bootstrap_interval(values, resamples=20_000)
    assert interval.value == pytest.approx(values.mean())
    assert interval.low == pytest.approx(expected.low, abs=0.02)
    assert interval.high == pytest.approx(expected.high, abs=0.02)


def test_the_median_of_an_odd_number_of_values_is_the_middle_one():
    interval = bootstrap_interval([1.0, 2.0, 30.0], "median")
    assert (interval.value, interval.low, interval.high) == (2.0, 1.0, 30.0)


def test_the_same_seed_gives_the_same_interval_and_another_one_does_not():
    values = list(np.random.default_rng(0).normal(size=30))
    assert bootstrap_interval(values, seed=1) == bootstrap_interval(values, seed=1)
    assert bootstrap_interval(values, seed=1) != bootstrap_interval(values, seed=2)


def test_many_examples_are_resampled_in_parts_with_the_same_meaning():
    """Above four million draws the work is cut into parts; the standard error tells whether it is right."""
    values = np.random.default_rng(3).normal(size=5_000)
    interval = bootstrap_interval(values, resamples=1_000)
    assert interval.high - interval.low == pytest.approx(2 * 1.96 / math.sqrt(5_000), rel=0.1)


@pytest.mark.parametrize(("n", "successes"), [(20, 0), (20, 20), (1, 1), (7, 3)])
def test_wilson_bounds_agree_with_scipy(n, successes):
    expected = binomtest(successes, n).proportion_ci(0.95, method="wilson")
    assert wilson_bounds(successes, n) == pytest.approx((expected.low, expected.high), abs=1e-12)


@pytest.mark.parametrize("outcome", [0.0, 1.0])
def test_outcomes_that_are_all_alike_are_not_told_as_certain(outcome):
    """20 of 20 right does not prove that the 21st will be; by hand: z^2 / (n + z^2) = 0.161."""
    interval = bootstrap_interval([outcome] * 20)
    assert interval.value == outcome
    assert interval.high - interval.low == pytest.approx(0.161, abs=0.001)


def test_one_value_says_nothing_about_the_spread():
    interval = bootstrap_interval([3.7])
    assert (interval.value, interval.low, interval.high, interval.n) == (3.7, -math.inf, math.inf, 1)
    assert not interval.excludes_zero


def test_equal_values_that_are_no_outcomes_keep_the_point_that_the_docstring_promises():
    interval = bootstrap_interval([2.5] * 9)
    assert (interval.low, interval.value, interval.high) == (2.5, 2.5, 2.5)


def test_no_values_are_an_error():
    with pytest.raises(ValueError, match="at least one"):
        bootstrap_interval([])


def test_perplexity_weighs_tokens_and_not_examples():
    """By hand: (1 * 2 + 9 * 0) nats over 10 tokens."""
    interval = bootstrap_perplexity([2.0, 0.0], [1, 9])
    assert interval.value == pytest.approx(math.exp(0.2))
    assert interval.low == pytest.approx(1.0)
    assert interval.high == pytest.approx(math.exp(2.0))


def test_a_huge_perplexity_is_infinite_and_raises_nothing():
    assert bootstrap_perplexity([1e6, 1e6], [1, 1]).value == math.inf


def test_pairs_cancel_what_makes_an_example_hard():
    """Both models vary widely over the examples; the second is better by the same 0.1 everywhere."""
    base = np.random.default_rng(0).normal(size=50) * 10
    interval = paired_difference(base + 0.1, base)
    assert interval.value == pytest.approx(0.1)
    assert interval.excludes_zero
    unpaired = bootstrap_interval(base)
    assert interval.high - interval.low < 1e-6 < unpaired.high - unpaired.low


def test_a_difference_in_every_pair_is_sure_but_not_certain():
    """0 of 20 against 20 of 20; Newcombe by hand: 1 - 0.161 * sqrt(2)."""
    interval = paired_difference([1.0] * 20, [0.0] * 20)
    assert (interval.value, interval.high) == (1.0, 1.0)
    assert interval.low == pytest.approx(1 - 0.161125 * math.sqrt(2), abs=1e-4)
    mirrored = paired_difference([0.0] * 20, [1.0] * 20)
    assert (mirrored.low, mirrored.high) == (-interval.high, -interval.low)


def test_no_difference_in_any_pair_does_not_prove_that_there_is_none():
    interval = paired_difference([0.0, 1.0] * 10, [0.0, 1.0] * 10)
    assert interval.low == pytest.approx(-0.161, abs=0.001)
    assert interval.high == pytest.approx(0.161, abs=0.001)


def test_a_lower_perplexity_is_a_negative_difference():
    nlls = np.random.default_rng(0).gamma(5.0, size=40)
    interval = paired_perplexity_difference(nlls, [5] * 40, nlls * 2, [5] * 40)
    assert interval.value == pytest.approx(math.exp(nlls.mean() / 5) - math.exp(nlls.mean() * 2 / 5))
    assert interval.high < 0


def test_values_of_different_examples_cannot_be_paired():
    with pytest.raises(ValueError, match="same examples"):
        paired_difference([1.0, 2.0], [1.0])


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=30))
def test_the_value_lies_inside_its_interval_for_medians_of_any_values(values):
    interval = bootstrap_interval(values, "median", resamples=500)
    assert interval.low <= interval.value <= interval.high


@pytest.mark.parametrize("share", [0.2, 0.5, 0.8])
def test_intervals_of_a_share_cover_the_truth_about_as_often_as_they_say(share):
    """600 samples of 60 outcomes: 95 % intervals hold the true share in 92 to 98 % of them."""
    generator = np.random.default_rng(int(share * 10))
    samples = (generator.random((600, 60)) < share).astype(float)
    intervals = [bootstrap_interval(sample, resamples=400, seed=index) for index, sample in enumerate(samples)]
    covered = np.mean([interval.low <= share <= interval.high for interval in intervals])
    assert 0.92 <= covered <= 0.98


def test_intervals_of_perplexity_cover_the_truth_about_as_often_as_they_say():
    """Token losses of mean 1, between 5 and 30 tokens an example; the true perplexity is e."""
    generator = np.random.default_rng(5)
    covered = 0
    for seed in range(400):
        tokens = generator.integers(5, 31, size=60)
        nlls = [generator.exponential(size=count).sum() for count in tokens]
        interval = bootstrap_perplexity(nlls, tokens, resamples=400, seed=seed)
        covered += interval.low <= math.e <= interval.high
    assert 0.90 <= covered / 400 <= 0.98


def test_differences_that_are_none_are_seldom_claimed():
    """Two models of equal strength, 400 comparisons: about 5 % may look different by chance."""
    generator = np.random.default_rng(7)
    claimed = 0
    for seed in range(400):
        outcomes = (generator.random((2, 60)) < 0.4).astype(float)
        claimed += paired_difference(*outcomes, resamples=400, seed=seed).excludes_zero
    assert claimed / 400 <= 0.08
