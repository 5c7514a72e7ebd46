"""The lines and tables of one page, from pdfium.

pdfium puts a page's characters into lines itself, in the order in which the page draws them. This module asks
only for the place of each line, and for that of single characters only where a line has wide gaps, jumps
backwards or needs repair: asking for all would cost more than reading.
"""

from __future__ import annotations

import ctypes
import re
from collections.abc import Iterator, Sequence
from statistics import median
from typing import Any, NamedTuple

from document_processing.parsers.pdf_accents import NOTHING, place_accents
from document_processing.parsers.pdf_geometry import Box, Line, Segment, Table, is_right_to_left
from document_processing.parsers.pdf_glyphs import UNNAMED, symbol_of
from document_processing.parsers.pdf_layout import page_text
from document_processing.parsers.pdf_readers import PageText
from document_processing.parsers.pdf_rulings import Rulings, drawn_kinds, read_rulings, share_without_meaning
from document_processing.parsers.pdf_tables import Grid, find_grids, table_of

WIDE_GAP = 1.2  # times the height of the line: more than a space, even in loosely set lines
BACKWARD_JUMP = 0.8  # times the height of the line: further back than an accent or an italic overhang
SAME_ROW = 0.4  # of the height of a piece that is drawn over another of its row
UNUSUAL_SPREAD = 1.3  # times the usual width of a character
MOST_UNDERSCORES = 400
FEW_CHARACTERS = 500  # of a page; where there are more, pdfium knows the fonts
MOST_WITHOUT_MEANING = 0.5  # of the pieces of text; spaces alone hold none

_WORD = re.compile("[^\\s\0]+")
_LINE = re.compile("[^\r\n\ufffe]+\ufffe?")


class _Draft(NamedTuple):
    """Where a line begins and ends among the characters and on the page."""

    start: int
    end: int
    x0: float
    top: float
    x1: float
    bottom: float
    is_broken: bool

    @property
    def spread(self) -> float:
        """The mean width of a character, in line heights."""
        return (self.x1 - self.x0) / (self.end - self.start) / max(1.0, self.bottom - self.top)


class _Row(NamedTuple):
    """What of a line stands at one height."""

    start: int
    end: int
    top: float
    bottom: float
    segments: tuple[Segment, ...]


