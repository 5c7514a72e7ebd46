"""The pages of a PDF file, each read by the engine that serves it best; a part of a file can be read alone."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypedDict

from document_processing.parsers.pdf_metadata import plain_information
from document_processing.parsers.pdf_readers import PageReader, PageText, PlumberReader, PypdfReader
from document_processing.parsers.pdf_repair import share_of_unknown_glyphs
from shared_utils.errors import DocumentProcessingError

MOST_UNKNOWN_GLYPHS = 0.3  # a page with a larger share is unreadable

ReaderKind = type[PlumberReader] | type[PypdfReader]

logger = logging.getLogger(__name__)


class RawPage(TypedDict):
    """A page as it was read: by whom, and why not by the engine of choice. JSON-safe."""

    number: int  # counted from 1
    text: str
    parser: str
    reason: str
    tables: int


class RawPart(TypedDict):
    """Some pages of a file, and what the file says about itself. JSON-safe."""

    pages: list[RawPage]
    information: dict[str, str]


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


def read_part(path: Path, kinds: Sequence[ReaderKind], first: int = 0, last: int | None = None) -> RawPart:
    """The pages `first` up to but without `last`, counted from 0; all when `last` is left out.

    Raises:
        DocumentProcessingError: no engine opens the file.
    """
    reader, rest, reasons = _open(path, kinds)
    rescuer = _Rescuer(path, rest)
    try:
        indices = range(reader.page_count)[first:last]
        pages = [_read_page(reader, index, rescuer, reasons) for index in indices]
        return RawPart(pages=pages, information=_information_of(reader))
    finally:
        reader.close()
        rescuer.close()


def lost_part(first: int, last: int, reason: str) -> RawPart:
    """Stands for the pages `first` up to but without `last` when reading them failed; no engine is named in it."""
    pages = [RawPage(number=index + 1, text="", parser="", reason=reason, tables=0) for index in range(first, last)]
    return RawPart(pages=pages, information={})


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
        return _raw_page(index, page.text, reader.name, "; ".join(reasons), page.tables)
    reason = reason or f"{reader.name}: {'unreadable glyphs' if page.text.strip() else 'no text'}"
    found = rescuer.page_text(index)
    if found:
        return _rescued(index, found, rescuer.name, reason)
    return _raw_page(index, "", reader.name, reason)


def _raw_page(index: int, text: str, parser: str, reason: str, tables: int = 0) -> RawPage:
    return RawPage(number=index + 1, text=text, parser=parser, reason=reason, tables=tables)


def _rescued(index: int, text: str, parser: str, reason: str) -> RawPage:
    logger.warning("page %d was read by %s, because of %s", index + 1, parser, reason)
    return _raw_page(index, text, parser, reason)


class _Rescuer:
    """The engine of last resort, opened when a page needs it."""

    def __init__(self, path: Path, kinds: Sequence[ReaderKind]) -> None:
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


def _information_of(reader: PageReader) -> dict[str, str]:
    try:
        found: Mapping[str, object] = reader.information()
        return plain_information(found)
    except Exception:  # the text is worth more than a broken title
        return {}


def _brief(error: Exception) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}{': ' + text if text else ''}"[:200]
