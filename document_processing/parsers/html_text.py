"""HTML as blocks of text: headings, paragraphs, lists, tables and code, in reading order.

The tree is walked without recursion, so its depth costs nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from document_processing.parsers.sections import Block, fenced, markdown_table
from document_processing.word_lists import word_set

if TYPE_CHECKING:
    from lxml.etree import _Element

HIDDEN = word_set(
    "script style template noscript svg iframe object embed canvas audio video map head "
    "select option button textarea input datalist progress meter dialog"
)
_BLOCKS = word_set(
    "address article aside blockquote body caption center dd details div dl dt fieldset figcaption figure footer form "
    "header hgroup hr html legend li main menu nav ol optgroup p search section summary table tbody td tfoot th "
    "thead tr ul h1 h2 h3 h4 h5 h6 pre listing xmp"
)
_LISTS = frozenset({"ul", "ol", "menu"})
_CODE = frozenset({"pre", "listing", "xmp"})
_SPACE = re.compile(r"[ \t\n\r\f\xa0]+")
_LANGUAGE = re.compile(r"(?:^|\s)(?:language|lang|highlight|brush|sourceCode)[-:\s]\s*([A-Za-z0-9+#]{1,20})(?:\s|$)")
_NO_LANGUAGE = frozenset({"default", "none", "text", "plain", "notranslate", "source"})
_LINE_NUMBERS = re.compile(r"\b(?:linenos?|line-?numbers?|gutter|lineno)\b", re.IGNORECASE)
_MARKER = re.compile(
    r"\b(?:headerlink|anchor-?link|heading-?anchor|mw-editsection|sr-only-anchor|"
    r"srclink|test-arrow|notable-traits(?:-tooltip)?)\b",
    re.IGNORECASE,
)


def html_blocks(root: _Element) -> list[Block]:
    """The blocks below an element."""
    return _Reader().read(root)


def element_text(element: _Element) -> str:
    """The visible text below an element, on one line."""
    return _SPACE.sub(" ", "".join(_visible_text(element))).strip()


def name_of(element: _Element) -> str:
    """The name of an element in lower case, without namespace; empty for comments and the like."""
    tag = element.tag
    return tag.rpartition("}")[2].lower() if isinstance(tag, str) else ""


def is_hidden(element: _Element) -> bool:
    """No reader sees it: scripts, controls, what is marked as hidden, and the marks beside headings."""
    name = name_of(element)
    if not name or name in HIDDEN:
        return True
    if element.get("hidden") is not None or element.get("aria-hidden") == "true":
        return True
    classes = element.get("class") or ""
    return bool(classes and (_MARKER.search(classes) or _LINE_NUMBERS.search(classes)))


class _Reader:
    def __init__(self) -> None:
        self._blocks: list[Block] = []
        self._text: list[str] = []  # of the paragraph that is open
        self._level = 0  # of the heading that is open
        self._lists: list[tuple[str, int]] = []  # kind of each list around and the number of its last item
        self._mark = ""  # of the item whose first line is awaited
        self._tight = False  # the last block is a list that goes on

    def read(self, root: _Element) -> list[Block]:
        """Walk the tree from its first element to the last."""
        # A stack of what is still to be done: elements to open, and the names of those to close.
        pending: list[tuple[_Element, bool]] = [(root, True)]
        while pending:
            element, opens = pending.pop()
            if not opens:
                self._close(name_of(element))
            elif is_hidden(element):
                pass
            elif not self._open(element, name_of(element)):
                self._add(element.text)
                pending.append((element, False))
                pending.extend((child, True) for child in reversed(element))
                continue
            if element is not root:
                self._add(element.tail)
        self._flush()
        return self._blocks

    def _open(self, element: _Element, name: str) -> bool:
        """Begin an element; True when it is done as a whole."""
        if name == "br":
            self._text.append("\n")
        elif name == "img":
            self._add(_alternative(element))
        elif name == "math":
            self._add(_formula(element))
        elif name in _CODE:
            self._flush()
            self._block(fenced(_code(element), _language(element)))
        elif name == "table" and _is_data(element):
            self._flush()
            caption = next((child for child in element if name_of(child) == "caption"), None)
            self._block(element_text(caption) if caption is not None else "")
            self._block(markdown_table(_rows(element)))
        else:
            if name in _BLOCKS:
                self._flush()
            self._enter(name)
            return False
        return name != "br" or len(element) == 0

    def _enter(self, name: str) -> None:
        if name in _LISTS:
            self._lists.append((name, 0))
        elif name == "li":
            kind, number = self._lists.pop() if self._lists else ("ul", 0)
            self._lists.append((kind, number + 1))
            indent = "  " * (len(self._lists) - 1)
            self._mark = f"{indent}{f'{number + 1}.' if kind == 'ol' else '-'} "
        elif len(name) == 2 and name[0] == "h" and name[1] in "123456":
            self._level = int(name[1])

    def _close(self, name: str) -> None:
        if name in _BLOCKS:
            self._flush()
        if name in _LISTS and self._lists:
            self._lists.pop()
            self._tight = bool(self._lists)
            self._mark = ""
        elif name == "li":
            self._mark = ""
        elif name in ("td", "th"):
            self._text.append(" ")

    def _add(self, text: str | None) -> None:
        if text:
            self._text.append(_SPACE.sub(" ", text))

    def _flush(self) -> None:
        lines = [_SPACE.sub(" ", line).strip() for line in "".join(self._text).split("\n")]
        text = "\n".join(line for line in lines if line)
        level, self._level, self._text = self._level, 0, []
        if text and level:
            self._tight = False
            self._blocks.append(Block(text.replace("\n", " "), level))
        elif text:
            self._block(text)

    def _block(self, text: str) -> None:
        """Add a block; the items of a list follow each other without a blank line."""
        if not text:
            return
        if not self._lists:
            self._blocks.append(Block(text))
            self._tight = False
            return
        indent = "  " * len(self._lists)
        lines = text.split("\n")
        first = self._mark or indent
        text = "\n".join([first + lines[0], *(indent + line if line else "" for line in lines[1:])])
        self._mark = ""
        if self._tight:
            self._blocks[-1] = Block(f"{self._blocks[-1].text}\n{text}")
        else:
            self._blocks.append(Block(text))
            self._tight = True


def _visible_text(element: _Element) -> Iterator[str]:
    pending: list[tuple[_Element | None, str]] = [(element, "")]
    while pending:
        current, tail = pending.pop()
        if current is None:
            yield tail
            continue
        name = name_of(current)
        if name == "br" or name in _BLOCKS:
            yield " "
        if name == "math":
            yield _formula(current)
        elif name == "img":
            yield _alternative(current)
        elif current is element or not is_hidden(current):
            yield current.text or ""
            for child in reversed(current):
                pending += [(None, child.tail or ""), (child, "")]


def _alternative(image: _Element) -> str:
    """The text in the place of an image; some generators write its address there."""
    text = image.get("alt") or ""
    return "" if text and (image.get("src") or "").endswith(text) else text


def _is_data(table: _Element) -> bool:
    """A table of cells; not one that only arranges other blocks on the page."""
    if table.get("role") in ("presentation", "none") or "highlight" in (table.get("class") or ""):
        return False
    blocks = ("table", "pre", "h1", "h2", "h3", "ul", "ol")
    if any(name_of(below) in blocks for below in table.iterdescendants()):
        return any(name_of(below) == "th" for below in table.iterdescendants()) and not any(
            name_of(below) in ("table", "pre") for below in table.iterdescendants()
        )
    return any(len(row) > 1 for row in _rows(table))


def _rows(table: _Element) -> Iterator[list[str]]:
    for row in table.iterdescendants():
        if name_of(row) == "tr":
            cells: list[str] = []
            for cell in row:
                if name_of(cell) in ("td", "th"):
                    cells.append(element_text(cell))
                    span = cell.get("colspan") or ""
                    cells += [""] * (min(int(span), 50) - 1 if span.isascii() and span.isdigit() else 0)
            yield cells


def _code(element: _Element) -> str:
    """The text of a code block, every space kept."""
    parts: list[str] = []
    pending: list[tuple[_Element | None, str]] = [(element, "")]
    while pending:
        current, tail = pending.pop()
        if current is None:
            parts.append(tail)
        elif name_of(current) == "br":
            parts.append("\n")
        elif current is element or not is_hidden(current):
            parts.append(current.text or "")
            for child in reversed(current):
                pending += [(None, child.tail or ""), (child, "")]
    return "\n".join(line.rstrip() for line in "".join(parts).replace("\xa0", " ").split("\n"))


def _language(element: _Element) -> str:
    """What the classes of a code block, of the element in it or of the two around it tell."""
    around = [element.getparent()]
    if around[0] is not None:
        around.append(around[0].getparent())
    for candidate in [element, *list(element)[:1], *around]:
        found = _LANGUAGE.search(candidate.get("class") or "") if candidate is not None else None
        if found and found[1].lower() not in _NO_LANGUAGE:
            return found[1].lower()
    return ""


def _formula(element: _Element) -> str:
    """TeX where the page holds it, else the characters of the formula."""
    for below in element.iterdescendants():
        if name_of(below) == "annotation" and "tex" in (below.get("encoding") or ""):
            return f"${(below.text or '').strip()}$"
    return "".join(str(text) for text in element.itertext())