class PageReading:
    """The lines and rulings of one page that is open in pdfium."""

    def __init__(self, raw: Any, page: Any, text_page: Any) -> None:
        self._raw, self._page, self._handle = raw, page, text_page.raw
        self._doubles = [ctypes.c_double() for _ in range(4)]
        self._references = [ctypes.byref(number) for number in self._doubles]
        self._rectangle = raw.FS_RECTF()
        self._rectangle_reference = ctypes.byref(self._rectangle)
        text = text_page.get_text_range()
        self._characters = text_page.count_chars()
        # pdfium counts UTF-16 units: a character beyond the first 65,536 takes two.
        self._units = text if len(text) == self._characters else _utf16_units(text)
        self._has_halves = self._units is not text
        if len(self._units) != self._characters:
            self._units = self._with_unwritten(self._units)
        self._left, lower, _, self._upper = page.get_bbox()
        self._height = self._upper - lower
        self._span_of: dict[Line, tuple[int, int]] = {}
        self._drawn: dict[int, str] = {}  # what is drawn in front of a character, not written

    def result(self) -> PageText:
        """The text of the page in reading order."""
        if not self._units.strip():
            kinds = drawn_kinds(self._raw, self._page)
            return PageText("", is_bare=not kinds.has_text, is_blank=not any(kinds))
        rulings = read_rulings(self._raw, self._page, self._placed)
        self._name_symbols()
        self._units = place_accents(self._units, self._box_of, self._character_at)
        self._write_underscores(rulings)
        lines = self._lines()
        grids = find_grids(rulings.horizontal, rulings.vertical)
        tables = [table for grid in grids if (table := self._table(grid, lines)) is not None]
        return page_text(lines, tables, self._height)._replace(is_partial=self._is_partial())

    def _is_partial(self) -> bool:
        """Whether pdfium finds no character in much of what the page writes."""
        if self._characters >= FEW_CHARACTERS:
            return False
        return share_without_meaning(self._raw, self._page, self._handle) > MOST_WITHOUT_MEANING

    def _with_unwritten(self, units: str) -> str:
        """The text with `NOTHING` for each character that pdfium counts but does not write."""
        index_of = self._raw.FPDFText_GetTextIndexFromCharIndex
        indices = [index_of(self._handle, number) for number in range(self._characters)]
        return "".join(units[index] if 0 <= index < len(units) else NOTHING for index in indices)

    # -- places ---------------------------------------------------------------------------------------------

    def _placed(self, x0: float, y0: float, x1: float, y1: float) -> Box:
        """A rectangle of the file, whose y grows upwards, as a reader sees it."""
        left, upper = self._left, self._upper
        return Box(x0 - left, upper - y1, x1 - left, upper - y0)

    def _box_of(self, index: int) -> Box:
        """The box around the ink of a character."""
        left, right, bottom, top = self._doubles
        self._raw.FPDFText_GetCharBox(self._handle, index, *self._references)
        return self._placed(left.value, bottom.value, right.value, top.value)

    def _font_box_of(self, index: int) -> Box:
        """The box of a character with the full height of its font."""
        rectangle = self._rectangle
        self._raw.FPDFText_GetLooseCharBox(self._handle, index, self._rectangle_reference)
        return self._placed(rectangle.left, rectangle.bottom, rectangle.right, rectangle.top)

    # -- lines ----------------------------------------------------------------------------------------------

    def _lines(self) -> list[Line]:
        drafts = [draft for found in _LINE.finditer(self._units) if (draft := self._draft(*found.span()))]
        broken = self._broken(drafts)
        lines: list[Line] = []
        for number, draft in enumerate(drafts):
            for row in broken.get(number) or (_Row(draft.start, draft.end, draft.top, draft.bottom, ()),):
                line = self._line(draft, row)
                if line.text:
                    self._span_of[line] = (row.start, row.end)
                    lines.append(line)
        return lines

    def _line(self, draft: _Draft, row: _Row) -> Line:
        segments = row.segments
        if not segments:
            return Line(self._text(draft.start, draft.end), draft.x0, draft.top, draft.x1, draft.bottom)
        text = " ".join(segment.text for segment in segments)
        x0, x1 = min(segment.x0 for segment in segments), max(segment.x1 for segment in segments)
        return Line(text, x0, row.top, x1, row.bottom, segments if len(segments) > 1 else ())

    def _draft(self, start: int, end: int) -> _Draft | None:
        units = self._units
        while start < end and (units[start].isspace() or units[start] == NOTHING):
            start += 1
        while end > start and (units[end - 1].isspace() or units[end - 1] == NOTHING):
            end -= 1
        if start == end:
            return None
        rectangle, left, upper = self._rectangle, self._left, self._upper
        raw, handle = self._raw, self._handle
        raw.FPDFText_GetLooseCharBox(handle, start, self._rectangle_reference)
        top, bottom = upper - rectangle.top, upper - rectangle.bottom
        height = bottom - top
        # The pieces that the page draws at once; one of them may hold wide gaps, too.
        run_left, run_top, run_right, run_bottom = self._references
        x0, x1, is_broken = rectangle.left, rectangle.right, False
        before0 = before1 = None
        rectangle_of = raw.FPDFText_GetRect
        for number in range(raw.FPDFText_CountRects(handle, start, end - start)):
            rectangle_of(handle, number, run_left, run_top, run_right, run_bottom)
            run0, run1 = self._doubles[0].value, self._doubles[2].value
            if before0 is None or before1 is None:
                x0, x1 = run0, run1
            else:
                x0, x1 = min(x0, run0), max(x1, run1)
                if run0 - before1 > WIDE_GAP * height or run0 < before0 - BACKWARD_JUMP * height:
                    is_broken = True
            before0, before1 = run0, run1
        # The pieces leave out what is drawn in a font that is not in the file.
        first = rectangle.left
        raw.FPDFText_GetLooseCharBox(handle, end - 1, self._rectangle_reference)
        last = rectangle.right
        if first < x0 - height:
            x0 = first
        if last > x1 + height:
            x1 = last
        return _Draft(start, end, x0 - left, top, x1 - left, bottom, is_broken)

    def _broken(self, drafts: Sequence[_Draft]) -> dict[int, list[_Row]]:
        """The rows and segments of the lines that have wide gaps or jump backwards, by the number of the line.

        A line is looked at when its pieces or its width tell of a gap, and when a line beside it has one.
        """
        usual = median([draft.spread for draft in drafts if draft.end - draft.start >= 20] or [1.0])
        suspicious = [
            number
            for number, draft in enumerate(drafts)
            if draft.is_broken or (draft.end - draft.start > 3 and draft.spread > UNUSUAL_SPREAD * usual)
        ]
        rows_of: dict[int, list[_Row]] = {}
        while suspicious:
            number = suspicious.pop()
            if number in rows_of or not 0 <= number < len(drafts):
                continue
            draft = drafts[number]
            rows_of[number] = self._rows(draft)
            if sum(len(row.segments) for row in rows_of[number]) > 1:
                suspicious += [number - 1, number + 1]
        return rows_of

    def _rows(self, draft: _Draft) -> list[_Row]:
        """The pieces of a line between wide gaps, from left to right.

        What stands higher or lower makes a row of its own: pages that were drawn in no order run together.
        """
        segments = [piece for piece in self._segments(draft) if piece[2].text]
        if len(segments) == 1:
            start, end, segment = segments[0]
            return [_Row(start, end, draft.top, draft.bottom, (segment,))]
        rows: list[_Row] = []
        for start, end, segment in segments:
            box = self._font_box_of(start)
            if rows and _stands_beside(segment, box, rows[-1]):
                row = rows[-1]
                rows[-1] = _Row(row.start, end, row.top, row.bottom, (*row.segments, segment))
            else:
                top, bottom = (box.top, box.bottom) if rows else (draft.top, draft.bottom)
                rows.append(_Row(start, end, top, bottom, (segment,)))
        rows = [row._replace(segments=_from_the_left(row.segments)) for row in rows]
        return rows if len(rows) < 3 else _from_the_top(rows)

    def _segments(self, draft: _Draft) -> Iterator[tuple[int, int, Segment]]:
        """The pieces of a line between wide gaps as they are drawn, and where each begins and ends."""
        height = draft.bottom - draft.top
        widest, furthest_back = WIDE_GAP * height, BACKWARD_JUMP * height
        left, right = self._doubles[0], self._doubles[1]
        places, box_of, handle, offset = self._references, self._raw.FPDFText_GetCharBox, self._handle, self._left
        begin = last_end = draft.start
        x0 = x1 = 0.0
        is_open = False
        # Where a line has a gap, pdfium has put a space; so the ends of the words tell all.
        for word in _WORD.finditer(self._units, draft.start, draft.end):
            start, end = word.span()
            box_of(handle, start, *places)
            word_x0 = left.value - offset
            if is_open and (word_x0 - x1 > widest or word_x0 < x1 - furthest_back):
                yield begin, last_end, self._segment(begin, last_end, x0, x1)
                is_open = False
            if not is_open:
                begin, x0, is_open = start, word_x0, True
            if end - start > 1:
                box_of(handle, end - 1, *places)
            x1, last_end = right.value - offset, end
        if is_open:
            yield begin, draft.end, self._segment(begin, draft.end, x0, x1)

    def _segment(self, start: int, end: int, x0: float, x1: float) -> Segment:
        return Segment(self._text(start, end).strip(), x0, x1)

    def _text(self, start: int, end: int) -> str:
        text = self._units[start:end]
        if self._drawn:
            for index in sorted((index for index in self._drawn if start <= index < end), reverse=True):
                text = text[: index - start] + self._drawn[index] + text[index - start :]
        text = text.replace(NOTHING, "").replace("\ufffe", "-")
        return _joined_units(text) if self._has_halves else text

    # -- repairs --------------------------------------------------------------------------------------------

    def _name_symbols(self) -> None:
        """Put symbols for the control characters that stand for them in fonts of TeX."""
        changed: dict[int, str] = {}
        name = ctypes.create_string_buffer(128)
        flags = ctypes.c_int()
        for found in UNNAMED.finditer(self._units):
            length = self._raw.FPDFText_GetFontInfo(self._handle, found.start(), name, len(name), ctypes.byref(flags))
            if 0 < length <= len(name):
                changed[found.start()] = symbol_of(found.group(), name.value.decode("utf-8", "replace"))
        if changed:
            self._units = "".join(changed.get(index, unit) for index, unit in enumerate(self._units))

    def _write_underscores(self, rulings: Rulings) -> None:
        """Write the underscores that are drawn as short rules between two letters."""
        units = list(self._units) if rulings.underscores else []
        boxes = sorted(rulings.underscores, key=lambda box: (round(box.top), box.x0))[:MOST_UNDERSCORES]
        for row in _adjacent(boxes):
            left, right = self._beside(row[0].x0 - 1.0, row[0]), self._beside(row[-1].x1 + 1.0, row[-1])
            if left is not None and self._box_of(left).x1 > row[0].x0 + 0.5:
                left = None  # it stands above: an underline
            if right is not None and self._box_of(right).x0 < row[-1].x1 - 0.5:
                right = None
            if right is not None or left is not None:
                self._drawn[right if right is not None else (left or 0) + 1] = "_" * len(row)
            if left is not None and right is not None and not self._units[left + 1 : right].strip():
                units[left + 1 : right] = NOTHING * (right - left - 1)
        if self._drawn:
            self._units = "".join(units)

    def _beside(self, x: float, rule: Box) -> int | None:
        """The character beside the end of a rule: a letter reaches higher than a full stop does."""
        letter = self._character_at(x, rule.top - 3.0)
        return self._character_at(x, rule.bottom - 0.5) if letter is None else letter

    def _character_at(self, x: float, y: float) -> int | None:
        x, y = x + self._left, self._upper - y
        index = self._raw.FPDFText_GetCharIndexAtPos(self._handle, x, y, 1.5, 2.0)
        if index < 0 or index >= self._characters or self._units[index].isspace():
            return None
        return int(index)

    # -- tables ---------------------------------------------------------------------------------------------

    def _table(self, grid: Grid, lines: Sequence[Line]) -> Table | None:
        """The table of a grid, or None where it is none to a reader."""
        texts: dict[Box, list[str]] = {}
        all_cells = [cell for row in grid.rows for cell in row if cell]
        for line in lines:
            if grid.box.holds((line.x0 + line.x1) / 2, line.middle):
                cells = [cell for cell in all_cells if cell.top <= line.middle <= cell.bottom] or _nearest(
                    line, all_cells
                )
                for cell, text in self._by_cell(line, cells):
                    texts.setdefault(cell, []).append(text)
        return table_of(grid, [["\n".join(texts.get(cell, ())) if cell else "" for cell in row] for row in grid.rows])

    def _by_cell(self, line: Line, cells: Sequence[Box]) -> Iterator[tuple[Box, str]]:
        """What stands of a line in each cell; nothing is left out that reaches over the last one."""
        inside = [cell for cell in cells if cell.x0 <= line.x0 + 1 and line.x1 - 1 <= cell.x1]
        if inside:
            yield inside[0], line.text
            return
        start, end = self._span_of[line]
        begin, current = start, None
        for index in range(start, end):
            if self._units[index].isspace() or self._units[index] == NOTHING:
                continue
            box = self._box_of(index)
            middle = (box.x0 + box.x1) / 2
            cell = min(cells, key=lambda each: max(each.x0 - middle, middle - each.x1, 0.0))
            if cell is not current:
                if current is not None:
                    yield current, self._text(begin, index).strip()
                begin, current = index, cell
        if current is not None:
            yield current, self._text(begin, end).strip()


