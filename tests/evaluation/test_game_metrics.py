"""Figures of games with their uncertainty."""

from __future__ import annotations

import math

import numpy as np
import pytest

from evaluation.game_metrics import detectable_differences, mean_difference, share_difference, share_interval


def test_a_share_has_the_published_wilson_interval():
    """Newcombe (1998), table I, method 3: 81 of 263."""
    interval = share_interval(81, 263)
    assert (interval.low, interval.high) == pytest.approx((0.2553, 0.3662), abs=5e-5)


@pytest.mark.parametrize(
    ("a", "n_a", "b", "n_b", "low", "high"),
    [(56, 70, 48, 80, 0.0524, 0.3339), (9, 10, 3, 10, 0.1705, 0.8090), (10, 10, 0, 20, 0.6791, 1.0)],
)
def test_a_difference_of_shares_has_the_published_interval(a, n_a, b, n_b, low, high):
    """Newcombe (1998), "Interval estimation for the difference between independent proportions", table II, method 10."""
    interval = share_difference(a, n_a, b, n_b)
    assert (interval.low, interval.high) == pytest.approx((low, high), abs=5e-5)


def test_a_difference_of_means_is_close_to_the_normal_interval_where_that_holds():
    draw = np.random.default_rng(1)
    a, b = draw.normal(3, 2, 400), draw.normal(1, 1, 900)
    interval = mean_difference(a, b)
    error = math.sqrt(a.var(ddof=1) / 400 + b.var(ddof=1) / 900)
    assert interval.value == pytest.approx(a.mean() - b.mean())
    assert interval.low == pytest.approx(interval.value - 1.96 * error, abs=0.02)
    assert interval.high == pytest.approx(interval.value + 1.96 * error, abs=0.02)


def test_games_of_equal_seeds_are_not_taken_for_pairs():
    """Paired, the difference of these would be certain; as games of two players it is not."""
    a = list(range(100))
    assert not mean_difference(a, [score + 1 for score in a]).excludes_zero


def test_what_games_could_have_shown_by_hand():
    """(1.95996 + 0.84162) times the standard error."""
    found = detectable_differences([0.0, 2.0] * 50, [0.0, 2.0] * 50)
    assert found.win_rate == pytest.approx(2.80158 * math.sqrt(0.005), abs=1e-5)
    assert found.mean_score == pytest.approx(2.80158 * math.sqrt(2 * (100 / 99) / 100), abs=1e-5)


def test_of_scores_that_do_not_scatter_nothing_is_claimed():
    assert detectable_differences([3.0] * 10, [3.0] * 10).mean_score is None


def test_one_game_shows_no_difference():
    """Resampled, a single value gives a point; that would be false certainty."""
    interval = mean_difference([10.0], [12.0, 3.0])
    assert (interval.low, interval.high) == (-math.inf, math.inf)
    assert not interval.excludes_zero
