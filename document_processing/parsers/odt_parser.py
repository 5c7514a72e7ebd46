"""OpenDocument texts: headings, paragraphs, lists, tables and notes, in reading order."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from document_processing.content_sniffing import refuse_if_not
from document_processing.parsers.base import DocumentParser
from document_processing.parsers.markup_trees import parse_xml
from document_processing.parsers.sections import Block, markdown_table, one_line, section_documents
from document_processing.parsers.zip_safety import open_zip, read_member
from shared_utils.errors import DocumentProcessingError
from shared_utils.file_utils import open_binary, validate_file_path
from shared_utils.records import Document

if TYPE_CHECKING:
    from lxml.etree import _Element

_PROPERTIES = {
    "title": "title",
    "creator": "author",
    "initial-creator": "author",
    "subject": "subject",
    "keyword": "keywords",
    "creation-date": "created",
    "date": "modified",
}
# Deleted text is kept in tracked-changes; the others hold no text of the reader.
_LEFT_OUT = frozenset({"tracked-changes", "annotation", "forms", "sequence-decls", "variable-decls", "desc", "title"})
MOST_SPACES = 100  # one element can claim any number
MOST_REPEATED_CELLS = 50


class OdtParser(DocumentParser):
    """Reads an OpenDocument text as one document a section, as Markdown is read."""

    def iter_parse(self, path: str | Path) -> Iterator[Document]:
        """The same as `parse`, as an iterator."""
        checked = validate_file_path(path, extensions=None)
        with open_binary(checked) as file:
            refuse_if_not(file, "an OpenDocument text", ".odt")
        with open_zip(checked, "document") as archive:
            if "META-INF/manifest.xml" in archive.namelist():
                manifest = parse_xml(read_member(archive, "META-INF/manifest.xml"), "META-INF/manifest.xml")
                if any(_name(element) == "encryption-data" for element in manifest.iter()):
                    raise DocumentProcessingError("it is encrypted", hint="save a copy without password")
            root = parse_xml(read_member(archive, "content.xml"), "content.xml")
            metadata: dict[str, Any] = {}
            if "meta.xml" in archive.namelist():
                metadata = _properties(parse_xml(read_member(archive, "meta.xml"), "meta.xml"))
        title = metadata.pop("title", "")
        reader = _Reader()
        body = next((element for element in root.iter() if _name(element) == "text"), root)
        blocks = [*reader.blocks(body), *(Block(note) for note in reader.notes)]
        yield from section_documents(path, "odt", reader.title or title, blocks, metadata)


def _properties(root: _Element) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for element in root.iter():
        key = _PROPERTIES.get(_name(element))
        value = one_line(element.text or "")
        if key and value:
            found.setdefault(key, value)
    return found


class _Reader:
    def __init__(self) -> None:
        self.notes: list[str] = []
        self.title = ""  # of a paragraph in the style Title

    def blocks(self, parent: _Element) -> Iterator[Block]:
        """The blocks below an element."""
        for element in parent:
            name = _name(element)
            if name in _LEFT_OUT:
                continue
            if name == "h":
                level = _attribute(element, "outline-level")
                yield Block("".join(self._text(element)), min(int(level), 9) if level.isdigit() and level != "0" else 1)
            elif name == "p":
                yield self._paragraph(element)
            elif name == "list":
                yield Block("\n".join(self._items(element, 0)))
            elif name == "table":
                yield Block(markdown_table(self._rows(element)))
            else:  # sections, indexes, frames
                yield from self.blocks(element)

    def _paragraph(self, element: _Element) -> Block:
        text = "".join(self._text(element))
        if _attribute(element, "style-name") == "Title" and text.strip():
            self.title = self.title or one_line(text)
            return Block(text, 1)
        return Block(text)

    def _items(self, element: _Element, depth: int) -> Iterator[str]:
        for item in element:
            if _name(item) not in ("list-item", "list-header"):
                continue
            mark = "- "
            for part in item:
                if _name(part) == "list":
                    yield from self._items(part, depth + 1)
                elif _name(part) in ("p", "h"):
                    text = "".join(self._text(part)).strip()
                    if text:
                        yield "  " * depth + mark + text.replace("\n", "\n" + "  " * (depth + 1))
                        mark = "  "

    def _rows(self, table: _Element) -> Iterator[list[str]]:
        for row in table.iterdescendants():
            if _name(row) != "table-row":
                continue
            cells: list[str] = []
            for cell in row:
                if _name(cell) in ("table-cell", "covered-table-cell"):
                    text = one_line(" ".join("".join(self._text(part)) for part in cell.iter() if _name(part) in "ph"))
                    repeated = _attribute(cell, "number-columns-repeated")
                    cells += [text] * (min(int(repeated), MOST_REPEATED_CELLS) if repeated.isdigit() else 1)
            while cells and not cells[-1]:
                cells.pop()
            yield cells

    def _text(self, element: _Element) -> Iterator[str]:
        yield element.text or ""
        for child in element:
            name = _name(child)
            if name == "s":
                count = _attribute(child, "c")
                yield " " * (min(int(count), MOST_SPACES) if count.isdigit() else 1)
            elif name == "tab":
                yield "\t"
            elif name == "line-break":
                yield "\n"
            elif name == "note":
                yield self._note(child)
            elif name == "p":  # of a text box
                yield "\n"
                yield from self._text(child)
            elif name not in _LEFT_OUT:
                yield from self._text(child)
            yield child.tail or ""

    def _note(self, element: _Element) -> str:
        body = next((child for child in element if _name(child) == "note-body"), None)
        if body is None:
            return ""
        position = len(self.notes)
        self.notes.append("")  # a note inside of the note comes behind it
        self.notes[position] = f"[^{position + 1}]: {one_line(''.join(self._text(body)))}"
        return f"[^{position + 1}]"


def _attribute(element: _Element, name: str) -> str:
    return next((str(value) for key, value in element.attrib.items() if str(key).rpartition("}")[2] == name), "")


def _name(element: _Element) -> str:
    tag = element.tag
    return tag.rpartition("}")[2] if isinstance(tag, str) else ""
