"""Tables of reStructuredText as rows of cells."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from itertools import pairwise

_GRID_BORDER = re.compile(r"\+(?:[-=]+\+)+$")
_SIMPLE_BORDER = re.compile(r"=+(?: +=+)+$")
_SPAN_LINE = re.compile(r"-+(?: +-+)*$")
_ITEM = re.compile(r"(?P<row>\* +)?- ?(?P<text>.*)$")


def table_end(lines: Sequence[str], start: int) -> int:
    """Where the table that begins at a line ends; `start` where none does."""
    first = lines[start].strip()
    if _GRID_BORDER.match(first):
        end = start + 1
        while end < len(lines) and lines[end].lstrip()[:1] in ("+", "|") and lines[end].strip():
            end += 1
        return end if end - start > 2 else start
    if not _SIMPLE_BORDER.match(first):
        return start
    borders = 1
    for position in range(start + 1, len(lines)):
        if _SIMPLE_BORDER.match(lines[position].strip()) or set(lines[position].strip()) == {"="}:
            borders += 1
            is_last = position + 1 == len(lines) or not lines[position + 1].strip()
            if is_last:
                return position + 1
    return start


def table_rows(lines: Sequence[str]) -> list[list[str]] | None:
    """The rows of a table, lines of a cell joined by line ends; None where cells span several columns or rows."""
    if lines[0].startswith("+"):
        return _grid_rows(lines)
    return list(_simple_rows(lines))


def _grid_rows(lines: Sequence[str]) -> list[list[str]] | None:
    borders = [place for place, character in enumerate(lines[0].rstrip()) if character == "+"]
    rows: list[list[str]] = []
    cells: list[list[str]] = []
    for line in lines[1:]:
        line = line.rstrip()
        is_border = _GRID_BORDER.match(line) is not None
        if len(line) != borders[-1] + 1 or any(line[place] != ("+" if is_border else "|") for place in borders):
            return None
        if is_border:
            if [place for place, character in enumerate(line) if character == "+"] != borders:
                return None
            rows.append(["\n".join(cell).strip() for cell in cells])
            cells = []
        else:
            parts = [line[left + 1 : right] for left, right in pairwise(borders)]
            cells = [[*cell, part.strip()] for cell, part in zip(cells or [[]] * len(parts), parts, strict=True)]
    return [row for row in rows if row]


def _simple_rows(lines: Sequence[str]) -> Iterator[list[str]]:
    starts = [run.start() for run in re.finditer(r"=+", lines[0])]
    ends = [*starts[1:], None]
    row: list[str] = []
    for line in lines[1:]:
        text = line.rstrip()
        is_border = set(text) <= {"=", " "} or _SPAN_LINE.match(text) is not None
        cells = [] if is_border else _cells(text, starts, ends)
        if row and (is_border or not text or cells[0]):
            yield row
            row = []
        if cells:
            row = [f"{above}\n{cell}".strip() for above, cell in zip(row, cells, strict=True)] if row else cells


def _cells(text: str, starts: Sequence[int], ends: Sequence[int | None]) -> list[str]:
    """The cells of a line; what reaches over the border of a column belongs to the one before."""
    cells = [""] * len(starts)
    owner = 0
    for number, (start, end) in enumerate(zip(starts, ends, strict=True)):
        reaches_in = number > 0 and text[start - 1 : start].strip() and text[start : start + 1].strip()
        owner = owner if reaches_in else number
        cells[owner] += text[start:end]
    return [cell.strip() for cell in cells]


def csv_rows(lines: Sequence[str], header: str, delimiter: str) -> list[list[str]]:
    """The rows of a `csv-table`."""
    names = {"tab": "\t", "space": " "}
    separator = names.get(delimiter, delimiter)
    separator = separator if len(separator) == 1 and separator not in '\n\r"' else ","
    try:
        rows = [*csv.reader([header], delimiter=separator, skipinitialspace=True)] if header else []
        return [*rows, *csv.reader(lines, delimiter=separator, skipinitialspace=True)]
    except csv.Error:
        return [[line] for line in lines]


def list_rows(lines: Sequence[str]) -> list[list[str]] | None:
    """The rows of a `list-table`; None where it is no list of lists of one length."""
    rows: list[list[str]] = []
    for line in lines:
        item = _ITEM.match(line.strip())
        indent = len(line) - len(line.lstrip())
        if item and item["row"] and indent == 0:
            rows.append([item["text"]])
        elif item and indent == 2 and rows:
            rows[-1].append(item["text"])
        elif rows:
            rows[-1][-1] += f"\n{line.strip()}"
        elif line.strip():
            return None
    return rows or None
