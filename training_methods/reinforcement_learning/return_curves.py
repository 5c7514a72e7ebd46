"""`curves.png` of an agent: returns while training and when measured, losses, and what else tells how it learns."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from shared_utils.curves import make_quiet, points
from shared_utils.file_utils import atomic_binary_writer

Point = tuple[float, float]

_TRAINING, _MEASURED, _GREY = "#2563a8", "#c2571a", "#8a8f98"
_LOSSES = (("value_loss", "value loss"), ("policy_loss", "policy loss"), ("loss", "loss"))
_OTHERS = (("entropy", "entropy"), ("epsilon", "epsilon"))


def write_return_curves(path: Path, rows: Sequence[dict[str, Any]], title: str, threshold: float | None) -> None:
    """Draw the rows of `metrics.jsonl` into a PNG of 1400 x 1400 pixels, in one move.

    Args:
        path: where the PNG goes.
        rows: dicts with `step` and what was measured there.
        title: one line above the curves.
        threshold: return that counts as solved.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    losses = [(points(rows, name), label) for name, label in _LOSSES if points(rows, name)]
    others = [(points(rows, name), label) for name, label in _OTHERS if points(rows, name)]
    panels = [*losses, *others]
    figure = Figure(figsize=(7, 3.2 + 1.25 * len(panels)), dpi=200, layout="constrained")
    FigureCanvasAgg(figure)
    axes: Any = figure.subplots(
        1 + len(panels), 1, sharex=True, height_ratios=[3, *[1.2] * len(panels)], squeeze=False
    )[:, 0]
    axes[0].set_title(title.replace("$", r"\$"), loc="left", fontsize=11, fontweight="bold", pad=22)
    _draw_returns(axes[0], rows, threshold)
    for panel, (line, label) in zip(axes[1:], panels, strict=True):
        panel.plot([x for x, _ in line], [y for _, y in line], color=_TRAINING, linewidth=1.2)
        panel.set_ylabel(label, fontsize=9)
        make_quiet(panel, most_ticks=3)
    axes[-1].set_xlabel("environment steps", fontsize=9)
    steps = [row["step"] for row in rows if isinstance(row.get("step"), int)]
    axes[-1].set_xlim(0, max([*steps, 2]) * 1.02)
    with atomic_binary_writer(path) as file:
        figure.savefig(file, format="png", metadata={"Software": None})


def _draw_returns(axes: Any, rows: Sequence[dict[str, Any]], threshold: float | None) -> None:
    training = points(rows, "episode_return")
    measured = points(rows, "eval_mean_return")
    if training:
        axes.plot(*zip(*training, strict=True), color=_TRAINING, linewidth=1.2, alpha=0.8, label="while training")
    if measured:
        spread = dict(points(rows, "eval_std_return"))
        low = [value - spread.get(step, 0.0) for step, value in measured]
        high = [value + spread.get(step, 0.0) for step, value in measured]
        steps = [step for step, _ in measured]
        axes.fill_between(steps, low, high, color=_MEASURED, alpha=0.15, linewidth=0)
        axes.plot(
            *zip(*measured, strict=True),
            color=_MEASURED,
            linewidth=1.6,
            marker="o",
            markersize=4,
            label="measured, with the deviation of an episode",
        )
    if threshold is not None:
        axes.axhline(threshold, color=_GREY, linewidth=1, linestyle="--", label=f"solved at {threshold:g}")
    axes.set_ylabel("return", fontsize=9)
    make_quiet(axes, most_ticks=6)
    if training or measured:
        # Above the curves: returns leave no corner free for sure.
        axes.legend(frameon=False, fontsize=8, loc="lower left", bbox_to_anchor=(-0.01, 1.0), ncols=3)
