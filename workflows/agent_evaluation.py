"""How good a saved agent is, with an interval."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from shared_utils.bug_report import package_versions

PACKAGES = ("gymnasium", "torch", "numpy")
CONFIDENCE = 0.95
RESAMPLES = 2000


def return_interval(returns: Sequence[float]) -> tuple[float, float]:
    """Bootstrap interval of the mean return (percentiles of resampled means)."""
    values = np.asarray(returns, np.float64)
    random = np.random.default_rng(0)
    means = values[random.integers(len(values), size=(RESAMPLES, len(values)))].mean(1)
    low, high = np.quantile(means, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(low), float(high)


def evaluation_record(model: str, environment: str, measured: Any) -> dict[str, object]:
    """An evaluation as `evaluation.json` holds it."""
    low, high = return_interval(measured.returns)
    count = len(measured.returns)
    shared = {"confidence": CONFIDENCE, "n": count, "signature": "bootstrap of the mean, 2000 resamples"}
    length_low, length_high = return_interval(measured.lengths)
    return {
        "model": model,
        "data": environment,
        "n": count,
        "metrics": {
            "mean_return": {"value": measured.mean, "low": low, "high": high, "unit": "return", **shared},
            "mean_length": {
                "value": float(np.mean(measured.lengths)),
                "low": length_low,
                "high": length_high,
                "unit": "steps",
                **shared,
            },
        },
        "std_return": measured.deviation,
        "returns": list(measured.returns),
        "versions": package_versions(PACKAGES),
    }
