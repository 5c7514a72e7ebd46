"""Markdown files: front matter, sections, readable text."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from markdown_it.token import Token

from document_processing.parsers.front_matter import FrontMatter, read_front_matter
from document_processing.parsers.markdown_dialects import as_commonmark
from document_processing.parsers.markdown_text import Renderer, block_parser
from document_processing.parsers.text_parser import encoding_metadata, read_text
from document_processing.text_cleaning import clean_text
from shared_utils.records import Document

# markdown-it stops at this depth and drops what lies deeper; such blocks are kept as written.
DEEPEST_NESTING = 18

_NOT_A_LINE_END = re.compile("[\v\f\x85\u2028\u2029]")  # clean_text would make lines of them and shift the numbers


class _Section(NamedTuple):
    """A heading with the blocks up to the next one; lines are counted from 0 in the body."""

    heading: Token | None
    level: int
    tokens: Sequence[Token]
    first_line: int
    end_line: int


class MarkdownParser:
    """Reads a Markdown file as one document a section.

    Args:
        extract_frontmatter: move the block of keys at the top into the metadata.
        split_by_sections: one document a section; otherwise one a file.
        preserve_code_blocks: keep code blocks as written; otherwise they are left out.
    """

    def __init__(
        self,
        extract_frontmatter: bool = True,
        split_by_sections: bool = True,
        preserve_code_blocks: bool = True,
    ) -> None:
        self._extract_frontmatter = extract_frontmatter
        self._split_by_sections = split_by_sections
        self._preserve_code_blocks = preserve_code_blocks

    def parse(self, path: str | Path) -> list[Document]:
        """The documents of the file.

        `title` is that of the file: from its front matter, else its first heading, else its name. The
        headings above a section are its `heading_path`.

        Raises:
            DataValidationError: the file cannot be opened.
            DocumentProcessingError: it is not text.
        """
        return list(self.iter_parse(path))

    def iter_parse(self, path: str | Path) -> Iterator[Document]:
        """The same as `parse`, as an iterator."""
        decoded = read_text(path)
        yield from self.documents_of(decoded.text, path, encoding_metadata(decoded))

    def documents_of(
        self, text: str, source: str | Path, metadata: Mapping[str, Any] | None = None
    ) -> Iterator[Document]:
        """The documents of a text, with `metadata` in each."""
        shared = dict(metadata or {})
        text = clean_text(_NOT_A_LINE_END.sub(" ", text))
        front = read_front_matter(text) if self._extract_frontmatter else FrontMatter()
        if front.values:
            shared["frontmatter"] = front.values
        if front.warning:
            shared["warnings"] = [*shared.get("warnings", []), front.warning]
        has_modules = Path(source).suffix.casefold() == ".mdx"
        body_lines = as_commonmark(text.split("\n")[front.lines :], has_modules=has_modules)
        for title, document in self._documents(body_lines, front):
            document_metadata = {**shared, **document.pop("metadata"), "title": title}
            yield Document(
                source=str(source),
                type="markdown",
                title=title or Path(source).stem,
                content=document["content"],
                metadata={key: value for key, value in document_metadata.items() if value != ""},
            )

    def _documents(self, body_lines: Sequence[str], front: FrontMatter) -> Iterator[tuple[str, dict[str, Any]]]:
        environment: dict[str, Any] = {}
        tokens = block_parser().parse("\n".join(body_lines), environment)
        renderer = Renderer(environment, keep_code=self._preserve_code_blocks)
        title = _title(front, tokens, renderer)
        if front.unreadable:
            yield title, _document(front.unreadable, [], 0, 1, front.lines, [])
        sections = list(_sections(tokens, body_lines))
        if not self._split_by_sections:
            sections = [_Section(None, 0, tokens, 0, len(body_lines))]
        path: list[tuple[int, str]] = []
        for section in sections:
            if section.heading is not None:
                path = [above for above in path if above[0] < section.level]
                named = renderer.heading(section.heading.content)
                path += [(section.level, named)] if named else []
            content = _render(section, renderer, body_lines)
            if content:
                first, last = _visible_lines(section, body_lines)
                heading_path = [heading for _, heading in path]
                yield (
                    title,
                    _document(
                        content,
                        heading_path,
                        section.level,
                        front.lines + first,
                        front.lines + last,
                        renderer.links,
                    ),
                )


def _document(
    content: str, heading_path: list[str], level: int, line_start: int, line_end: int, links: list[str]
) -> dict[str, Any]:
    metadata: dict[str, Any] = {
        "heading_path": heading_path,
        "level": level,
        "line_start": line_start,
        "line_end": line_end,
    }
    if links:
        metadata["links"] = links
    return {"content": content, "metadata": metadata}


def _title(front: FrontMatter, tokens: Sequence[Token], renderer: Renderer) -> str:
    named = front.values.get("title")
    if isinstance(named, (str, int, float)) and str(named).strip():
        return " ".join(str(named).split())
    headings = [
        (token.tag, tokens[position + 1].content)
        for position, token in enumerate(tokens)
        if token.type == "heading_open" and token.level == 0
    ]
    first = next((content for tag, content in headings if tag == "h1"), headings[0][1] if headings else "")
    return renderer.heading(first)


def _sections(tokens: Sequence[Token], body_lines: Sequence[str]) -> Iterator[_Section]:
    starts = [position for position, token in enumerate(tokens) if token.type == "heading_open" and token.level == 0]
    first_line = 0
    for position, following in zip([-1, *starts], [*starts, len(tokens)], strict=True):
        next_line = _first_line(tokens[following]) if following < len(tokens) else len(body_lines)
        if position < 0:
            yield _Section(None, 0, tokens[:following], 0, next_line)
        else:
            level = int(tokens[position].tag[1:])
            yield _Section(tokens[position + 1], level, tokens[position:following], first_line, next_line)
        first_line = next_line


def _first_line(token: Token) -> int:
    return token.map[0] if token.map else 0


def _visible_lines(section: _Section, body_lines: Sequence[str]) -> tuple[int, int]:
    """First and last line of a section that are not blank, counted from 1."""
    first, end = section.first_line, section.end_line
    while first < end - 1 and not body_lines[first].strip():
        first += 1
    while end > first + 1 and not body_lines[end - 1].strip():
        end -= 1
    return first + 1, end


def _render(section: _Section, renderer: Renderer, body_lines: Sequence[str]) -> str:
    """The text of a section; blocks that are nested too deeply for the parser stay as written."""
    if max((token.level for token in section.tokens), default=0) < DEEPEST_NESTING:
        return renderer.render(section.tokens)
    parts: list[str] = []
    links: list[str] = []
    for block in _top_level_blocks(section.tokens):
        if max(token.level for token in block) < DEEPEST_NESTING:
            parts.append(renderer.render(block))
            links.extend(renderer.links)
        elif block[0].map:
            parts.append("\n".join(body_lines[block[0].map[0] : block[0].map[1]]).strip("\n"))
    renderer.links = links
    return "\n\n".join(part for part in parts if part.strip())


def _top_level_blocks(tokens: Sequence[Token]) -> Iterator[Sequence[Token]]:
    start = 0
    for position, token in enumerate(tokens):
        if token.level == 0 and token.nesting <= 0:
            yield tokens[start : position + 1]
            start = position + 1
