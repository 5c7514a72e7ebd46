"""`curves.png`: how loss and learning rate went over the steps of a training run."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from shared_utils.file_utils import atomic_binary_writer

Point = tuple[float, float]

_LOSS, _EVAL_LOSS, _RATE, _GREY = "#2563a8", "#c2571a", "#3f7d4e", "#8a8f98"
_LOG_AXIS_RATIO = 20.0  # below it a linear axis shows the fall as well and is easier to read
_MOST_MARKERS = 30


def write_curves(path: Path, rows: Sequence[dict[str, Any]], title: str, loss_unit: str = "nats per token") -> None:
    """Draw the rows of `metrics.jsonl` into a PNG of 1400 x 1050 pixels, in one move.

    Args:
        path: where the PNG goes.
        rows: dicts with `step` and any of `loss`, `eval_loss` and `learning_rate`; what is missing,
            null or not finite is left out.
        title: one line above the curves.
        loss_unit: what the loss is counted in.
    """
    # Figures are made without pyplot: no window system, no global state, no memory that stays.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 5.25), dpi=200, layout="constrained")
    FigureCanvasAgg(figure)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    # A dollar sign would start a formula, which a run's name is not.
    upper.set_title(title.replace("$", r"\$"), loc="left", fontsize=11, fontweight="bold")
    _draw_losses(upper, points(rows, "loss"), points(rows, "eval_loss"))
    upper.set_ylabel(f"loss ({loss_unit})", fontsize=9)
    _draw(lower, points(rows, "learning_rate"), _RATE, "learning rate")
    lower.set_ylabel("learning rate", fontsize=9)
    lower.set_ylim(bottom=0)
    lower.set_xlabel("optimizer step", fontsize=9)
    steps = [row["step"] for row in rows if _is_number(row.get("step"))]
    lower.set_xlim(0, max([*steps, 2]) * 1.02)
    make_quiet(upper, most_ticks=6)
    make_quiet(lower, most_ticks=3)
    with atomic_binary_writer(path) as file:
        figure.savefig(file, format="png", metadata={"Software": None})


def points(rows: Sequence[dict[str, Any]], name: str) -> list[Point]:
    """(step, value) of every row where both are finite numbers, in the order of the steps."""
    usable = [row for row in rows if _is_number(row.get("step")) and _is_number(row.get(name))]
    return sorted((float(row["step"]), float(row[name])) for row in usable)


def helps_as_log(values: Sequence[float]) -> bool:
    """Whether a logarithmic axis shows these values better: all above zero, and far apart."""
    return bool(values) and min(values) > 0 and max(values) / min(values) > _LOG_AXIS_RATIO


def _draw(axes: Any, line: Sequence[Point], colour: str, label: str, *, marked: bool = False) -> None:
    if not line:
        return
    has_markers = len(line) == 1 or (marked and len(line) <= _MOST_MARKERS)
    axes.plot(
        [step for step, _ in line],
        [value for _, value in line],
        color=colour,
        linewidth=1.6,
        marker="o" if has_markers else None,
        markersize=4,
        label=label,
    )


def _draw_losses(axes: Any, losses: Sequence[Point], eval_losses: Sequence[Point]) -> None:
    _draw(axes, losses, _LOSS, "training loss")
    _draw(axes, eval_losses, _EVAL_LOSS, "held-out loss", marked=True)
    if len(eval_losses) > 1:
        step, value = min(eval_losses, key=lambda point: point[1])
        ring = {"marker": "o", "markersize": 9, "markerfacecolor": "none", "markeredgewidth": 1.4}
        axes.plot(
            [step],
            [value],
            color=_EVAL_LOSS,
            linestyle="none",
            label=f"best {value:.3g} at step {step:.0f}",
            **ring,
        )
    _choose_scale(axes, [value for _, value in (*losses, *eval_losses)])
    if losses or eval_losses:
        axes.legend(frameon=False, fontsize=9, loc="best")
    else:
        axes.text(0.5, 0.5, "no losses were recorded", transform=axes.transAxes, ha="center", color=_GREY)


def _choose_scale(axes: Any, values: Sequence[float]) -> None:
    if helps_as_log(values):
        from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0), numticks=8))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.yaxis.set_minor_locator(NullLocator())
    elif values and min(values) >= 0:
        axes.set_ylim(bottom=0, top=max(values) * 1.08 or 1)


def make_quiet(axes: Any, most_ticks: int) -> None:
    """Few ticks, a faint grid, no box around the curves."""
    from matplotlib.ticker import MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(nbins=7, integer=True, steps=[1, 2, 5, 10]))
    if axes.get_yscale() == "linear":
        axes.yaxis.set_major_locator(MaxNLocator(nbins=most_ticks, steps=[1, 2, 5, 10]))
        axes.ticklabel_format(axis="y", style="sci", scilimits=(-3, 4), useMathText=True)
    axes.grid(True, color=_GREY, alpha=0.25, linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(_GREY)
    axes.tick_params(colors="#4a4f57", labelsize=9)


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
