"""Ticks are round, and odd data gives a chart or nothing, never an error."""

import pytest

from evaluation.charts import Line, Range, line_chart, nice_ticks, range_chart


@pytest.mark.parametrize(
    ("low", "high", "most", "expected"),
    [
        (0, 4.2, 5, [0, 1, 2, 3, 4]),
        (0, 300, 5, [0, 100, 200, 300]),
        (0, 0.002, 3, [0, 0.001, 0.002]),
        (-1, 1, 4, [-1, -0.5, 0, 0.5, 1]),
        (3, 3, 5, [3]),
    ],
)
def test_ticks_are_round_numbers_inside_the_range(low, high, most, expected):
    assert nice_ticks(low, high, most) == expected


def test_a_chart_holds_each_line_and_its_name():
    html = line_chart([Line("a", "loss", [(1, 2.0), (2, 1.0)]), Line("b", "rate", [(2, 1.5)])], "loss")
    assert html.count('class="line ') == 2
    assert "<i></i>a" in html


def test_lines_without_points_give_no_chart():
    assert line_chart([Line("a", "loss", [])], "loss") == ""


@pytest.mark.parametrize("points", [[(0, 0.0)], [(1, 5.0)], [(1, 2.0), (2, 2.0)], [(1, -3.0), (2, -1.0)]])
def test_single_equal_and_negative_values_can_be_drawn(points):
    html = line_chart([Line("a", "loss", points)], "loss")
    assert "nan" not in html
    assert "inf" not in html


def test_values_far_apart_get_a_logarithmic_axis():
    assert "logarithmic" in line_chart([Line("a", "loss", [(1, 100.0), (2, 0.1)])], "loss")


def test_a_long_run_is_thinned_and_keeps_its_last_point():
    html = line_chart([Line("a", "loss", [(step, 1.0 + step % 2) for step in range(50_000)])], "loss")
    assert len(html) < 20_000
    assert "100.00 " in html


def test_infinite_bounds_reach_to_the_edges():
    html = range_chart("t", [Range("base", "base", 2.0, float("-inf"), float("inf"))], str, is_share=False)
    assert 'style="left:0.00%;width:100.00%"' in html
