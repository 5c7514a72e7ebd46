"""Tables: cells between drawn lines, and columns that only stand below each other."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, pairwise, product
from statistics import median

from document_processing.parsers.pdf_geometry import Box, Edge, Line, Segment, Table

SNAP = 3.0  # points: lines that are nearer are one, and corners that are nearer meet
FEWEST_EDGES, MOST_EDGES = 4, 3_000  # fewer make no ruled table, more are a drawing and would take minutes
MOST_CELLS = 2_500
MOST_LINES_IN_CELL = 12
LEAST_FILLED_CELLS = 0.4  # a frame around a figure has rows and columns too, but empty ones

FEWEST_ALIGNED_ROWS = 3
LEAST_FILLED_ALIGNED = 0.6  # of the cells of an unruled table
WIDEST_ROW_STEP = 2.6  # from one row of an unruled table to the next, in line heights
WIDEST_PROSE_STEP = 5.0  # from one line of columns of prose to the next, where all of them have a gap
APART_STEP = 1.5  # measured in usual ones: what stands further away is no part of the columns
FEWEST_PROSE_LINES = 6
FULL_LINE = 0.75  # of its column: prose fills its lines, the cells of a table do not
PROSE_LINE = 25  # characters
LONGEST_MEDIAN_CELL = 60  # characters

_LIST_MARK = re.compile(r"(?:[^\w\s]{1,2}|\(?\d{1,3}[.):]?|\(?[a-zA-Z][.)]|[ivxIVX]{1,5}[.)])$")
_COMMENT = re.compile(r"(?:#|//|/\*|%|;|--|\(\*|<!--)\s*\w")
_LEADER = re.compile(r"(?:\. ?){4,}|…{2,}")


@dataclass(frozen=True, slots=True)
class Grid:
    """The cells of a ruled table, row by row; None where a cell reaches over from the row or column before."""

    box: Box
    rows: tuple[tuple[Box | None, ...], ...]


# -- ruled tables -------------------------------------------------------------------------------------------


def find_grids(horizontal: Sequence[Edge], vertical: Sequence[Edge]) -> list[Grid]:
    """The grids that lines form, from top to bottom.

    A cell is the smallest rectangle between four crossings whose sides are drawn (A. Nurminen, Algorithmic
    Extraction of Data in Tables in PDF Documents, 2013, section 4.2).
    """
    if not FEWEST_EDGES <= len(horizontal) + len(vertical) <= MOST_EDGES or not horizontal or not vertical:
        return []
    rows, columns = _joined(horizontal), _joined(vertical)
    cells = list(islice(_cells(rows, columns), MOST_CELLS + 1))
    if len(cells) > MOST_CELLS:
        return []  # graph paper
    return sorted((_grid(group) for group in _groups(cells)), key=lambda grid: (grid.box.top, grid.box.x0))


def _joined(edges: Iterable[Edge]) -> list[Edge]:
    """Lines that lie on each other or follow each other, as one."""
    joined: list[Edge] = []
    level: list[Edge] = []
    for edge in sorted(edges):
        if level and edge.at - level[0].at > SNAP:
            joined.extend(_joined_level(level))
            level = []
        level.append(edge)
    return [*joined, *_joined_level(level)]


def _joined_level(level: Sequence[Edge]) -> Iterator[Edge]:
    if not level:
        return
    at = sum(edge.at for edge in level) / len(level)
    start, end = None, 0.0
    for edge in sorted(level, key=lambda each: each.start):
        if start is not None and edge.start > end + SNAP:
            yield Edge(at, start, end)
            start = None
        start, end = (edge.start, edge.end) if start is None else (start, max(end, edge.end))
    if start is not None:
        yield Edge(at, start, end)


def _cells(rows: Sequence[Edge], columns: Sequence[Edge]) -> Iterator[Box]:
    for number, upper in enumerate(rows):
        crossing = [column for column in columns if _cross(upper, column)]
        for left, right in _neighbours(crossing):
            # The first line below that closes the cell, as long as both sides reach down to it.
            for lower in rows[number + 1 :]:
                if lower.at > min(left.end, right.end) + SNAP:
                    break
                if lower.at - upper.at > SNAP and _cross(lower, left) and _cross(lower, right):
                    yield Box(left.at, upper.at, right.at, lower.at)
                    break


def _neighbours(crossing: Sequence[Edge]) -> Iterator[tuple[Edge, Edge]]:
    """Columns next to each other that both go down from here."""
    return ((left, right) for left, right in pairwise(crossing) if right.at - left.at > SNAP)


def _cross(row: Edge, column: Edge) -> bool:
    return row.start - SNAP <= column.at <= row.end + SNAP and column.start - SNAP <= row.at <= column.end + SNAP


def _groups(cells: Sequence[Box]) -> Iterator[list[Box]]:
    """Cells that share a corner belong to one table."""
    parent = list(range(len(cells)))

    def root(number: int) -> int:
        while parent[number] != number:
            parent[number] = parent[parent[number]]
            number = parent[number]
        return number

    first_at: dict[tuple[float, float], int] = {}
    for number, cell in enumerate(cells):
        for corner in product((cell.x0, cell.x1), (cell.top, cell.bottom)):
            parent[root(number)] = root(first_at.setdefault(corner, number))
    groups: dict[int, list[Box]] = {}
    for number, cell in enumerate(cells):
        groups.setdefault(root(number), []).append(cell)
    yield from groups.values()


def _grid(cells: Sequence[Box]) -> Grid:
    tops = sorted({cell.top for cell in cells})
    lefts = sorted({cell.x0 for cell in cells})
    cell_at = {(cell.top, cell.x0): cell for cell in cells}
    box = Box(lefts[0], tops[0], max(cell.x1 for cell in cells), max(cell.bottom for cell in cells))
    return Grid(box, tuple(tuple(cell_at.get((top, left)) for left in lefts) for top in tops))


def table_of(grid: Grid, texts: Sequence[Sequence[str]]) -> Table | None:
    """The table of a grid whose cells hold these texts, or None where it is no table to a reader."""
    rows = [split for row in texts for split in split_row(list(row))]
    columns = max((len(row) for row in rows), default=0)
    filled = sum(bool(cell.strip()) for row in rows for cell in row)
    if len(rows) < 2 or columns < 2 or filled < LEAST_FILLED_CELLS * len(rows) * columns:
        return None
    if max(cell.count("\n") for row in rows for cell in row) >= MOST_LINES_IN_CELL:
        return None  # columns with a frame around: as rows they would be mixed up
    return Table(grid.box, tuple(tuple(cell_text(cell) for cell in row) for row in rows if any(row)))


def split_row(row: list[str]) -> list[list[str]]:
    """Rows with no line between them come as one; they show by as many lines in each cell."""
    heights = {cell.count("\n") + 1 for cell in row if cell}
    if len(heights) != 1 or heights == {1} or sum(bool(cell) for cell in row) < 2:
        return [row]
    (height,) = heights
    lines = [cell.split("\n") if cell else [""] * height for cell in row]
    return [list(cells) for cells in zip(*lines, strict=True)]


def cell_text(cell: str) -> str:
    """The lines of a cell as one; a word that is cut between two of them becomes whole."""
    joined = re.sub(r"(?<=[^\W\d_])-\n(?=[^\W\d_])", "", cell)
    return " ".join(joined.split())


# -- columns without lines ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class AlignedRun:
    """Lines `first` up to but without `end` whose pieces stand in columns."""

    first: int
    end: int
    columns: tuple[tuple[float, float], ...]


def aligned_tables(lines: Sequence[Line]) -> list[Line | Table]:
    """The lines, with what stands in columns as tables, and columns of prose one after the other."""
    items: list[Line | Table] = []
    position = 0
    for run in _aligned_runs(lines):
        items += lines[position : run.first]
        members = lines[run.first : run.end]
        if _is_prose(members, run.columns):
            items += _column_by_column(members, run.columns)
        elif _is_table(members, run.columns):
            items.append(_aligned_table(members, run.columns))
        else:
            items += members
        position = run.end
    return [*items, *lines[position:]]


def _aligned_runs(lines: Sequence[Line]) -> Iterator[AlignedRun]:
    position = no_prose_before = 0
    while position < len(lines):
        if len(lines[position].segments) < 2:
            position += 1
            continue
        run = None
        if position >= no_prose_before:
            run, no_prose_before = _prose_run(lines, position)
        run = run or _grown(lines, position)
        if run is None:
            position += 1
        else:
            yield run
            position = run.end


def _prose_run(lines: Sequence[Line], first: int) -> tuple[AlignedRun | None, int]:
    """Columns of prose from here, without the header or footer that stands apart, and up to where was looked."""
    run = _grown(lines, first, of_prose=True)
    if run is None or run.end - first < FEWEST_PROSE_LINES:
        return None, first
    steps = [below.bottom - above.bottom for above, below in pairwise(lines[first : run.end])]
    widest = APART_STEP * median(steps)
    start = first + 1 if steps[0] > widest else first
    end = run.end - 1 if steps[-1] > widest else run.end
    if not _is_prose(lines[start:end], run.columns):
        return None, run.end
    return AlignedRun(start, end, run.columns), run.end


def _grown(lines: Sequence[Line], first: int, *, of_prose: bool = False) -> AlignedRun | None:
    """The longest run of lines from here whose pieces fit into columns.

    Columns of prose end at different heights and leave white space, so any of them may stand alone in a line.
    """
    columns = [(piece.x0, piece.x1) for piece in lines[first].segments]
    end, rows = first + 1, 1
    widest_step = WIDEST_PROSE_STEP if of_prose else WIDEST_ROW_STEP
    while end < len(lines):
        line = lines[end]
        above = lines[end - 1]
        step = line.bottom - above.bottom
        if not 0 < step < widest_step * max(line.height, above.height):
            break
        widened = _widened(columns, line.pieces, line.height)
        if widened is None or (len(line.pieces) == 1 and not of_prose and not _continues(line, columns)):
            break
        columns = widened
        end += 1
        if len(line.pieces) > 1:
            rows += 1
    return AlignedRun(first, end, tuple(columns)) if rows >= FEWEST_ALIGNED_ROWS else None


def _continues(line: Line, columns: Sequence[tuple[float, float]]) -> bool:
    """Whether a line with one piece goes on in a cell of the row above: it stands in a column but the first."""
    return line.x0 > columns[0][1]


def _widened(
    columns: Sequence[tuple[float, float]], pieces: Sequence[Segment], height: float
) -> list[tuple[float, float]] | None:
    """The columns with these pieces in them; None where a piece reaches over a gutter."""
    widened = list(columns)
    for piece in pieces:
        touched = [number for number, (x0, x1) in enumerate(widened) if piece.x0 < x1 and piece.x1 > x0]
        if len(touched) > 1:
            return None
        if touched:
            x0, x1 = widened[touched[0]]
            widened[touched[0]] = (min(x0, piece.x0), max(x1, piece.x1))
        else:
            widened.append((piece.x0, piece.x1))
    widened.sort()
    if any(right[0] - left[1] < 0.5 * height for left, right in pairwise(widened)):
        return None
    return widened


def _column_texts(lines: Sequence[Line], column: tuple[float, float]) -> list[Segment]:
    return [piece for line in lines for piece in line.pieces if piece.x0 < column[1] and piece.x1 > column[0]]


def _is_prose(lines: Sequence[Line], columns: Sequence[tuple[float, float]]) -> bool:
    """Whether the columns are text that a reader follows downwards: long lines that fill their column."""
    if len(columns) > 3 or len(lines) < FEWEST_PROSE_LINES:
        return False
    for column in columns:
        pieces = _column_texts(lines, column)
        if not pieces:
            return False
        full = sum(piece.x1 - piece.x0 > FULL_LINE * (column[1] - column[0]) for piece in pieces)
        if full < 0.6 * len(pieces) or median(len(piece.text) for piece in pieces) < PROSE_LINE:
            return False
    return True


def _is_table(lines: Sequence[Line], columns: Sequence[tuple[float, float]]) -> bool:
    pieces = [piece for line in lines for piece in line.pieces]
    first_column = [piece.text for piece in _column_texts(lines, columns[0])]
    if len(columns) == 2 and all(_LIST_MARK.match(text) for text in first_column):
        return False  # a list: its marks stand apart from its text
    if any(_is_commentary(lines, column) for column in columns[1:]):
        return False  # the lines of a program with what they do beside them
    if _counts_up(first_column):
        return False  # the numbered lines of a program
    if any(_LEADER.search(piece.text) for piece in pieces):
        return False  # a table of contents reads better as it stands
    rows = sum(len(line.pieces) > 1 or line.pieces[0].x0 < columns[0][1] for line in lines)
    if len(pieces) < LEAST_FILLED_ALIGNED * rows * len(columns):
        return False  # the indented lines of a program
    return median(len(piece.text) for piece in pieces) <= LONGEST_MEDIAN_CELL


def _is_commentary(lines: Sequence[Line], column: tuple[float, float]) -> bool:
    return all(_COMMENT.match(piece.text) for piece in _column_texts(lines, column))


def _counts_up(texts: Sequence[str]) -> bool:
    numbers = [int(text) for text in texts if text.isdecimal() and len(text) < 8]
    return len(numbers) == len(texts) and all(below - above == 1 for above, below in pairwise(numbers))


def _column_by_column(lines: Sequence[Line], columns: Sequence[tuple[float, float]]) -> Iterator[Line]:
    for column in columns:
        for line in lines:
            for piece in line.pieces:
                if piece.x0 < column[1] and piece.x1 > column[0]:
                    yield Line(piece.text, piece.x0, line.top, piece.x1, line.bottom)


def _aligned_table(lines: Sequence[Line], columns: Sequence[tuple[float, float]]) -> Table:
    rows: list[list[list[str]]] = []  # the pieces of each cell of each row
    for line in lines:
        cells: list[list[str]] = [[] for _ in columns]
        for piece in line.pieces:
            number = next(n for n, (x0, x1) in enumerate(columns) if piece.x0 < x1 and piece.x1 > x0)
            cells[number].append(piece.text)
        if rows and not cells[0] and len(line.pieces) == 1:  # it goes on in a cell of the row above
            for number, pieces in enumerate(cells):
                rows[-1][number] += pieces
        else:
            rows.append(cells)
    texts = tuple(tuple(cell_text("\n".join(cell)) for cell in row) for row in rows)
    top, bottom = min(line.top for line in lines), max(line.bottom for line in lines)
    return Table(Box(columns[0][0], top, columns[-1][1], bottom), texts)
