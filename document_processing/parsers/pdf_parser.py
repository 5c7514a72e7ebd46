"""PDF files: each page by the engine that serves it best, one document a page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from document_processing.content_sniffing import refuse_if_not_pdf
from document_processing.parsers.pdf_metadata import information_of, title_of
from document_processing.parsers.pdf_ocr import TesseractReader
from document_processing.parsers.pdf_pages import (
    BLANK,
    OutlineEntry,
    RawPage,
    RawPart,
    ReaderKind,
    count_pages,
    read_part,
)
from document_processing.parsers.pdf_readers import PlumberReader, PypdfReader
from document_processing.parsers.pdf_repair import join_cut_words, repair_characters, strip_repeated_lines
from document_processing.parsers.pdfium_reader import PdfiumReader
from document_processing.text_cleaning import clean_text
from shared_utils.errors import DocumentProcessingError
from shared_utils.file_utils import open_binary, validate_file_path
from shared_utils.records import Document

MOST_PAGES_NAMED = 20  # in a warning
HEADING_AREA = 300  # characters at the top of a page, where the heading of its subject stands

_OCR_HINT = "scans need --ocr"

Engine = Literal["auto", "pdfplumber", "pypdf2"]
_KINDS_BY_ENGINE: dict[Engine, list[ReaderKind]] = {
    "auto": [PdfiumReader, PlumberReader, PypdfReader],
    "pdfplumber": [PlumberReader, PypdfReader],
    "pypdf2": [PypdfReader, PlumberReader],
}


@dataclass(frozen=True)
class _Page:
    """A page after the repairs."""

    number: int
    text: str
    parser: str
    reason: str = ""
    tables: int = 0
    removed: list[str] = field(default_factory=list)


class PDFParser:
    """Reads a PDF file as one document a page.

    Args:
        use_pdfplumber_first: off reads with pypdf or PyPDF2 from the start, whatever `engine` says.
        fallback_to_pypdf2: read what the others cannot with pypdf or PyPDF2.
        extract_by_page: one document a page; otherwise one a file, with the place of each page in it.
        engine: `auto` reads with pdfium, and a page that it cannot read with pdfplumber; `pdfplumber` and
            `pypdf2` begin with that library.
        ocr: read pages without text by optical character recognition (Tesseract).
        ocr_language: the languages that Tesseract looks for, such as `eng` or `deu+eng`.
    """

    def __init__(
        self,
        use_pdfplumber_first: bool = True,
        fallback_to_pypdf2: bool = True,
        extract_by_page: bool = True,
        *,
        engine: Engine = "auto",
        ocr: bool = False,
        ocr_language: str = "eng",
    ) -> None:
        self._extract_by_page = extract_by_page
        self._kinds = _kinds(engine if use_pdfplumber_first else "pypdf2", fallback_to_pypdf2)
        self._ocr = TesseractReader(ocr_language) if ocr else None

    def parse(self, path: str | Path) -> list[Document]:
        """The documents of the file. Pages without text make none; a warning in the first document names them.

        Raises:
            DataValidationError: the file cannot be opened.
            DocumentProcessingError: it is no PDF, damaged beyond repair, encrypted, or holds no text.
        """
        return list(self.iter_parse(path))

    def iter_parse(self, path: str | Path) -> Iterator[Document]:
        """The same as `parse`, as an iterator."""
        yield from self.documents_of(path, [self.read_pages(path)])

    def page_count(self, path: str | Path) -> int:
        """The number of pages; raises as `parse` does."""
        return count_pages(_checked(path), self._kinds)

    def read_pages(self, path: str | Path, first: int = 0, last: int | None = None) -> RawPart:
        """The pages `first` up to but without `last`, counted from 0, as `documents_of` takes them.

        Parts of one file can be read in several processes; a part is JSON-safe. Raises as `parse` does.
        """
        return read_part(_checked(path), self._kinds, first, last, ocr=self._ocr)

    def documents_of(self, path: str | Path, parts: Sequence[RawPart]) -> Iterator[Document]:
        """The documents of a file whose pages were read in parts, in order.

        Where reading a part failed, `lost_part` of `pdf_pages` stands in its place; a warning names its pages.

        Raises:
            DocumentProcessingError: no page holds text.
        """
        pages = _repaired([page for part in parts for page in part["pages"]])
        if not any(page.text for page in pages):
            raise DocumentProcessingError(
                f"no text layer: the text of {_counted(len(pages))} is an image or missing; it needs OCR",
                hint=_OCR_HINT,
            )
        information = next((part["information"] for part in parts if part["information"]), {})
        title = title_of(information, Path(path))
        shared: dict[str, Any] = {"pages": len(pages), **information_of(information)}
        without_text = [page.number for page in pages if not page.text and page.reason != BLANK]
        if without_text:
            shared["pages_without_text"] = len(without_text)
        outline = next((part["outline"] for part in parts if part["outline"]), [])
        paths = _heading_paths(outline, pages)
        documents = _by_page(pages, shared, paths) if self._extract_by_page else _as_one(pages, shared)
        warnings = _warnings(pages)
        for position, (content, metadata) in enumerate(documents):
            if position == 0 and warnings:
                metadata = {**metadata, "warnings": warnings}
            yield Document(source=str(path), type="pdf", title=title, content=content, metadata=metadata)


def _kinds(engine: Engine, fallback_to_pypdf2: bool) -> list[ReaderKind]:
    """The engines in the order in which they are tried."""
    kinds = _KINDS_BY_ENGINE[engine]
    return [kind for kind in kinds if fallback_to_pypdf2 or kind is not PypdfReader or kind is kinds[0]]


def _checked(path: str | Path) -> Path:
    checked = validate_file_path(path, extensions=None)
    with open_binary(checked) as file:
        refuse_if_not_pdf(file)
    return checked


def _repaired(pages: Sequence[RawPage]) -> list[_Page]:
    stripped = strip_repeated_lines([repair_characters(page["text"]) for page in pages])
    texts = join_cut_words([page.text for page in stripped])
    return [
        _Page(
            page["number"],
            clean_text(text).strip(),
            page["parser"],
            page["reason"],
            page["tables"],
            stripped_page.removed,
        )
        for page, text, stripped_page in zip(pages, texts, stripped, strict=True)
    ]


def _heading_paths(outline: Sequence[OutlineEntry], pages: Sequence[_Page]) -> dict[int, list[str]]:
    """For each page the entries of the table of contents that it belongs to, from the outermost.

    That is what is in force where the page begins; a heading that stands at its top counts.
    """
    entries_on: dict[int, list[OutlineEntry]] = {}
    for entry in outline:
        entries_on.setdefault(entry["page"], []).append(entry)
    paths: dict[int, list[str]] = {}
    current: list[OutlineEntry] = []
    for page in pages:
        before = current
        for position, entry in enumerate(entries_on.get(page.number, ())):
            current = [*(above for above in current if above["level"] < entry["level"]), entry]
            if position == 0 and (not before or _letters(entry["title"]) in _letters(page.text[:HEADING_AREA])):
                before = current
        if before:
            paths[page.number] = [entry["title"] for entry in before]
    return paths


def _letters(text: str) -> str:
    return "".join(character for character in text.casefold() if character.isalnum())


def _by_page(
    pages: Sequence[_Page], shared: Mapping[str, Any], heading_paths: Mapping[int, list[str]]
) -> Iterator[tuple[str, dict[str, Any]]]:
    for page in pages:
        if page.text:
            metadata = {
                "page": page.number,
                "parser": page.parser,
                "tables": page.tables,
                "has_text": True,
                **shared,
            }
            if page.number in heading_paths:
                metadata["heading_path"] = heading_paths[page.number]
            if page.reason:
                metadata["parser_reason"] = page.reason
            if page.removed:
                metadata["header_footer"] = page.removed
            yield page.text, metadata


def _as_one(pages: Sequence[_Page], shared: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    content = ""
    page_map: list[dict[str, int]] = []
    for page in pages:
        if page.text:
            content += "\n\n" if content else ""
            page_map.append(
                {"page": page.number, "char_start": len(content), "char_end": len(content) + len(page.text)}
            )
            content += page.text
    parsers = {page.parser: page.reason for page in reversed(pages) if page.text}
    metadata = {
        "page_map": page_map,
        "parser": "+".join(sorted(parsers)),
        "tables": sum(page.tables for page in pages),
        "has_text": True,
        **shared,
    }
    reasons = sorted({page.reason for page in pages if page.text and page.reason})
    if reasons:
        metadata["parser_reason"] = "; ".join(reasons)
    headers = sorted({line for page in pages for line in page.removed})
    if headers:
        metadata["header_footer"] = headers
    yield content, metadata


def _warnings(pages: Sequence[_Page]) -> list[str]:
    warnings: list[str] = []
    lost = [page for page in pages if not page.parser]
    if lost:
        numbers = _listed([page.number for page in lost])
        warnings.append(f"{_counted(len(lost))} of {len(pages)} could not be read ({numbers}): {lost[0].reason}")
    empty = [page.number for page in pages if page.parser and not page.text and page.reason != BLANK]
    if empty:
        warnings.append(f"no text on {_counted(len(empty))} of {len(pages)} ({_listed(empty)}); {_OCR_HINT}")
    by_other = [page.number for page in pages if page.text and page.reason]
    if by_other:
        first = next(page for page in pages if page.number == by_other[0])
        warnings.append(f"{_counted(len(by_other))} read by {first.parser} ({_listed(by_other)}): {first.reason}")
    return warnings


def _counted(pages: int) -> str:
    return f"{pages} page{'s' if pages != 1 else ''}"


def _listed(numbers: Sequence[int]) -> str:
    shown = ", ".join(map(str, numbers[:MOST_PAGES_NAMED]))
    return shown + (", ..." if len(numbers) > MOST_PAGES_NAMED else "")
