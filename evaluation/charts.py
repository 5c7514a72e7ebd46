"""Charts as HTML with inline SVG: sharp at every width, light and dark, without a script.

Lines stand in an SVG that is stretched to its box; words and numbers are HTML beside it, so that
they keep their size on a narrow screen.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

from shared_utils.curves import Point, helps_as_log

MOST_POINTS = 600  # of a line; more cannot be seen
MOST_MARKED_POINTS = 40


@dataclass(frozen=True)
class Line:
    """One line: its name, its CSS class (which gives the colour), and its points (step, value)."""

    name: str
    css_class: str
    points: Sequence[Point]


@dataclass(frozen=True)
class Range:
    """A figure between its bounds, with its name and the CSS class that gives the colour."""

    name: str
    css_class: str
    value: float
    low: float
    high: float


def line_chart(lines: Sequence[Line], label: str, *, small: bool = False) -> str:
    """A chart of the lines that have points, or nothing when none has.

    Args:
        lines: what to draw.
        label: what the values are, with their unit; also read out by screen readers.
        small: half as high, with fewer labels.
    """
    drawn = [Line(line.name, line.css_class, _thinned(line.points)) for line in lines if line.points]
    if not drawn:
        return ""
    values = [value for line in drawn for _, value in line.points]
    last_step = max(step for line in drawn for step, _ in line.points)
    axis = _Axis.around(values, most_ticks=3 if small else 5)
    y_ticks = "".join(
        f'<span class="tick" style="bottom:{axis.percent(tick):.2f}%">{_short(tick)}</span>' for tick in axis.ticks
    )
    grid = "".join(
        f'<path class="grid" d="M0 {y:.2f}H100"/>' for y in (100 - axis.percent(tick) for tick in axis.ticks)
    )
    steps = [step for step in nice_ticks(0, last_step, 5) if step == int(step)]
    x_ticks = "".join(
        f'<span class="tick" style="left:{_across(step, last_step):.2f}%">{_short(step)}</span>' for step in steps
    )
    legend = "".join(
        f'<span class="key {line.css_class}"><i></i>{escape(line.name)}</span>' for line in drawn if len(drawn) > 1
    )
    paths = "".join(_path(line, axis, last_step) for line in drawn)
    return (
        f'<figure class="chart{" small" if small else ""}"><figcaption>{escape(label)}'
        f'{", logarithmic" if axis.is_log else ""}<span class="legend">{legend}</span></figcaption>'
        f'<div class="plot"><div class="y-axis">{y_ticks}</div>'
        f'<svg viewBox="0 0 100 100" preserveAspectRatio="none" role="img" aria-label="{escape(label)}">'
        f'{grid}{paths}</svg><div class="x-axis">{x_ticks}</div></div></figure>'
    )


def range_chart(title: str, ranges: Sequence[Range], show: Callable[[float], str], *, is_share: bool) -> str:
    """Figures with their intervals below each other on one scale.

    Args:
        title: what the figures are.
        ranges: one line each.
        show: how a figure is written.
        is_share: the scale goes from 0 to 1; else from 0, or logarithmic where figures are far apart.
    """
    finite = [value for one in ranges for value in (one.low, one.value, one.high) if math.isfinite(value)]
    if not finite:
        return ""
    axis = _range_axis(finite, is_share)
    rows = []
    for one in ranges:
        left, middle, right = (_inside(axis, value) for value in (one.low, one.value, one.high))
        rows.append(
            f'<div class="range"><span class="name">{escape(one.name)}</span>'
            f'<span class="track {one.css_class}"><i style="left:{left:.2f}%;width:{right - left:.2f}%"></i>'
            f'<b style="left:{middle:.2f}%"></b></span><span class="number">{show(one.value)}</span></div>'
        )
    ends = f'<div class="ends"><span>{show(axis.low)}</span><span>{show(axis.high)}</span></div>'
    return f"<h3>{escape(title)}{', logarithmic' if axis.is_log else ''}</h3>{''.join(rows)}{ends}"


def nice_ticks(low: float, high: float, most: int) -> list[float]:
    """At most `most` + 1 round numbers from `low` to `high`: 1, 2 or 5 times a power of ten apart."""
    if not high > low:
        return [low]
    rough = (high - low) / most
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * (1 - 1e-9))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [float(f"{number * step:.12g}") for number in range(first, last + 1)]


@dataclass(frozen=True)
class _Axis:
    """The vertical axis: from `low` at the bottom to `high` at the top."""

    low: float
    high: float
    is_log: bool
    ticks: Sequence[float] = ()

    @classmethod
    def around(cls, values: Sequence[float], most_ticks: int) -> _Axis:
        if helps_as_log(values):
            low, high = min(values) * 0.9, max(values) * 1.1
            powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
            factors = (1, 2, 5) if len(powers) <= 3 else (1,)
            ticks = [factor * 10.0**power for power in powers for factor in factors]
            return cls(low, high, True, [tick for tick in ticks if low <= tick <= high])
        low = min(0.0, *values)
        high = max(values) + 0.06 * (max(values) - low) or 1.0
        return cls(low, high, False, nice_ticks(low, high, most_ticks))

    def percent(self, value: float) -> float:
        """Height of a value above the bottom."""
        if self.is_log:
            return 100 * math.log(value / self.low) / math.log(self.high / self.low)
        return 100 * (value - self.low) / (self.high - self.low)


def _range_axis(values: Sequence[float], is_share: bool) -> _Axis:
    if is_share:
        return _Axis(0.0, 1.0, is_log=False)
    if helps_as_log(values):
        return _Axis(min(values), max(values), is_log=True)
    return _Axis(min(0.0, *values), max(values) or 1.0, is_log=False)


def _inside(axis: _Axis, value: float) -> float:
    """Where a figure stands; infinite bounds end at the edge."""
    return axis.percent(min(max(value, axis.low), axis.high))


def _path(line: Line, axis: _Axis, last_step: float) -> str:
    spots = [(_across(step, last_step), 100 - axis.percent(value)) for step, value in line.points]
    drawn = f'<path class="line {line.css_class}" d="M{"L".join(f"{x:.2f} {y:.2f}" for x, y in spots)}"/>'
    if len(spots) > MOST_MARKED_POINTS:
        return drawn
    # A line of no length with round ends is a dot that the stretching leaves round.
    dots = "".join(f"M{x:.2f} {y:.2f}h0.001" for x, y in spots)
    return f'{drawn}<path class="dots {line.css_class}" d="{dots}"/>'


def _across(step: float, last_step: float) -> float:
    return 100 * step / last_step if last_step else 0.0


def _thinned(points: Sequence[Point]) -> Sequence[Point]:
    stride = math.ceil(len(points) / MOST_POINTS)
    return points if stride <= 1 else [*points[:-1:stride], points[-1]]


def _short(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
