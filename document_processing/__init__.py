"""Documents in, chunks and instruction pairs out.

The names below load their module on first use, so that importing the package costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from document_processing.converters.lm_studio_converter import LMStudioConverter
    from document_processing.parsers.markdown_parser import MarkdownParser
    from document_processing.parsers.pdf_parser import PDFParser
    from document_processing.parsers.registry import parser_for
    from document_processing.parsers.text_parser import TextParser
    from document_processing.text_cleaning import sanitize_text_input

__all__ = [
    "LMStudioConverter",
    "MarkdownParser",
    "PDFParser",
    "TextParser",
    "parser_for",
    "sanitize_text_input",
]

_MODULE_BY_NAME = {
    "PDFParser": "document_processing.parsers.pdf_parser",
    "MarkdownParser": "document_processing.parsers.markdown_parser",
    "TextParser": "document_processing.parsers.text_parser",
    "LMStudioConverter": "document_processing.converters.lm_studio_converter",
    "parser_for": "document_processing.parsers.registry",
    "sanitize_text_input": "document_processing.text_cleaning",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULE_BY_NAME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_MODULE_BY_NAME[name]), name)
