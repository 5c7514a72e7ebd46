"""Which parser reads which kind of file. A new kind of file is one new line here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol, cast

from shared_utils.errors import DataValidationError
from shared_utils.records import Document, DocumentType

PARSERS = {
    ".pdf": "document_processing.parsers.pdf_parser:PDFParser",
    ".md": "document_processing.parsers.markdown_parser:MarkdownParser",
    ".markdown": "document_processing.parsers.markdown_parser:MarkdownParser",
    ".txt": "document_processing.parsers.text_parser:TextParser",
    ".text": "document_processing.parsers.text_parser:TextParser",
}
_TYPE_BY_CLASS: dict[str, DocumentType] = {
    "PDFParser": "pdf",
    "MarkdownParser": "markdown",
    "TextParser": "text",
}


class Parser(Protocol):
    """Reads one kind of file."""

    def parse(self, path: str | Path) -> list[Document]:
        """All documents of the file."""

    def iter_parse(self, path: str | Path) -> Iterator[Document]:
        """The documents of the file, one after another."""


def document_type(path: str | Path) -> DocumentType | None:
    """`pdf`, `markdown` or `text`, told by the suffix; None for other files."""
    target = PARSERS.get(Path(path).suffix.casefold())
    return _TYPE_BY_CLASS[target.partition(":")[2]] if target else None


def parser_for(path: str | Path, options: Mapping[str, Mapping[str, Any]] | None = None) -> Parser:
    """The parser for a file, chosen by its suffix.

    Args:
        path: the file.
        options: keyword arguments of the parsers by document type, as in `{"pdf": {"extract_by_page": False}}`.

    Raises:
        DataValidationError: no parser reads this kind of file.
    """
    suffix = Path(path).suffix.casefold()
    kind = document_type(path)
    if kind is None:
        raise DataValidationError(
            f"{path}: files of type '{suffix or 'none'}' are not read",
            hint=f"known types: {', '.join(PARSERS)}",
        )
    module_name, _, class_name = PARSERS[suffix].partition(":")
    parser_class = getattr(import_module(module_name), class_name)
    return cast(Parser, parser_class(**(options or {}).get(kind, {})))
