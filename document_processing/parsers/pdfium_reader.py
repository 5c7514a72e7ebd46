"""pdfium, the engine of Chrome, through pypdfium2: text with its place on the page, quickly."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from document_processing.parsers.pdf_readers import PageText, password_required
from document_processing.parsers.pdfium_page import PageReading

TURN_SAMPLE = 24  # pieces of text that are asked for their direction

_TEXT = 1  # FPDF_PAGEOBJ_TEXT
_PASSWORD_ERROR = 4  # FPDF_ERR_PASSWORD


class PdfiumReader:
    """One file, open in pdfium."""

    name = "pypdfium2"

    def __init__(self, path: Path) -> None:
        import pypdfium2
        import pypdfium2.raw

        try:
            self._document = pypdfium2.PdfDocument(path)
        except pypdfium2.PdfiumError as error:
            if getattr(error, "err_code", None) == _PASSWORD_ERROR or "password" in str(error).lower():
                raise password_required() from error
            raise
        self._raw: Any = pypdfium2.raw
        self.page_count = len(self._document)
        self._has_forms = self._document.get_formtype() != pypdfium2.raw.FORMTYPE_NONE

    def page(self, index: int) -> PageText:
        """The page with this index, counted from 0."""
        page = self._upright(index, self._drawn_page(index))
        try:
            text_page = page.get_textpage()
            try:
                return PageReading(self._raw, page, text_page).result()
            finally:
                text_page.close()
        finally:
            page.close()

    def _upright(self, index: int, page: Any) -> Any:
        """The page, turned so that its text runs from left to right: pdfium finds lines only then."""
        turn = _text_turn(self._raw, page)
        if not turn:
            return page
        left, bottom, right, top = page.get_bbox()
        # How a point moves (ISO 32000-1, 8.3.4); the page ends up with its corner where both axes begin.
        matrices = {1: (0, -1, 1, 0, -bottom, right), 2: (-1, 0, 0, -1, right, top), 3: (0, 1, -1, 0, top, -left)}
        matrix = self._raw.FS_MATRIX(*matrices[turn])
        self._raw.FPDFPage_TransFormWithClip(page.raw, matrix, None)
        width, height = (right - left, top - bottom) if turn == 2 else (top - bottom, right - left)
        page.set_mediabox(0, 0, width, height)
        page.set_cropbox(0, 0, width, height)
        page.close()
        return self._document[index]

    def _drawn_page(self, index: int) -> Any:
        """The page, with what was filled into its form drawn onto it."""
        page = self._document[index]
        if self._has_forms and self._raw.FPDFPage_GetAnnotCount(page.raw):
            flattened = self._raw.FPDFPage_Flatten(page.raw, self._raw.FLAT_NORMALDISPLAY)
            if flattened == self._raw.FLATTEN_SUCCESS:
                page.close()
                page = self._document[index]
        return page

    def is_heavy(self, index: int) -> bool:
        """No page is: drawings cost this engine little."""
        return False

    def information(self) -> Mapping[str, object]:
        """What the file says about itself."""
        return self._document.get_metadata_dict(skip_empty=True)

    def outline(self) -> Iterator[tuple[int, str, int]]:
        """Level (from 1), title and page index of each entry of the table of contents."""
        for entry in self._document.get_toc(max_depth=8):
            destination = entry.get_dest()
            index = destination.get_index() if destination else None
            if index is not None:
                yield entry.level + 1, entry.get_title(), index

    def close(self) -> None:
        """Give back memory and file."""
        self._document.close()


def _text_turn(raw: Any, page: Any) -> int:
    """How often the text is turned by 90 degrees against the clock, by the vote of a few pieces of it.

    It counts how the text runs, not how the page is held: landscape tables stand on portrait pages.
    """
    votes: Counter[int] = Counter()
    matrix = raw.FS_MATRIX()
    count = raw.FPDFPage_CountObjects(page.raw)
    for number in range(0, count, max(1, count // TURN_SAMPLE)):
        item = raw.FPDFPage_GetObject(page.raw, number)
        if raw.FPDFPageObj_GetType(item) == _TEXT and raw.FPDFPageObj_GetMatrix(item, matrix):
            votes[round(math.atan2(matrix.b, matrix.a) / (math.pi / 2)) % 4] += 1
    return votes.most_common(1)[0][0] if votes else 0
