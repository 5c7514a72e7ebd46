"""Requests that need several packages; what commands call."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from workflows.extraction import parallel_document_processing as parallel_document_processing

_MODULES = {"parallel_document_processing": "workflows.extraction"}
__all__ = ["parallel_document_processing"]


def __getattr__(name: str) -> object:
    """Load a public name on first use, so that the package itself costs nothing."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)
