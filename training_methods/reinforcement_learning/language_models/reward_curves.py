"""`curves.png` of a training by rewards: rewards, right and illegal answers, distance from the start, length, loss."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from shared_utils.curves import Point, make_quiet, points
from shared_utils.file_utils import atomic_binary_writer

_FIRST, _SECOND, _GREY = "#2563a8", "#c2571a", "#8a8f98"
_OTHERS = (
    ("kl", "KL from start"),
    ("completion_length", "answer tokens"),
    ("loss", "loss"),
)
_FROM_ZERO = ("kl", "completion_length")
_SMOOTHING = 5  # steps in the running mean


def write_reward_curves(path: Path, rows: Sequence[dict[str, Any]], title: str) -> None:
    """Draw the rows of `metrics.jsonl` into a PNG 1400 pixels wide, in one move.

    Args:
        path: where the PNG goes.
        rows: dicts with `step` and what was measured there.
        title: one line above the curves.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    shares = [name for name in ("right_answers", "illegal_answers") if points(rows, name)]
    others = [(name, label) for name, label in _OTHERS if points(rows, name)]
    heights = [3, *([1.6] if shares else []), *[1.2] * len(others)]
    figure = Figure(figsize=(7, 1.25 * sum(heights) * 0.85 + 0.6), dpi=200, layout="constrained")
    FigureCanvasAgg(figure)
    panels = list(figure.subplots(len(heights), 1, sharex=True, height_ratios=heights, squeeze=False)[:, 0])
    panels[0].set_title(title.replace("$", r"\$"), loc="left", fontsize=11, fontweight="bold")
    _draw_rewards(panels[0], rows)
    if shares:
        _draw_shares(panels[1], rows, shares)
    for panel, (name, label) in zip(panels[len(heights) - len(others) :], others, strict=True):
        _plot(panel, points(rows, name), _FIRST, "")
        panel.set_ylabel(label, fontsize=9)
        if name in _FROM_ZERO:
            panel.set_ylim(bottom=0, top=max(value for _, value in points(rows, name)) * 1.15 or 1)
        make_quiet(panel, most_ticks=3)
    panels[-1].set_xlabel("optimizer step", fontsize=9)
    steps = [row["step"] for row in rows if isinstance(row.get("step"), int)]
    panels[-1].set_xlim(0, max([*steps, 2]) * 1.02)
    with atomic_binary_writer(path) as file:
        figure.savefig(file, format="png", metadata={"Software": None})


def _draw_rewards(axes: Any, rows: Sequence[dict[str, Any]]) -> None:
    rewards, spread = points(rows, "reward"), dict(points(rows, "reward_std"))
    if rewards:
        steps = [step for step, _ in rewards]
        low = [value - spread.get(step, 0.0) for step, value in rewards]
        high = [value + spread.get(step, 0.0) for step, value in rewards]
        axes.fill_between(steps, low, high, color=_FIRST, alpha=0.12, linewidth=0, label="standard deviation")
        _plot(axes, rewards, _GREY, "mean of a step")
        if len(rewards) > _SMOOTHING:
            _plot(axes, _running_mean(rewards), _FIRST, f"running mean of {_SMOOTHING} steps", width=1.8)
    axes.set_ylabel("reward of sampled answers", fontsize=9)
    make_quiet(axes, most_ticks=6)
    if rewards:
        axes.legend(frameon=False, fontsize=8, loc="best")


def _draw_shares(axes: Any, rows: Sequence[dict[str, Any]], names: Sequence[str]) -> None:
    for name, colour in zip(names, (_FIRST, _SECOND), strict=False):
        line = [(step, 100 * value) for step, value in points(rows, name)]
        _plot(axes, _running_mean(line) if len(line) > _SMOOTHING else line, colour, name.replace("_", " "), width=1.6)
    axes.set_ylabel("% of answers", fontsize=9)
    axes.set_ylim(0, 100)
    make_quiet(axes, most_ticks=3)
    axes.legend(frameon=False, fontsize=8, loc="best")


def _plot(axes: Any, line: Sequence[Point], colour: str, label: str, width: float = 1.2) -> None:
    marker = "o" if len(line) == 1 else None
    axes.plot(
        [x for x, _ in line],
        [y for _, y in line],
        color=colour,
        linewidth=width,
        label=label,
        marker=marker,
        markersize=4,
    )


def _running_mean(line: Sequence[Point]) -> list[Point]:
    means = []
    for end in range(1, len(line) + 1):
        window = line[max(0, end - _SMOOTHING) : end]
        means.append((line[end - 1][0], sum(value for _, value in window) / len(window)))
    return means
