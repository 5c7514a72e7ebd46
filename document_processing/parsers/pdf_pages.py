"""The pages of a PDF file, each read by the engine that serves it best; a part of a file can be read alone."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import TypedDict

from document_processing.parsers.pdf_metadata import plain_information
from document_processing.parsers.pdf_ocr import NAME as OCR_NAME
from document_processing.parsers.pdf_ocr import TesseractReader
from document_processing.parsers.pdf_readers import PageReader, PageText, PlumberReader, PypdfReader
from document_processing.parsers.pdf_repair import share_of_unknown_glyphs
from document_processing.parsers.pdfium_reader import PdfiumReader
from shared_utils.errors import DocumentProcessingError

BLANK = "a blank page"
MOST_OUTLINE_ENTRIES = 20_000
MUCH_MORE = 1.5  # times as much text, from the engine that is asked when another knows few of the glyphs
MOST_UNKNOWN_GLYPHS = 0.3  # a page with a larger share is unreadable

ReaderKind = type[PdfiumReader] | type[PlumberReader] | type[PypdfReader]

logger = logging.getLogger(__name__)


class RawPage(TypedDict):
    """A page as it was read: by whom, and why not by the engine of choice. JSON-safe."""

    number: int  # counted from 1
    text: str
    parser: str
    reason: str
    tables: int


class OutlineEntry(TypedDict):
    """An entry of the table of contents; levels and pages are counted from 1."""

    level: int
    title: str
    page: int


class RawPart(TypedDict):
    """Some pages of a file, and what the file says about itself. JSON-safe."""

    pages: list[RawPage]
    information: dict[str, str]
    outline: list[OutlineEntry]


def count_pages(path: Path, kinds: Sequence[ReaderKind]) -> int:
    """The number of pages, told by the first engine that opens the file.

    Raises:
        DocumentProcessingError: none does.
    """
    reader, _, _ = _open(path, kinds)
    try:
        return reader.page_count
    finally:
        reader.close()


def read_part(
    path: Path,
    kinds: Sequence[ReaderKind],
    first: int = 0,
    last: int | None = None,
    *,
    ocr: TesseractReader | None = None,
) -> RawPart:
    """The pages `first` up to but without `last`, counted from 0; all when `last` is left out.

    Pages without text are recognised by `ocr`, where it is given.

    Raises:
        DocumentProcessingError: no engine opens the file.
    """
    reader, rest, reasons = _open(path, kinds)
    rescuer = _Rescuer(path, rest)
    try:
        indices = range(reader.page_count)[first:last]
        pages = [_read_page(reader, index, rescuer, reasons) for index in indices]
        if ocr:
            pages = [_recognised(path, page, ocr) if _may_be_scan(page) else page for page in pages]
        return RawPart(pages=pages, information=_information_of(reader), outline=_outline_of(reader))
    finally:
        reader.close()
        rescuer.close()


def lost_part(first: int, last: int, reason: str) -> RawPart:
    """Stands for the pages `first` up to but without `last` when reading them failed; no engine is named in it."""
    pages = [RawPage(number=index + 1, text="", parser="", reason=reason, tables=0) for index in range(first, last)]
    return RawPart(pages=pages, information={}, outline=[])


def _open(path: Path, kinds: Sequence[ReaderKind]) -> tuple[PageReader, Sequence[ReaderKind], list[str]]:
    """The first engine that opens the file and finds pages, the engines after it, and why others did not."""
    reasons: list[str] = []
    for position, kind in enumerate(kinds):
        try:
            reader: PageReader = kind(path)
        except (DocumentProcessingError, MemoryError):
            raise
        except Exception as error:  # each library has its own family of errors, and bugs on damaged files
            reasons.append(f"{kind.name}: {_brief(error)}")
            continue
        if reader.page_count:
            return reader, kinds[position + 1 :], reasons
        reasons.append(f"{reader.name}: no pages")
        reader.close()
    raise DocumentProcessingError(
        f"the PDF is damaged and could not be read ({'; '.join(reasons)})",
        hint="open it in a viewer and save it again, or get another copy",
    )


def _read_page(reader: PageReader, index: int, rescuer: _Rescuer, reasons: Sequence[str]) -> RawPage:
    if rescuer.is_ready and reader.is_heavy(index):
        found = rescuer.page(index, f"{reader.name}: the page is a very large drawing")
        if found:
            return found
    try:
        page, reason = reader.page(index), ""
    except MemoryError:
        raise
    except Exception as error:
        page, reason = PageText(""), f"{reader.name}: {_brief(error)}"
    if page.is_partial:
        least = MUCH_MORE * len(page.text)
        found = rescuer.page(index, f"{reader.name}: much of the page has no characters", least)
        if found:
            return found
    if _is_readable(page.text):
        return _raw_page(index, page, reader.name, "; ".join(reasons))
    if page.is_blank:
        return _raw_page(index, page, reader.name, BLANK)
    reason = reason or f"{reader.name}: {'unreadable glyphs' if page.text.strip() else 'no text'}"
    found = None if page.is_bare else rescuer.page(index, reason)
    return found or _raw_page(index, PageText(""), reader.name, reason)


def _may_be_scan(page: RawPage) -> bool:
    return not page["text"] and page["reason"] != BLANK


def _recognised(path: Path, page: RawPage, ocr: TesseractReader) -> RawPage:
    try:
        found = ocr.page(path, page["number"] - 1)
    except MemoryError:
        raise
    except Exception as error:  # the page stays without text, and says why
        return {**page, "reason": f"{page['reason']}; {OCR_NAME}: {_brief(error)}"}
    if not found.text:
        return {**page, "reason": f"{page['reason']}; {OCR_NAME}: no text"}
    reason = f"no text layer; recognised with confidence {found.confidence:.2f}"
    return _raw_page(page["number"] - 1, PageText(found.text), OCR_NAME, reason)


def _is_readable(text: str) -> bool:
    return bool(text.strip()) and share_of_unknown_glyphs(text) <= MOST_UNKNOWN_GLYPHS


def _raw_page(index: int, page: PageText, parser: str, reason: str) -> RawPage:
    return RawPage(number=index + 1, text=page.text, parser=parser, reason=reason, tables=page.tables)


class _Rescuer:
    """The engines behind the one of choice, opened when a page needs them."""

    def __init__(self, path: Path, kinds: Sequence[ReaderKind]) -> None:
        self._path, self._kinds = path, list(kinds)
        self._readers: dict[ReaderKind, PageReader | None] = {}
        self.is_ready = bool(kinds)

    def page(self, index: int, reason: str, least: float = 0) -> RawPage | None:
        """The page from the first engine that finds `least` characters on it, with the reason why it was asked."""
        for kind in self._kinds:
            try:
                reader = self._opened(kind)
                page = reader.page(index) if reader and not reader.is_heavy(index) else PageText("")
            except MemoryError:
                raise
            except Exception as error:  # the next engine may read it; without any the page stays without text
                logger.debug("page %d, %s: %s", index + 1, kind.name, _brief(error))
                continue
            if reader and _is_readable(page.text) and len(page.text) >= least:
                logger.warning("page %d was read by %s, because of %s", index + 1, reader.name, reason)
                return _raw_page(index, page, reader.name, reason)
        return None

    def _opened(self, kind: ReaderKind) -> PageReader | None:
        """The engine, or None where it failed to open the file before."""
        if kind not in self._readers:
            self._readers[kind] = None
            self._readers[kind] = kind(self._path)
        return self._readers[kind]

    def close(self) -> None:
        for reader in self._readers.values():
            if reader:
                reader.close()


def _information_of(reader: PageReader) -> dict[str, str]:
    try:
        found: Mapping[str, object] = reader.information()
        return plain_information(found)
    except Exception:  # the text is worth more than a broken title
        return {}


def _outline_of(reader: PageReader) -> list[OutlineEntry]:
    entries: list[OutlineEntry] = []
    try:
        for level, title, index in islice(reader.outline(), MOST_OUTLINE_ENTRIES):
            plain = plain_information({"title": title})["title"]
            if plain:
                entries.append(OutlineEntry(level=level, title=plain, page=index + 1))
    except Exception:  # a damaged table of contents costs no text
        logger.debug("the table of contents is damaged")
    return sorted(entries, key=lambda entry: entry["page"])


def _brief(error: Exception) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}{': ' + text if text else ''}"[:200]
