"""How often a model prefers the chosen answer, before and after training, and how sure that is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from evaluation.significance import wilson_bounds

CONFIDENCE = 0.95


def preference_figures(base: Mapping[str, float], tuned: Mapping[str, float]) -> dict[str, object]:
    """Summary keys of a training on pairs, from the objective's figures before and after; nulls without them.

    `preference_accuracy` is the share of held-out pairs in which the model finds the chosen answer likelier per
    token than the rejected one, `base_preference_accuracy` that of the base; `reward_accuracy` is the share in which
    the chosen answer has gained more on the base. Each has its 95 % interval (Wilson 1927).
    """
    return {
        "base_preference_accuracy": _share(base, "preference_accuracy"),
        "preference_accuracy": _share(tuned, "preference_accuracy"),
        "reward_accuracy": _share(tuned, "rewards/accuracies"),
        "reward_margin": tuned.get("eval_rewards/margins"),
    }


def preferences_in_words(summary: Mapping[str, Any]) -> list[str]:
    """Lines for the end of a run; none where no pairs were held out."""
    if not summary.get("preference_accuracy"):
        return []
    before, after, gained = (
        _in_words(summary[name]) for name in ("base_preference_accuracy", "preference_accuracy", "reward_accuracy")
    )
    return [
        f"of {summary['preference_accuracy']['n']} held-out pairs the chosen answer gained more: {gained}",
        f"it is the likelier one per token: base {before}, tuned {after}",
    ]


def _in_words(share: Mapping[str, Any]) -> str:
    """For example `71% (62% to 79%)`."""
    return f"{share['value']:.0%} ({share['low']:.0%} to {share['high']:.0%})"


def _share(figures: Mapping[str, float], name: str) -> dict[str, object] | None:
    if not figures:
        return None
    value, pairs = figures[f"eval_{name}"], int(figures["eval_pairs"])
    low, high = wilson_bounds(round(value * pairs), pairs, CONFIDENCE)
    return {"value": value, "low": low, "high": high, "confidence": CONFIDENCE, "n": pairs}
