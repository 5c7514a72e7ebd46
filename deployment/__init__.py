"""From a trained model to one that answers."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from deployment.chat_interface import ChatInterface as ChatInterface
    from deployment.model_registry import ModelRegistry as ModelRegistry

_MODULES = {"ChatInterface": "deployment.chat_interface", "ModelRegistry": "deployment.model_registry"}
__all__ = ["ChatInterface", "ModelRegistry"]


def __getattr__(name: str) -> object:
    """Load a public name on first use, so that the package itself costs nothing."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)
