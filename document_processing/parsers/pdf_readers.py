"""The libraries that read PDF files, behind one face: pages as text, and what the file says about itself.

pdfium stands in a module of its own (`pdfium_reader`). All of them may hang or crash on hostile files, so files that
people did not write themselves belong into a worker process with limits (`workflows.extraction`).
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple, Protocol

from document_processing.parsers.pdf_repair import join_loose_accents, join_vertical_lines
from document_processing.parsers.pdf_tables import (
    FEWEST_EDGES,
    LEAST_FILLED_CELLS,
    MOST_EDGES,
    MOST_LINES_IN_CELL,
    split_row,
)
from shared_utils.errors import DocumentProcessingError, missing_package

MOST_DRAWING_BYTES = 1_000_000
# Words are apart where the gap exceeds this share of the size of their characters.
WORD_GAP_RATIO = 0.15
PARAGRAPH_STEP = 1.4  # a step to the next line, measured in usual ones


class PageText(NamedTuple):
    """The text of a page and the number of tables in it.

    `is_bare`: it draws no letter, as a scan does; `is_blank`: it draws nothing at all; `is_partial`: it
    writes much in which the reader finds no character.
    """

    text: str
    tables: int = 0
    is_bare: bool = False
    is_blank: bool = False
    is_partial: bool = False


class PageReader(Protocol):
    """One open PDF file."""

    name: str
    page_count: int

    def page(self, index: int) -> PageText:
        """The page with this index, counted from 0."""

    def is_heavy(self, index: int) -> bool:
        """Whether the page is so large a drawing that this reader would need very long for it."""

    def information(self) -> Mapping[str, object]:
        """What the file says about itself: Title, Author, CreationDate and so on."""

    def outline(self) -> Iterator[tuple[int, str, int]]:
        """Level (from 1), title and page index of each entry of the table of contents."""

    def close(self) -> None:
        """Give back memory and file."""


def password_required() -> DocumentProcessingError:
    """The error for a file that only opens with a password."""
    return DocumentProcessingError("it is encrypted: password required", hint="save a copy without password")


class PlumberReader:
    """pdfplumber: text in the order in which the page draws it, ruled tables as Markdown rows."""

    name = "pdfplumber"

    def __init__(self, path: Path) -> None:
        import pdfplumber
        from pdfminer.pdfdocument import PDFPasswordIncorrect
        from pdfplumber.utils.exceptions import PdfminerException

        logging.getLogger("pdfminer").setLevel(logging.ERROR)
        try:
            self._pdf = pdfplumber.open(path)
            self.page_count = len(self._pdf.pages)
        except PdfminerException as error:
            cause = error.args[0] if error.args else error
            if isinstance(cause, PDFPasswordIncorrect):
                raise password_required() from error
            if isinstance(cause, MemoryError):
                raise cause from error
            raise

    def page(self, index: int) -> PageText:
        """The page with this index, counted from 0."""
        page = self._pdf.pages[index]
        try:
            tables = [table for table in self._tables(page) if table[1]]
            text = _text_with_tables(page.chars, tables) if tables else _flow_text(page.chars)
            return PageText(join_vertical_lines(join_loose_accents(text)), len(tables))
        finally:
            page.close()  # or each page's characters would stay in memory

    def is_heavy(self, index: int) -> bool:
        """Whether the page holds more than a megabyte of drawing, which takes pdfplumber 10 seconds and more."""
        try:
            streams = self._pdf.pages[index].page_obj.contents
            return sum(len(stream.get_data()) for stream in streams) > MOST_DRAWING_BYTES
        except MemoryError:
            raise
        except Exception:  # a damaged stream; reading the page tells more
            return False

    def _tables(self, page: Any) -> list[tuple[tuple[float, float, float, float], list[str]]]:
        if not FEWEST_EDGES <= len(page.edges) <= MOST_EDGES:
            return []
        return [(table.bbox, _markdown_rows(table)) for table in page.find_tables()]

    def information(self) -> Mapping[str, object]:
        """What the file says about itself."""
        return self._pdf.metadata or {}

    def outline(self) -> Iterator[tuple[int, str, int]]:
        """None: this library does not tell the pages that the entries point to."""
        return iter(())

    def close(self) -> None:
        """Give back memory and file."""
        self._pdf.close()


class PypdfReader:
    """pypdf where it is installed, else PyPDF2, the abandoned name of the same library."""

    name = "pypdf"

    def __init__(self, path: Path) -> None:
        self.name, module = _import_pypdf()
        self._reader = module.PdfReader(path, strict=False)
        if self._reader.is_encrypted and not self._reader.decrypt(""):
            raise password_required()
        self.page_count = len(self._reader.pages)

    def page(self, index: int) -> PageText:
        """The page with this index, counted from 0."""
        return PageText(join_loose_accents(self._reader.pages[index].extract_text() or ""))

    def is_heavy(self, index: int) -> bool:
        """No page is: this library only looks at text."""
        return False

    def information(self) -> Mapping[str, object]:
        """What the file says about itself."""
        found = self._reader.metadata or {}
        return {str(key).lstrip("/"): str(value) for key, value in found.items()}

    def outline(self) -> Iterator[tuple[int, str, int]]:
        """Level (from 1), title and page index of each entry of the table of contents."""
        pending = [(1, iter(self._reader.outline))]
        while pending:
            level, entries = pending[-1]
            entry = next(entries, None)
            if entry is None:
                pending.pop()
            elif isinstance(entry, list):
                pending.append((level + 1, iter(entry)))
            else:
                index = self._reader.get_destination_page_number(entry)
                if index is not None and index >= 0:
                    yield level, str(entry.title), index

    def close(self) -> None:
        """Give back memory and file."""
        close = getattr(self._reader, "close", None)  # PyPDF2 has none
        if close:
            close()


def _import_pypdf() -> tuple[str, Any]:
    logging.getLogger("pypdf").setLevel(logging.CRITICAL)
    logging.getLogger("PyPDF2").setLevel(logging.CRITICAL)
    if find_spec("pypdf"):
        import pypdf

        return "pypdf", pypdf
    if find_spec("PyPDF2"):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            import PyPDF2

        return "pypdf2", PyPDF2
    raise missing_package("PyPDF2", "the second way to read PDF files")


def _flow_text(characters: Sequence[Mapping[str, Any]]) -> str:
    """The text in the order in which it is drawn, so that columns stay apart.

    pdfplumber's own `extract_text` would put what stands at one height into one line, across columns.
    """
    from pdfplumber.utils.text import WordExtractor

    if not characters:
        return ""
    extractor = WordExtractor(x_tolerance_ratio=WORD_GAP_RATIO, use_text_flow=True)
    lines: list[list[Mapping[str, Any]]] = []
    for word in extractor.extract_words([dict(character) for character in characters]):
        if lines and _goes_on(lines[-1][-1], word):
            lines[-1].append(word)
        else:
            lines.append([word])
    steps = [_step(above, below) for above, below in pairwise(lines)]
    usual_step = median([step for step in steps if step > 0] or [0.0])
    text = _line_text(lines[0]) if lines else ""
    for line, step in zip(lines[1:], steps, strict=True):
        line_text = _line_text(line)
        # A wide step down begins a paragraph; a sentence that goes on in small letters does not.
        is_new_paragraph = step > PARAGRAPH_STEP * usual_step and not line_text[:1].islower()
        text += ("\n\n" if is_new_paragraph else "\n") + line_text
    return text


def _goes_on(before: Mapping[str, Any], word: Mapping[str, Any]) -> bool:
    """Whether a word stands in the same line as the one drawn before it."""
    overlap = min(before["bottom"], word["bottom"]) - max(before["top"], word["top"])
    height = min(before["bottom"] - before["top"], word["bottom"] - word["top"])
    return bool(overlap > 0.4 * height and word["x0"] >= before["x0"] - 1)


def _step(above: Sequence[Mapping[str, Any]], below: Sequence[Mapping[str, Any]]) -> float:
    return float(below[0]["bottom"] - above[0]["bottom"])


def _line_text(line: Sequence[Mapping[str, Any]]) -> str:
    return " ".join(str(word["text"]) for word in line)


def _text_with_tables(
    characters: Sequence[Mapping[str, Any]],
    tables: Sequence[tuple[tuple[float, float, float, float], list[str]]],
) -> str:
    """The text of a page, each table in the place where its first character is drawn."""
    parts: list[str] = []
    segment: list[Mapping[str, Any]] = []
    placed: set[int] = set()
    for character in characters:
        inside = next((number for number, (box, _) in enumerate(tables) if _is_inside(character, box)), None)
        if inside is None:
            segment.append(character)
        elif inside not in placed:
            placed.add(inside)
            parts += [_flow_text(segment), "\n".join(tables[inside][1])]
            segment = []
    parts.append(_flow_text(segment))
    return "\n\n".join(part for part in parts if part.strip())


def _is_inside(character: Mapping[str, Any], box: tuple[float, float, float, float]) -> bool:
    x = (character["x0"] + character["x1"]) / 2
    y = (character["top"] + character["bottom"]) / 2
    return bool(box[0] <= x <= box[2] and box[1] <= y <= box[3])


def _markdown_rows(table: Any) -> list[str]:
    """The rows of a table, or none where it is no table to a reader."""
    rows: list[list[str]] = []
    for row in table.extract(x_tolerance_ratio=WORD_GAP_RATIO, use_text_flow=True):
        rows.extend(split_row([cell or "" for cell in row]))
    columns = max((len(row) for row in rows), default=0)
    filled = sum(bool(cell.strip()) for row in rows for cell in row)
    if len(rows) < 2 or columns < 2 or filled < LEAST_FILLED_CELLS * len(rows) * columns:
        return []
    if max(cell.count("\n") for row in rows for cell in row) > MOST_LINES_IN_CELL:
        return []  # columns with a frame around: as rows they would be mixed up
    return [f"| {' | '.join(' '.join(cell.split()) for cell in row)} |" for row in rows if any(row)]
