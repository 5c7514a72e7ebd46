"""What a model can do, measured, with the uncertainty of each figure."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from evaluation.suite import EvaluationResult as EvaluationResult
    from evaluation.suite import evaluate_model as evaluate_model

_MODULES = {"EvaluationResult": "evaluation.suite", "evaluate_model": "evaluation.suite"}
__all__ = ["EvaluationResult", "evaluate_model"]


def __getattr__(name: str) -> object:
    """Load a public name on first use, so that the package itself costs nothing."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)
