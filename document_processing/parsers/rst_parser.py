"""reStructuredText: sections with their headings, as readable text.

A title is a line above a line of one repeated mark, and may have the same line above it. Which mark stands for
which level is told by their order in the file (docutils, "Sections" in its specification of the markup).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from unicodedata import east_asian_width

from document_processing.parsers.base import DocumentParser
from document_processing.parsers.rst_inline import Inline
from document_processing.parsers.rst_text import RstText
from document_processing.parsers.sections import DEEPEST_HEADING
from document_processing.parsers.text_parser import encoding_metadata, read_text
from document_processing.text_cleaning import clean_text
from shared_utils.records import Document

_ADORNMENT = re.compile(r"([!-/:-@\[-`{-~])\1*\s*$")
_LABEL = re.compile(r"\.\. _(?P<name>`[^`]+`|[^:`]+): *$")
_ROLE = re.compile(r"(?::[A-Za-z][\w.:+-]*:)?`{1,2}[!~]?([^`]+)`{1,2}")
SHORTEST_MISFIT = 4  # marks; docutils takes a line of them for an underline, also when the title is longer


class _Title(NamedTuple):
    """A heading as written and its lines, counted from 0."""

    text: str
    style: tuple[str, bool]  # its mark, and whether it stands above, too
    first_line: int
    end_line: int


class RstParser(DocumentParser):
    """Reads reStructuredText as one document a section, as Markdown is read."""

    def iter_parse(self, path: str | Path) -> Iterator[Document]:
        """The same as `parse`, as an iterator."""
        decoded = read_text(path)
        shared = encoding_metadata(decoded)
        lines = clean_text(decoded.text).expandtabs(8).split("\n")
        titles = list(_titles(lines))
        text = RstText(lines, _titles_by_label(lines, titles))
        titles = [found._replace(text=_plain(found.text, text.inline)) for found in titles]
        styles = list(dict.fromkeys(title.style for title in titles))
        title = titles[0].text if titles else Path(path).stem
        above: list[tuple[int, str]] = []
        for heading, first, end in _sections(titles, len(lines)):
            level = styles.index(heading.style) + 1 if heading else 0
            body_start = heading.end_line if heading else first
            if heading:
                above = [*(one for one in above if one[0] < level), (level, heading.text)]
            body = text.render(lines[body_start:end])
            head = f"{'#' * min(level, DEEPEST_HEADING)} {heading.text}" if heading else ""
            content = "\n\n".join(part for part in (head, body) if part.strip())
            if content:
                place: dict[str, Any] = {"heading_path": [text for _, text in above], "level": level}
                place |= {"line_start": first + 1, "line_end": _last_line(lines, first, end)}
                if text.inline.links:
                    place["links"] = text.inline.links
                yield Document(source=str(path), type="rst", title=title, content=content, metadata={**shared, **place})


def _sections(titles: Sequence[_Title], line_count: int) -> Iterator[tuple[_Title | None, int, int]]:
    """Heading, first line and end of each section; what stands before the first has no heading."""
    yield None, 0, titles[0].first_line if titles else line_count
    ends = [*(title.first_line for title in titles[1:]), line_count]
    for title, end in zip(titles, ends, strict=False):  # without titles one end is too many
        yield title, title.first_line, end


def _titles(lines: Sequence[str]) -> Iterator[_Title]:
    position = 0
    while position < len(lines) - 1:
        title = _overlined(lines, position) or _underlined(lines, position)
        if title:
            yield title
            position = title.end_line
        else:
            position += 1


def _overlined(lines: Sequence[str], position: int) -> _Title | None:
    if position + 2 >= len(lines) or not _begins_block(lines, position):
        return None
    above, text, below = (line.rstrip() for line in lines[position : position + 3])
    if above != below or not text or not _ADORNMENT.match(above) or _ADORNMENT.match(text):
        return None
    if _width(text) > len(above) and len(above) < SHORTEST_MISFIT:
        return None
    return _Title(text, (above[0], True), position, position + 3)


def _underlined(lines: Sequence[str], position: int) -> _Title | None:
    text, below = lines[position].rstrip(), lines[position + 1].rstrip()
    if not text or text[0] == " " or not _ADORNMENT.match(below) or not _begins_block(lines, position):
        return None
    if text.startswith((".. ", "|")) or (_ADORNMENT.match(text) and len(text) >= SHORTEST_MISFIT):
        return None
    if _width(text) > len(below) and len(below) < SHORTEST_MISFIT:
        return None
    return _Title(text, (below[0], False), position, position + 2)


def _begins_block(lines: Sequence[str], position: int) -> bool:
    """The line before ends what came before: it is blank, indented, or a target or comment."""
    before = lines[position - 1] if position else ""
    return not before.strip() or before.startswith((" ", ".."))


def _plain(text: str, inline: Inline) -> str:
    """A title without its marks."""
    return inline.line(text.strip()).removesuffix("::").strip()


def _titles_by_label(lines: Sequence[str], titles: Sequence[_Title]) -> dict[str, str]:
    """Titles by the labels (`.. _label:`) right above them, in lower case."""
    title_by_label: dict[str, str] = {}
    for title in titles:
        position = title.first_line - 1
        while position >= 0 and (not lines[position].strip() or _LABEL.match(lines[position])):
            label = _LABEL.match(lines[position])
            if label:
                title_by_label[label["name"].strip("`").lower()] = _ROLE.sub(lambda role: role[1], title.text.strip())
            position -= 1
    return title_by_label


def _width(text: str) -> int:
    """Columns that a text takes; Chinese characters take two."""
    return sum(2 if east_asian_width(character) in "WF" else 1 for character in text)


def _last_line(lines: Sequence[str], first: int, end: int) -> int:
    while end > first + 1 and not lines[end - 1].strip():
        end -= 1
    return end
