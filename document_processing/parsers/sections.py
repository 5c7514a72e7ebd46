"""Blocks of text and headings, as most kinds of documents hold them, put together to documents.

A parser tells its file as blocks in reading order. Headings become Markdown headings, tables Markdown rows and
code a fence, so that chunks and instruction pairs see them in every format alike.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from document_processing.text_cleaning import clean_text
from shared_utils.records import Document, DocumentType

DEEPEST_HEADING = 6  # Markdown has no more

_BACKTICKS = re.compile(r"`{3,}")


class Block(NamedTuple):
    """A paragraph, list, table or code block; with `level` from 1, a heading on one line."""

    text: str
    level: int = 0


def section_documents(
    source: str | Path,
    kind: DocumentType,
    title: str,
    blocks: Iterable[Block],
    metadata: dict[str, Any],
) -> Iterator[Document]:
    """One document a section: a heading with the blocks up to the next one.

    Args:
        source: the file.
        kind: type of the documents.
        title: that of the file; when empty the first heading of the highest level, else the name of the file.
        blocks: in reading order.
        metadata: goes into each document, beside `heading_path` and `level`.
    """
    blocks = cleaned(blocks)
    title = title_of(blocks, title) or Path(source).stem
    path: list[Block] = []
    for section in _sections(blocks):
        if section[0].level:
            path = [*(above for above in path if above.level < section[0].level), section[0]]
        place = {"heading_path": [heading.text for heading in path], "level": section[0].level}
        yield Document(
            source=str(source), type=kind, title=title, content=markdown_of(section), metadata={**metadata, **place}
        )


def title_of(blocks: Sequence[Block], title: str = "") -> str:
    """The title given, on one line; without one, the first of the highest headings."""
    named = one_line(clean_text(title))
    headings = [block for block in blocks if block.level]
    return named or (min(headings, key=lambda block: block.level).text if headings else "")


def cleaned(blocks: Iterable[Block]) -> list[Block]:
    """Clean text, headings on one line; blocks without text are left out."""
    clean = [Block(one_line(clean_text(text)) if level else clean_text(text), level) for text, level in blocks]
    return [Block(block.text.strip("\n").rstrip(), block.level) for block in clean if block.text.strip()]


def markdown_of(blocks: Iterable[Block]) -> str:
    """Blocks as one text, set apart by blank lines."""
    return "\n\n".join(
        f"{'#' * min(block.level, DEEPEST_HEADING)} {block.text}" if block.level else block.text for block in blocks
    )


def markdown_table(rows: Iterable[Sequence[str]]) -> str:
    """Rows of cells as Markdown; the first one is the header. Empty rows are left out."""
    lines = [[one_line(cell).replace("|", "\\|") for cell in row] for row in rows]
    lines = [cells for cells in lines if any(cells)]
    if not lines:
        return ""
    width = max(len(cells) for cells in lines)
    text = [f"| {' | '.join([*cells, *[''] * (width - len(cells))])} |" for cells in lines]
    text.insert(1, "|" + " --- |" * width)
    return "\n".join(text)


def fenced(code: str, language: str = "") -> str:
    """Code between fences that are longer than any inside of it."""
    longest = max((len(run) for run in _BACKTICKS.findall(code)), default=2)
    fence = "`" * (longest + 1)
    return f"{fence}{language}\n{code.strip(chr(10))}\n{fence}"


def one_line(text: str) -> str:
    """Text without line breaks and doubled spaces."""
    return " ".join(text.split())


def _sections(blocks: Sequence[Block]) -> Iterator[Sequence[Block]]:
    starts = [position for position, block in enumerate(blocks) if block.level]
    for start, end in zip([0, *starts], [*starts, len(blocks)], strict=True):
        if start < end:
            yield blocks[start:end]
