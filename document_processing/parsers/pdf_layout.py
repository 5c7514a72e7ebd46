"""The lines and tables of a page in the order in which a person reads them.

The order in which a page draws its text is nearly always the order to read it in, and the only thing that
tells columns from tables when their lines lie close. So it stays as it is, except where it jumps back up the
page: then the blocks are sorted by cuts along white space (G. Nagy, S. Seth, Hierarchical representation of
optically scanned documents, 1984).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

from document_processing.parsers.pdf_geometry import Box, Line, Table, box_around, is_right_to_left
from document_processing.parsers.pdf_readers import PageText
from document_processing.parsers.pdf_tables import aligned_tables

PARAGRAPH_STEP = 1.4  # a step to the next line, measured in usual ones
BLOCK_GAP = 1.6  # a white space that ends a block, in line heights
SIZE_GAP = 0.3  # a white space that ends a block where the size of the font changes
SAME_SIZE = 1.12  # fonts that differ by less are of one block
APART = 0.8  # white space around a header or footer, in line heights
RAISED_OVERLAP, LEVEL_OVERLAP = 0.3, 0.8  # of the heights of two pieces of one line
RAISED_GAP = 0.15  # in line heights; more is a space
LABEL = 40  # characters; shorter blocks may be the labels of a figure
MARGIN_SHARE = 0.09  # of the height of a page, where headers and footers stand
LINES_IN_MARGIN = 3
NARROWEST_GUTTER = 4.0  # points between two columns
MOST_SORTED_BLOCKS = 400  # more are the labels of a drawing
FARTHEST_CONTINUATION = 5  # blocks between the halves of a sentence

_CAPTION = re.compile(
    r"(?:fig(?:ure|\.)?|table|tab\.|abb(?:ildung|\.)|tabelle|tableau|listing|algorithm|chart|figura|tabla|рис\.?|"
    r"рисунок|табл\.?|таблица|图|表|図|그림|표)\s*[\dIVX]",
    re.IGNORECASE,
)
_CUT_PATH = re.compile(r"\w/$")
_PATH_GOES_ON = re.compile(r"[\w-]+[./]\w")
_NO_SPACE_SCRIPTS = "\u3001\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uff01-\uff60"
_NO_SPACE_BEFORE = re.compile(f"[{_NO_SPACE_SCRIPTS}]")
_NO_SPACE_AFTER = re.compile(f"[{_NO_SPACE_SCRIPTS}]$")
_WIDE_MARK = re.compile("[\uff01-\uff0f\uff1a-\uff20\u3001\u3002\u300c-\u3011]")
_SENTENCE_END = re.compile(r"[.!?…:;。！？：；．][\"'”’»)\]」』】）]*$")


@dataclass(frozen=True, slots=True)
class Block:
    """Lines that follow each other without a gap, or one table."""

    box: Box
    lines: tuple[Line, ...] = ()
    table: Table | None = None

    @property
    def height(self) -> float:
        """That of a line."""
        return self.lines[0].height if self.lines else 0.0


def page_text(lines: Sequence[Line], tables: Sequence[Table], page_height: float) -> PageText:
    """The text of a page.

    Args:
        lines: in the order in which they are drawn.
        tables: ruled tables; the lines in them are replaced.
        page_height: in points.
    """
    lines = list(_mended(lines, tables))
    items = _with_tables(aligned_tables(_outside(lines, tables)), lines, tables)
    blocks = _margins_outside(list(_blocks(items)), page_height)
    if _jumps_back(blocks) and len(blocks) <= MOST_SORTED_BLOCKS:
        blocks = _margins_outside(_cut_along_white_space(blocks), page_height)
    blocks = _floats_behind_sentences(blocks)
    return PageText(_joined(blocks), sum(block.table is not None for block in blocks))


def _mended(lines: Sequence[Line], tables: Sequence[Table]) -> Iterator[Line]:
    """The lines, with those as one that stand at one height and were drawn one after the other.

    They are taken apart where a part is raised, as in fractions, and before short pieces behind wide gaps.
    """
    before: Line | None = None
    for line in lines:
        joined = _side_by_side(before, line) if before is not None else None
        if (
            before
            and joined
            and not all(_is_in(before, table) == _is_in(line, table) == _is_in(joined, table) for table in tables)
        ):
            joined = None
        if joined is None and before is not None:
            yield before
        before = joined or line
    if before is not None:
        yield before


def _side_by_side(before: Line, line: Line) -> Line | None:
    """Two lines as one, or None where they do not stand beside each other."""
    overlap = min(before.bottom, line.bottom) - max(before.top, line.top)
    height = min(before.height, line.height)
    gap = line.x0 - before.x1
    top, bottom = min(before.top, line.top), max(before.bottom, line.bottom)
    if overlap > RAISED_OVERLAP * height and -0.1 * line.height <= gap <= 0.5 * line.height:
        space = " " if gap > RAISED_GAP * line.height else ""
        return Line(f"{before.text}{space}{line.text}", before.x0, top, line.x1, bottom)
    if overlap > LEVEL_OVERLAP * height and gap > 0.5 * line.height and not is_right_to_left(line.text):
        pieces = (*before.pieces, *line.pieces)
        return Line(f"{before.text} {line.text}", before.x0, top, line.x1, bottom, pieces)
    return None


def _outside(lines: Sequence[Line], tables: Sequence[Table]) -> list[Line]:
    return [line for line in lines if not any(_is_in(line, table) for table in tables)]


def _is_in(line: Line, table: Table) -> bool:
    return table.box.holds((line.x0 + line.x1) / 2, line.middle)


def _with_tables(items: Sequence[Line | Table], lines: Sequence[Line], tables: Sequence[Table]) -> list[Line | Table]:
    """The items with each ruled table where the first of its lines was drawn."""
    if not tables:
        return list(items)
    behind: dict[Line | None, list[Table]] = {}
    waiting = list(tables)
    last_outside: Line | None = None
    for line in lines:
        table = next((each for each in tables if _is_in(line, each)), None)
        if table is None:
            last_outside = line
        elif table in waiting:
            waiting.remove(table)
            behind.setdefault(last_outside, []).append(table)
    placed: list[Line | Table] = list(behind.pop(None, []))
    for item in items:
        placed.append(item)
        if isinstance(item, Line):
            placed += behind.pop(item, [])
    return [*placed, *(table for rest in behind.values() for table in rest)]


def _blocks(items: Sequence[Line | Table]) -> Iterator[Block]:
    lines: list[Line] = []
    for item in items:
        if isinstance(item, Table):
            if lines:
                yield Block(box_around(lines), tuple(lines))
                lines = []
            yield Block(item.box, table=item)
            continue
        if lines and not _goes_on(lines[-1], item):
            yield Block(box_around(lines), tuple(lines))
            lines = []
        lines.append(item)
    if lines:
        yield Block(box_around(lines), tuple(lines))


def _goes_on(above: Line, line: Line) -> bool:
    if line.bottom - above.bottom < -0.3 * line.height:
        return False
    if line.x0 > above.x1 or line.x1 < above.x0:
        return False
    gap = (line.top - above.bottom) / min(line.height, above.height)
    # A line may begin with a word in another font; only with some space above it is it of another kind.
    return gap <= BLOCK_GAP and (gap < SIZE_GAP or _same_size(above.height, line.height))


def _same_size(first: float, second: float) -> bool:
    return first <= second * SAME_SIZE and second <= first * SAME_SIZE


def _margins_outside(blocks: Sequence[Block], page_height: float) -> list[Block]:
    """Headers first and footers last, wherever they were drawn."""
    margin = MARGIN_SHARE * page_height
    headers = [block for block in blocks if block.box.bottom < margin and _is_apart(block, blocks)]
    footers = [block for block in blocks if block.box.top > page_height - margin and _is_apart(block, blocks)]
    body = [block for block in blocks if block not in headers and block not in footers]
    headers = [block for block in headers if not _is_of_columns(block, body, margin)]
    footers = [block for block in footers if not _is_of_columns(block, body, page_height - margin)]
    body = [block for block in blocks if block not in headers and block not in footers]
    return [*headers, *body, *footers]


def _is_of_columns(block: Block, body: Sequence[Block], border: float) -> bool:
    """Whether text beside a header or footer goes on over the border of its margin: then it is of a column, too."""
    beside = [other for other in body if _is_beside(block, other)]
    return any(
        other.box.top < border < other.box.bottom
        or any(
            each.box.top < border < each.box.bottom
            and _touch(other.box, each.box, APART * max(other.height, each.height))
            for each in body
        )
        for other in beside
    )


def _is_apart(block: Block, blocks: Sequence[Block]) -> bool:
    """Whether a short block has white space above and below it, where other text would be set close."""
    if block.table is not None or len(block.lines) > LINES_IN_MARGIN:
        return False
    return not any(_touch(block.box, other.box, APART * block.height) for other in blocks if other is not block)


def _touch(first: Box, second: Box, gap: float) -> bool:
    """Whether one stands above the other with no more than a gap between them."""
    return (
        second.top < first.bottom + gap
        and second.bottom > first.top - gap
        and second.x0 < first.x1
        and second.x1 > first.x0
    )


def _is_beside(block: Block, other: Block) -> bool:
    return block.box.top < other.box.bottom - APART and other.box.top < block.box.bottom - APART


def _jumps_back(blocks: Sequence[Block]) -> bool:
    """Whether a block stands above the one before without standing to its right, as the next column would.

    The labels of figures do not count: they have no order.
    """
    texts = [
        block for block in blocks if block.table is not None or sum(len(line.text) for line in block.lines) > LABEL
    ]
    for before, block in pairwise(texts):
        if block.box.bottom < before.box.top + 1 and block.box.x0 < before.box.x1 - NARROWEST_GUTTER:
            return True
    return False


def _cut_along_white_space(blocks: list[Block]) -> list[Block]:
    if len(blocks) < 2:
        return blocks
    gutter = _gutter(blocks)
    if gutter is not None:
        left = [block for block in blocks if block.box.x1 <= gutter]
        right = [block for block in blocks if block.box.x1 > gutter]
        return _cut_along_white_space(left) + _cut_along_white_space(right)
    gaps = _gaps(blocks)
    if not gaps or not all(_cut_at(blocks, gaps[0])):
        return sorted(blocks, key=lambda block: (block.box.top, block.box.x0))
    # What spans all columns is cut off first, so that the columns below or above stay whole.
    for gap in gaps:
        upper, lower = _cut_at(blocks, gap)
        if _gutter(lower) is not None:
            return _cut_along_white_space(upper) + _cut_along_white_space(lower)
    for gap in reversed(gaps):
        upper, lower = _cut_at(blocks, gap)
        if _gutter(upper) is not None:
            return _cut_along_white_space(upper) + _cut_along_white_space(lower)
    upper, lower = _cut_at(blocks, gaps[0])
    return _cut_along_white_space(upper) + _cut_along_white_space(lower)


def _cut_at(blocks: Sequence[Block], gap: float) -> tuple[list[Block], list[Block]]:
    return [block for block in blocks if block.box.bottom <= gap], [block for block in blocks if block.box.bottom > gap]


def _gutter(blocks: Sequence[Block]) -> float | None:
    """Where the first white space runs from top to bottom with blocks on both sides."""
    reach = None
    for x0, x1 in sorted((block.box.x0, block.box.x1) for block in blocks):
        if reach is not None and x0 - reach >= NARROWEST_GUTTER:
            return reach
        reach = x1 if reach is None else max(reach, x1)
    return None


def _gaps(blocks: Sequence[Block]) -> list[float]:
    """Where white space runs from left to right, from top to bottom."""
    gaps: list[float] = []
    reach = None
    for top, bottom in sorted((block.box.top, block.box.bottom) for block in blocks):
        if reach is not None and top >= reach - 0.5:
            gaps.append(max(reach, top) - 0.25 if top < reach else reach)
        reach = bottom if reach is None else max(reach, bottom)
    return gaps


def _floats_behind_sentences(blocks: list[Block]) -> list[Block]:
    """Figures, tables and notes that interrupt a sentence, put behind the block that ends it."""
    ordered = list(blocks)
    usual_height = median([block.height for block in blocks if block.lines] or [0.0])
    position = 0
    while position < len(ordered) - 2:
        block = ordered[position]
        is_prose = len(block.lines) > 1 and block.height <= SAME_SIZE * usual_height  # no heading
        if is_prose and not _ends_sentence(block) and not _begins_small(ordered[position + 1]):
            target = _continuation(ordered, position)
            if target is not None:
                moved = ordered[position + 1 : target]
                ordered[position + 1 : target + 1] = [ordered[target], *moved]
        position += 1
    return ordered


def _continuation(blocks: Sequence[Block], position: int) -> int | None:
    """The index of the block that goes on with the sentence, where only floats lie between."""
    block = blocks[position]
    for index in range(position + 1, min(len(blocks), position + 1 + FARTHEST_CONTINUATION)):
        other = blocks[index]
        if index > position + 1 and _begins_small(other) and _same_size(block.height, other.height):
            return index
        if not _is_float(other, block.height):
            return None
    return None


def _is_float(block: Block, text_height: float) -> bool:
    """Whether a block is a table, a caption, or set in smaller letters, as notes and labels are."""
    if block.table is not None or _CAPTION.match(block.lines[0].text):
        return True
    return block.height < 0.94 * text_height


def _ends_sentence(block: Block) -> bool:
    return _SENTENCE_END.search(block.lines[-1].text) is not None


def _begins_small(block: Block) -> bool:
    return bool(block.lines) and block.lines[0].text[:1].islower()


def _joined(blocks: Sequence[Block]) -> str:
    lines = [line for block in blocks for line in block.lines]
    steps = [below.bottom - above.bottom for above, below in pairwise(lines)]
    usual_step = median([step for step in steps if step > 0] or [0.0])
    parts: list[str] = []
    before: Line | None = None
    for block in blocks:
        if block.table is not None:
            parts.append(("\n\n" if parts else "") + block.table.text)
            before = None
            continue
        for line in block.lines:
            parts.append(_joint(before, line, block.box.x1, usual_step) if before else "\n\n" if parts else "")
            parts.append(line.text)
            before = line
    return "".join(parts)


def _joint(before: Line, line: Line, right_border: float, usual_step: float) -> str:
    """A blank line between paragraphs; a sentence that goes on in small letters has none within."""
    if line.text[:1].islower():
        return "" if _CUT_PATH.search(before.text) and _PATH_GOES_ON.match(line.text) else "\n"
    step = line.bottom - before.bottom
    if step <= 0:  # the next column
        return "\n\n" if _SENTENCE_END.search(before.text) else "\n"
    if step > PARAGRAPH_STEP * usual_step:
        return "\n\n"
    # Scripts without spaces are cut anywhere, and a line end in them is no space.
    is_full = before.x1 > right_border - 2 * before.height
    if (
        is_full
        and _NO_SPACE_BEFORE.match(line.text)
        and (_NO_SPACE_AFTER.search(before.text) or _WIDE_MARK.match(line.text))
    ):
        return ""
    return "\n"
