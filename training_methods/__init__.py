"""Training methods: fine-tuning of language models."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from training_methods.transfer_learning.models.lora_model import LoRAFineTuner as LoRAFineTuner

_MODULES = {"LoRAFineTuner": "training_methods.transfer_learning.models.lora_model"}
__all__ = ["LoRAFineTuner"]


def __getattr__(name: str) -> object:
    """Load a public name on first use, so that the package itself costs nothing."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)
