"""Which parser reads which kind of file. A new kind of file is one new line here, and one file beside this."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple, Protocol, cast

from document_processing.parsers.source_languages import LANGUAGE_BY_SUFFIX
from document_processing.word_lists import word_set
from shared_utils.errors import DataValidationError
from shared_utils.records import Document, DocumentType


class Format(NamedTuple):
    """The type of the documents of a kind of file, and the class that reads it, loaded on first use."""

    type: DocumentType
    parser: str


_HERE = "document_processing.parsers"

PARSERS: dict[str, Format] = {
    ".pdf": Format("pdf", f"{_HERE}.pdf_parser:PDFParser"),
    ".md": Format("markdown", f"{_HERE}.markdown_parser:MarkdownParser"),
    ".markdown": Format("markdown", f"{_HERE}.markdown_parser:MarkdownParser"),
    ".mdx": Format("markdown", f"{_HERE}.markdown_parser:MarkdownParser"),
    ".qmd": Format("markdown", f"{_HERE}.markdown_parser:MarkdownParser"),
    ".rmd": Format("markdown", f"{_HERE}.markdown_parser:MarkdownParser"),
    ".txt": Format("text", f"{_HERE}.text_parser:TextParser"),
    ".text": Format("text", f"{_HERE}.text_parser:TextParser"),
    ".log": Format("text", f"{_HERE}.text_parser:TextParser"),
    ".rst": Format("rst", f"{_HERE}.rst_parser:RstParser"),
    ".html": Format("html", f"{_HERE}.html_parser:HTMLParser"),
    ".htm": Format("html", f"{_HERE}.html_parser:HTMLParser"),
    ".xhtml": Format("html", f"{_HERE}.html_parser:HTMLParser"),
    ".docx": Format("docx", f"{_HERE}.docx_parser:DocxParser"),
    ".odt": Format("odt", f"{_HERE}.odt_parser:OdtParser"),
    ".rtf": Format("rtf", f"{_HERE}.rtf_parser:RtfParser"),
    ".pptx": Format("pptx", f"{_HERE}.pptx_parser:PptxParser"),
    ".xlsx": Format("spreadsheet", f"{_HERE}.spreadsheet_parser:SpreadsheetParser"),
    ".csv": Format("spreadsheet", f"{_HERE}.spreadsheet_parser:DelimitedParser"),
    ".tsv": Format("spreadsheet", f"{_HERE}.spreadsheet_parser:DelimitedParser"),
    ".json": Format("json", f"{_HERE}.json_parser:JSONParser"),
    ".jsonl": Format("json", f"{_HERE}.json_parser:JSONParser"),
    ".ndjson": Format("json", f"{_HERE}.json_parser:JSONParser"),
    ".epub": Format("epub", f"{_HERE}.epub_parser:EpubParser"),
    ".eml": Format("email", f"{_HERE}.email_parser:EmailParser"),
    ".mbox": Format("email", f"{_HERE}.email_parser:MailboxParser"),
    ".ipynb": Format("notebook", f"{_HERE}.notebook_parser:NotebookParser"),
    **{suffix: Format("text", f"{_HERE}.text_parser:TextParser") for suffix in LANGUAGE_BY_SUFFIX},
}
# Files that have no suffix by custom.
_TEXT_NAMES = word_set("readme changes changelog news install todo faq hacking contributing makefile dockerfile")
ARCHIVES = frozenset({".zip"})  # their members are read one by one
KNOWN_SUFFIXES = ", ".join([*(suffix for suffix in PARSERS if suffix not in LANGUAGE_BY_SUFFIX), *ARCHIVES])
KNOWN_TYPES = f"known types: {KNOWN_SUFFIXES}, and source code"


class Parser(Protocol):
    """Reads one kind of file."""

    def parse(self, path: str | Path) -> list[Document]:
        """All documents of the file."""

    def iter_parse(self, path: str | Path) -> Iterator[Document]:
        """The documents of the file, one after another."""


def document_type(path: str | Path) -> DocumentType | None:
    """The type of the documents of a file, told by its suffix or name; None for files that are not read."""
    found = _format_of(Path(path))
    return found.type if found else None


def _format_of(path: Path) -> Format | None:
    if not path.suffix and path.name.casefold() in _TEXT_NAMES:
        return PARSERS[".txt"]
    return PARSERS.get(path.suffix.casefold())


def parser_for(path: str | Path, options: Mapping[str, Mapping[str, Any]] | None = None) -> Parser:
    """The parser for a file, chosen by its suffix.

    Args:
        path: the file.
        options: keyword arguments of the parsers by document type, as in `{"pdf": {"extract_by_page": False}}`.

    Raises:
        DataValidationError: no parser reads this kind of file.
    """
    found = _format_of(Path(path))
    if found is None:
        suffix = Path(path).suffix.casefold()
        raise DataValidationError(f"{path}: files of type '{suffix or 'none'}' are not read", hint=KNOWN_TYPES)
    module_name, _, class_name = found.parser.partition(":")
    parser_class = getattr(import_module(module_name), class_name)
    return cast(Parser, parser_class(**(options or {}).get(found.type, {})))
