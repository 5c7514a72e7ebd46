"""The straight lines that a page draws: borders of tables, rules, and underscores that are drawn, not written."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from document_processing.parsers.pdf_geometry import Box, Edge

THINNEST_SIDE = 3.0  # points; a drawn rectangle that is thinner is a line
SHORTEST_EDGE = 8.0  # points; shorter lines border no cell
MOST_PATHS = 1_500  # more are a drawing, and reading them would cost more than the text
MOST_SEGMENTS = 3_000
DEEPEST_FORM = 3
TEXT_SAMPLE = 200  # pieces of text that are asked whether they hold a character
# TeX draws the underscore of its oldest fonts as a rule of 0.3 em by 0.04 em.
UNDERSCORE_WIDTH, UNDERSCORE_HEIGHT = (1.5, 8.0), 1.0
LARGEST_SLOPE = 0.5  # points that the ends of a straight line may differ

_TEXT, _PATH, _IMAGE, _FORM = 1, 2, 3, 5  # FPDF_PAGEOBJ_TEXT, _PATH, _IMAGE, _FORM
_EMPTY_TEXT = 2  # bytes: the end of the string alone
_MOVE, _LINE_TO = 2, 0  # FPDF_SEGMENT_MOVETO, FPDF_SEGMENT_LINETO


class DrawnKinds(NamedTuple):
    """Whether a page draws pieces of text, readable or not, and whether it draws pictures."""

    has_text: bool
    has_picture: bool


Place = Callable[[float, float, float, float], Box]
_Matrix = tuple[float, float, float, float, float, float]
_IDENTITY: _Matrix = (1, 0, 0, 1, 0, 0)


@dataclass(frozen=True)
class Rulings:
    """Horizontal and vertical lines, and short ones that may be underscores."""

    horizontal: list[Edge] = field(default_factory=list)
    vertical: list[Edge] = field(default_factory=list)
    underscores: list[Box] = field(default_factory=list)


def read_rulings(raw: Any, page: Any, place: Place) -> Rulings:
    """The lines of a page; none where it holds so many that it is a drawing.

    Args:
        raw: the functions of pdfium.
        page: an open page of pypdfium2.
        place: turns a rectangle of the file (x0, y0, x1, y1) into one as a reader sees it.
    """
    rulings = Rulings()
    budget = MOST_SEGMENTS
    paths = 0
    bounds = _Bounds(raw)
    for path, matrix in _paths(raw, page.raw):
        paths += 1
        if paths > MOST_PATHS:
            return Rulings()
        x0, y0, x1, y1 = bounds.of(path)
        box = place(x0, y0, x1, y1) if matrix is _IDENTITY else _placed(matrix, (x0, y0), (x1, y1), place)
        if min(box.x1 - box.x0, box.bottom - box.top) < THINNEST_SIDE:
            _add(rulings, box)
            continue
        segments = raw.FPDFPath_CountSegments(path)
        budget -= max(0, segments)
        if budget < 0:
            return Rulings()
        for side in _sides(raw, path, segments, matrix, place):
            _add(rulings, side)
    return rulings


def drawn_kinds(raw: Any, page: Any) -> DrawnKinds:
    """What a page without readable text draws; a form within it may hold either."""
    kinds = {
        raw.FPDFPageObj_GetType(raw.FPDFPage_GetObject(page.raw, number))
        for number in range(min(MOST_PATHS, raw.FPDFPage_CountObjects(page.raw)))
    }
    return DrawnKinds(has_text=bool(kinds & {_TEXT, _FORM}), has_picture=bool(kinds & {_PATH, _IMAGE, _FORM}))


def share_without_meaning(raw: Any, page: Any, text_page: Any) -> float:
    """How many of the pieces of text that a page draws hold no character, 0 to 1: their fonts name none."""
    count = raw.FPDFPage_CountObjects(page.raw)
    pieces = empty = 0
    for number in range(0, count, max(1, count // TEXT_SAMPLE)):
        item = raw.FPDFPage_GetObject(page.raw, number)
        if raw.FPDFPageObj_GetType(item) == _TEXT:
            pieces += 1
            empty += raw.FPDFTextObj_GetText(item, text_page, None, 0) <= _EMPTY_TEXT
    return empty / max(1, pieces)


def _add(rulings: Rulings, box: Box) -> None:
    width, height = box.x1 - box.x0, box.bottom - box.top
    if width >= SHORTEST_EDGE and height < THINNEST_SIDE:
        rulings.horizontal.append(Edge((box.top + box.bottom) / 2, box.x0, box.x1))
    elif height >= SHORTEST_EDGE and width < THINNEST_SIDE:
        rulings.vertical.append(Edge((box.x0 + box.x1) / 2, box.top, box.bottom))
    if height <= UNDERSCORE_HEIGHT and UNDERSCORE_WIDTH[0] <= width <= UNDERSCORE_WIDTH[1]:
        rulings.underscores.append(box)


def _paths(raw: Any, page: Any) -> Iterator[tuple[Any, _Matrix]]:
    """The paths of a page and of the forms it draws, with the matrix that places them."""
    for number in range(raw.FPDFPage_CountObjects(page)):
        item = raw.FPDFPage_GetObject(page, number)
        kind = raw.FPDFPageObj_GetType(item)
        if kind == _PATH:
            yield item, _IDENTITY
        elif kind == _FORM:
            yield from _paths_of_form(raw, item, _IDENTITY, DEEPEST_FORM)


def _paths_of_form(raw: Any, form: Any, outer: _Matrix, depth: int) -> Iterator[tuple[Any, _Matrix]]:
    matrix = _product(_matrix_of(raw, form), outer)
    for number in range(min(MOST_PATHS, max(0, raw.FPDFFormObj_CountObjects(form)))):
        item = raw.FPDFFormObj_GetObject(form, number)
        kind = raw.FPDFPageObj_GetType(item)
        if kind == _PATH:
            yield item, matrix
        elif kind == _FORM and depth:
            yield from _paths_of_form(raw, item, matrix, depth - 1)


def _matrix_of(raw: Any, item: Any) -> _Matrix:
    found = raw.FS_MATRIX()
    raw.FPDFPageObj_GetMatrix(item, ctypes.byref(found))
    return found.a, found.b, found.c, found.d, found.e, found.f


def _product(first: _Matrix, second: _Matrix) -> _Matrix:
    a, b, c, d, e, f = first
    p, q, r, s, t, u = second
    return a * p + b * r, a * q + b * s, c * p + d * r, c * q + d * s, e * p + f * r + t, e * q + f * s + u


class _Bounds:
    """Asks for the rectangles around paths; a page may draw a thousand."""

    def __init__(self, raw: Any) -> None:
        self._ask = raw.FPDFPageObj_GetBounds
        self._sides = [ctypes.c_float() for _ in range(4)]
        self._references = [ctypes.byref(side) for side in self._sides]

    def of(self, path: Any) -> tuple[float, float, float, float]:
        self._ask(path, *self._references)
        left, bottom, right, top = self._sides
        return left.value, bottom.value, right.value, top.value


def _placed(matrix: _Matrix, start: tuple[float, float], end: tuple[float, float], place: Place) -> Box:
    (x0, y0), (x1, y1) = (_moved(matrix, *point) for point in (start, end))
    return place(min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1))


def _moved(matrix: _Matrix, x: float, y: float) -> tuple[float, float]:
    if matrix is _IDENTITY:
        return x, y
    a, b, c, d, e, f = matrix
    return a * x + c * y + e, b * x + d * y + f


def _sides(raw: Any, path: Any, segments: int, outer: _Matrix, place: Place) -> Iterator[Box]:
    """The straight sides of a path that is no single line, such as a frame or a grid."""
    matrix = _product(_matrix_of(raw, path), outer)
    x, y = ctypes.c_float(), ctypes.c_float()
    at_x, at_y = ctypes.byref(x), ctypes.byref(y)
    begin = before = (0.0, 0.0)
    for number in range(segments):
        segment = raw.FPDFPath_GetPathSegment(path, number)
        raw.FPDFPathSegment_GetPoint(segment, at_x, at_y)
        point = _moved(matrix, x.value, y.value)
        kind = raw.FPDFPathSegment_GetType(segment)
        if kind == _MOVE:
            begin = point
        elif kind == _LINE_TO:
            yield from _straight(before, point, place)
        if raw.FPDFPathSegment_GetClose(segment):
            yield from _straight(point, begin, place)
        before = point


def _straight(start: tuple[float, float], end: tuple[float, float], place: Place) -> Iterator[Box]:
    if abs(start[0] - end[0]) <= LARGEST_SLOPE or abs(start[1] - end[1]) <= LARGEST_SLOPE:
        yield _placed(_IDENTITY, start, end, place)
