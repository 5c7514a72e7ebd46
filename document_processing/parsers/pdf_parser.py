"""PDF files: pdfplumber first, pypdf or PyPDF2 where that fails, one document a page."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from document_processing.content_sniffing import refuse_if_not_pdf
from document_processing.parsers.pdf_readers import PageReader, PageText, PlumberReader, PypdfReader
from document_processing.parsers.pdf_repair import (
    join_cut_words,
    repair_characters,
    share_of_unknown_glyphs,
    strip_repeated_lines,
)
from document_processing.text_cleaning import clean_text
from shared_utils.errors import DocumentProcessingError
from shared_utils.file_utils import open_binary, validate_file_path
from shared_utils.records import Document

MOST_UNKNOWN_GLYPHS = 0.3  # a page with a larger share is unreadable
LONGEST_INFORMATION = 500  # characters of one entry
MOST_PAGES_NAMED = 20  # in a warning

_INFORMATION_KEYS = {
    "Author": "author",
    "Subject": "subject",
    "Keywords": "keywords",
    "Creator": "creator",
    "Producer": "producer",
    "CreationDate": "created",
    "ModDate": "modified",
}
_DATE = re.compile(r"(?:D:)?(\d{4})(\d\d)(\d\d)(?:(\d\d)(\d\d)(\d\d)?)?(?:(Z)|([+-])(\d\d)'?(\d\d)?)?")
_PLACEHOLDER_TITLE = re.compile(r"untitled.*|document\d*|.*\.(?:docx?|dvi|tex|indd|pdf|pptx?|qxd|xlsx?)", re.IGNORECASE)

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Page:
    """A page as it was read: by whom, and why not by the reader of choice."""

    number: int
    text: str
    parser: str
    reason: str = ""
    tables: int = 0
    removed: list[str] = field(default_factory=list)


class PDFParser:
    """Reads a PDF file as one document a page.

    Args:
        use_pdfplumber_first: read with pdfplumber; otherwise with pypdf or PyPDF2 from the start.
        fallback_to_pypdf2: read what pdfplumber cannot with pypdf or PyPDF2.
        extract_by_page: one document a page; otherwise one a file, with the place of each page in it.
    """

    def __init__(
        self, use_pdfplumber_first: bool = True, fallback_to_pypdf2: bool = True, extract_by_page: bool = True
    ) -> None:
        self._extract_by_page = extract_by_page
        first, second = (PlumberReader, PypdfReader) if use_pdfplumber_first else (PypdfReader, PlumberReader)
        self._readers: list[type[PlumberReader] | type[PypdfReader]] = [first]
        if fallback_to_pypdf2 or not use_pdfplumber_first:
            self._readers.append(second)

    def parse(self, path: str | Path) -> list[Document]:
        """The documents of the file. Pages without text make none; a warning in the first document names them.

        Raises:
            DataValidationError: the file cannot be opened.
            DocumentProcessingError: it is no PDF, damaged beyond repair, encrypted, or holds no text.
        """
        return list(self.iter_parse(path))

    def iter_parse(self, path: str | Path) -> Iterator[Document]:
        """The same as `parse`, as an iterator."""
        checked = validate_file_path(path, extensions=None)
        with open_binary(checked) as file:
            refuse_if_not_pdf(file)
        pages, information = self._read(checked)
        pages = _repaired(pages)
        if not any(page.text for page in pages):
            raise DocumentProcessingError(
                f"no text layer: the text of {_counted(len(pages))} is an image or missing; it needs OCR",
                hint="make it searchable first, for example with ocrmypdf, and run again",
            )
        title = _title(information, Path(path))
        shared = {"pages": len(pages), **_information(information)}
        documents = _by_page(pages, shared) if self._extract_by_page else _as_one(pages, shared)
        warnings = _warnings(pages)
        for position, (content, metadata) in enumerate(documents):
            if position == 0 and warnings:
                metadata = {**metadata, "warnings": warnings}
            yield Document(source=str(path), type="pdf", title=title, content=content, metadata=metadata)

    def _read(self, path: Path) -> tuple[list[_Page], Mapping[str, object]]:
        """All pages, from the first reader that opens the file, and the information about it."""
        reasons: list[str] = []
        for position, kind in enumerate(self._readers):
            try:
                reader: PageReader = kind(path)
            except (DocumentProcessingError, MemoryError):
                raise
            except Exception as error:  # each library has its own family of errors, and bugs on damaged files
                reasons.append(f"{kind.name}: {_brief(error)}")
                continue
            rescuer = _Rescuer(path, self._readers[position + 1 :])
            try:
                pages = [self._read_page(reader, index, rescuer, reasons) for index in range(reader.page_count)]
                if pages:
                    return pages, _information_of(reader)
                reasons.append(f"{reader.name}: no pages")
            finally:
                reader.close()
                rescuer.close()
        raise DocumentProcessingError(
            f"the PDF is damaged and could not be read ({'; '.join(reasons)})",
            hint="open it in a viewer and save it again, or get another copy",
        )

    def _read_page(self, reader: PageReader, index: int, rescuer: _Rescuer, reasons: Sequence[str]) -> _Page:
        if rescuer.is_ready and reader.is_heavy(index):
            found = rescuer.page_text(index)
            if found:
                return _rescued(index, found, rescuer.name, f"{reader.name}: the page is a very large drawing")
        try:
            page, reason = reader.page(index), ""
        except MemoryError:
            raise
        except Exception as error:
            page, reason = PageText(""), f"{reader.name}: {_brief(error)}"
        if page.text.strip() and share_of_unknown_glyphs(page.text) <= MOST_UNKNOWN_GLYPHS:
            return _Page(index + 1, page.text, reader.name, "; ".join(reasons), page.tables)
        reason = reason or f"{reader.name}: {'unreadable glyphs' if page.text.strip() else 'no text'}"
        found = rescuer.page_text(index)
        if found:
            return _rescued(index, found, rescuer.name, reason)
        return _Page(index + 1, "", reader.name, reason)


def _rescued(index: int, text: str, parser: str, reason: str) -> _Page:
    logger.warning("page %d was read by %s, because of %s", index + 1, parser, reason)
    return _Page(index + 1, text, parser, reason)


class _Rescuer:
    """The second reader, opened when a page needs it."""

    def __init__(self, path: Path, kinds: Sequence[type[PlumberReader] | type[PypdfReader]]) -> None:
        self._path, self._kinds = path, list(kinds)
        self._reader: PageReader | None = None
        self.is_ready = bool(kinds)
        self.name = ""

    def page_text(self, index: int) -> str:
        """The readable text of a page, or none."""
        try:
            if self._reader is None and self._kinds:
                self._reader = self._kinds.pop()(self._path)
                self.name = self._reader.name
            text = self._reader.page(index).text if self._reader else ""
        except MemoryError:
            raise
        except Exception:  # a second failure changes nothing: the page stays without text
            return ""
        return text if text.strip() and share_of_unknown_glyphs(text) <= MOST_UNKNOWN_GLYPHS else ""

    def close(self) -> None:
        if self._reader:
            self._reader.close()


def _repaired(pages: Sequence[_Page]) -> list[_Page]:
    stripped = strip_repeated_lines([repair_characters(page.text) for page in pages])
    texts = join_cut_words([page.text for page in stripped])
    return [
        _Page(
            page.number,
            clean_text(text).strip(),
            page.parser,
            page.reason,
            page.tables,
            stripped_page.removed,
        )
        for page, text, stripped_page in zip(pages, texts, stripped, strict=True)
    ]


def _by_page(pages: Sequence[_Page], shared: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for page in pages:
        if page.text:
            metadata = {
                "page": page.number,
                "parser": page.parser,
                "tables": page.tables,
                "has_text": True,
                **shared,
            }
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
    empty = [page.number for page in pages if not page.text]
    if empty:
        warnings.append(f"no text on {_counted(len(empty))} of {len(pages)} ({_listed(empty)}); scans need OCR")
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


def _information_of(reader: PageReader) -> Mapping[str, object]:
    try:
        return reader.information()
    except Exception:  # the text is worth more than a broken title
        return {}


def _information(found: Mapping[str, object]) -> dict[str, str]:
    named = {key: _plain(found[name]) for name, key in _INFORMATION_KEYS.items() if name in found}
    for key in ("created", "modified"):
        if key in named:
            named[key] = _iso_date(named[key])
    return {key: value for key, value in named.items() if value}


def _title(information: Mapping[str, object], path: Path) -> str:
    title = _plain(information.get("Title", ""))
    return path.stem if not title or _PLACEHOLDER_TITLE.fullmatch(title) else title


def _plain(value: object) -> str:
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    return " ".join(clean_text(str(value)).split())[:LONGEST_INFORMATION] if value is not None else ""


def _iso_date(text: str) -> str:
    found = _DATE.match(text)
    if not found:
        return text
    year, month, day, hour, minute, second, utc, sign, offset_hours, offset_minutes = found.groups()
    date = f"{year}-{month}-{day}"
    if not hour:
        return date
    zone = "Z" if utc else f"{sign}{offset_hours}:{offset_minutes or '00'}" if sign else ""
    return f"{date}T{hour}:{minute}:{second or '00'}{zone}"


def _brief(error: Exception) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}{': ' + text if text else ''}"[:200]
