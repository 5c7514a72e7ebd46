"""Jupyter notebooks: the text of their Markdown cells and their code, in order."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from document_processing.parsers.base import DocumentParser, read_bytes
from document_processing.parsers.markdown_parser import MarkdownParser
from document_processing.parsers.sections import fenced
from document_processing.text_decoding import decode_text
from shared_utils.errors import DocumentProcessingError
from shared_utils.records import Document

_PLACE_KEYS = ("heading_path", "level", "links")  # line numbers of the cells put together mean nothing


class NotebookParser(DocumentParser):
    """Reads a notebook as one document a section, code between fences; outputs are left out."""

    def iter_parse(self, path: str | Path) -> Iterator[Document]:
        """The same as `parse`, as an iterator."""
        decoded = decode_text(read_bytes(path))
        try:
            notebook = json.loads(decoded.text)
        except (ValueError, RecursionError) as error:
            raise DocumentProcessingError(
                f"the notebook is damaged: {str(error)[:200]}", hint="open it in Jupyter and save it again"
            ) from error
        cells = _cells(notebook)
        if cells is None:
            raise DocumentProcessingError("it is not a notebook: it has no cells", hint="give it the suffix .json")
        language = _language(notebook)
        parts = [_cell(cell, language) for cell in cells if isinstance(cell, dict)]
        text = "\n\n".join(part for part in parts if part.strip())
        metadata: dict[str, Any] = {"cells": len(cells)}
        if language:
            metadata["language"] = language
        for document in MarkdownParser(extract_frontmatter=False).documents_of(text, path):
            found = document["metadata"]
            place = {key: found[key] for key in _PLACE_KEYS if key in found}
            yield Document(
                source=document["source"],
                type="notebook",
                title=document["title"],
                content=document["content"],
                metadata={**metadata, **place},
            )


def _cells(notebook: Any) -> list[Any] | None:
    """The cells of format 4, or of all worksheets of format 3."""
    if not isinstance(notebook, dict):
        return None
    if isinstance(notebook.get("cells"), list):
        return list(notebook["cells"])
    sheets = notebook.get("worksheets")
    if not isinstance(sheets, list):
        return None
    return [cell for sheet in sheets if isinstance(sheet, dict) for cell in sheet.get("cells") or ()]


def _language(notebook: dict[str, Any]) -> str:
    metadata = notebook.get("metadata")
    for section, key in (("language_info", "name"), ("kernelspec", "language")):
        found = metadata.get(section) if isinstance(metadata, dict) else None
        if isinstance(found, dict) and isinstance(found.get(key), str) and found[key].isprintable():
            return str(found[key])[:40]
    return ""


def _cell(cell: dict[str, Any], language: str) -> str:
    source = cell.get("source", cell.get("input", ""))
    text = "".join(str(line) for line in source) if isinstance(source, list) else str(source or "")
    kind = cell.get("cell_type")
    if kind == "code":
        return fenced(text, language) if text.strip() else ""
    if kind == "heading":  # of format 3
        level = cell.get("level")
        return f"{'#' * (level if isinstance(level, int) and 1 <= level <= 6 else 1)} {text.strip()}"
    return text