def _nearest(line: Line, cells: Sequence[Box]) -> list[Box]:
    """The cells that lie least far above or below a line."""
    distances = [max(cell.top - line.middle, line.middle - cell.bottom) for cell in cells]
    least = min(distances)
    return [cell for cell, distance in zip(cells, distances, strict=True) if distance <= least]


def _stands_beside(segment: Segment, box: Box, row: _Row) -> bool:
    """Whether a piece belongs to a row; a cell that is centred beside two lines may hang half a line lower."""
    overlap = min(box.bottom, row.bottom) - max(box.top, row.top)
    if any(segment.x0 < other.x1 and other.x0 < segment.x1 for other in row.segments):
        return overlap > SAME_ROW * (box.bottom - box.top)
    return overlap > 0


def _from_the_left(segments: tuple[Segment, ...]) -> tuple[Segment, ...]:
    if any(is_right_to_left(segment.text) for segment in segments):
        return segments
    return tuple(sorted(segments, key=lambda segment: segment.x0))


def _from_the_top(rows: Sequence[_Row]) -> list[_Row]:
    """Rows in the order of reading; parts of one row that were drawn apart stand next to each other."""
    levels: list[list[_Row]] = []
    for row in sorted(rows, key=lambda row: (row.top, row.segments[0].x0)):
        if levels and row.top < (levels[-1][0].top + levels[-1][0].bottom) / 2:
            levels[-1].append(row)
        else:
            levels.append([row])
    return [row for level in levels for row in sorted(level, key=lambda row: row.segments[0].x0)]


def _adjacent(boxes: Sequence[Box]) -> Iterator[list[Box]]:
    """Boxes of one height that touch, together."""
    row: list[Box] = []
    for box in boxes:
        if row and (abs(box.top - row[-1].top) > 1 or box.x0 - row[-1].x1 > 1 or box.x0 < row[-1].x0):
            yield row
            row = []
        row.append(box)
    if row:
        yield row


def _utf16_units(text: str) -> str:
    """A string with one character a UTF-16 unit: what takes two becomes its two halves."""
    data = text.encode("utf-16-le", "surrogatepass")
    return "".join(map(chr, memoryview(data).cast("H")))


def _joined_units(units: str) -> str:
    """The opposite of `_utf16_units`."""
    return units.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
