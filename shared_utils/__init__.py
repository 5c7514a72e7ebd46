"""What every part uses and what knows no part: errors, files, records, models, the text around a prompt.

The names below load their module on first use, so that importing the package costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from shared_utils.path_utils import PathUtils as PathUtils
    from shared_utils.record_batches import DataLoaderFactory as DataLoaderFactory
    from shared_utils.record_batches import MemoryEfficientDataLoader as MemoryEfficientDataLoader
    from shared_utils.training_logging import TrainingLoggingUtils as TrainingLoggingUtils
    from shared_utils.training_utils import MetricsLogger as MetricsLogger
    from shared_utils.training_utils import OptimizedTrainer as OptimizedTrainer
    from shared_utils.training_utils import TrainingMetrics as TrainingMetrics

_MODULES = {
    "DataLoaderFactory": "shared_utils.record_batches",
    "MemoryEfficientDataLoader": "shared_utils.record_batches",
    "MetricsLogger": "shared_utils.training_utils",
    "OptimizedTrainer": "shared_utils.training_utils",
    "PathUtils": "shared_utils.path_utils",
    "TrainingLoggingUtils": "shared_utils.training_logging",
    "TrainingMetrics": "shared_utils.training_utils",
}
__all__ = [
    "DataLoaderFactory",
    "MemoryEfficientDataLoader",
    "MetricsLogger",
    "OptimizedTrainer",
    "PathUtils",
    "TrainingLoggingUtils",
    "TrainingMetrics",
]


def __getattr__(name: str) -> object:
    """Load a public name on first use, so that the package itself costs nothing."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)
