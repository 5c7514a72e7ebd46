"""Requests that need several packages; what commands call."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from workflows.dataset_directories import DatasetDirectoryManager as DatasetDirectoryManager
    from workflows.extraction import parallel_document_processing as parallel_document_processing
    from workflows.extraction import process_single_file as process_single_file
    from workflows.extraction import safe_parse_document as safe_parse_document
    from workflows.multi_dataset import MultiDatasetConfig as MultiDatasetConfig
    from workflows.multi_dataset import MultiDatasetPipeline as MultiDatasetPipeline
    from workflows.multi_dataset import MultiDatasetResults as MultiDatasetResults

_MODULES = {
    "DatasetDirectoryManager": "workflows.dataset_directories",
    "MultiDatasetConfig": "workflows.multi_dataset",
    "MultiDatasetPipeline": "workflows.multi_dataset",
    "MultiDatasetResults": "workflows.multi_dataset",
    "parallel_document_processing": "workflows.extraction",
    "process_single_file": "workflows.extraction",
    "safe_parse_document": "workflows.extraction",
}
__all__ = [
    "DatasetDirectoryManager",
    "MultiDatasetConfig",
    "MultiDatasetPipeline",
    "MultiDatasetResults",
    "parallel_document_processing",
    "process_single_file",
    "safe_parse_document",
]


def __getattr__(name: str) -> object:
    """Load a public name on first use, so that the package itself costs nothing."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)
