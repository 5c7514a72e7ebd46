"""The main content of a web page, without menus, advertisements and footers.

trafilatura finds the text that matters, but loses most of the structure: on the documentation of Python it
keeps 57% of the code blocks as they are and 60% of the table rows. So it is asked which text matters, and the
blocks are taken from the page itself. `docs/data-format.md` tells what was measured.

Pages that a documentation generator wrote name their main part and carry no advertisements, so all of it is taken.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from document_processing.parsers.html_text import html_blocks, name_of
from document_processing.parsers.markup_trees import is_deeper_than, parse_html
from document_processing.parsers.sections import Block, cleaned
from shared_utils.errors import missing_extra

if TYPE_CHECKING:
    from lxml.etree import _Element

# Chosen on 181 news pages (F1 of 4-word shingles) and 60 pages of documentation (code blocks, headings, rows).
LEAST_OF_BLOCK = 0.7  # share of a block's word triples that must be in the text found
LEAST_OF_MAIN = 0.9  # share of the words of <main> from which all of it is taken
WIDEST_GAP = 8  # blocks; headings, code and tables inside of a smaller gap are kept
MOST_BLOCKS = 50_000  # larger pages are machine-made lists, on which trafilatura takes minutes
DEEPEST_TREE = 400  # trafilatura descends by recursion

_AROUND = frozenset({"nav", "aside", "footer", "form"})
_GENERATOR = re.compile(
    r"docutils|sphinx|asciidoc|rustdoc|mkdocs|zensical|docusaurus|vitepress|vuepress|doxygen|javadoc|typedoc|jsdoc|pdoc|"
    r"gitbook|docbook|makeinfo|texi2html|latex2html|pandoc",
    re.IGNORECASE,
)
# Menus and lists of pages, as generators mark them. They put footnotes into <aside>, so that one stays.
_AROUND_DOCUMENTATION = frozenset({"nav", "footer", "form"})
_SPHINX_CLASSES = frozenset({"documentwrapper", "sphinxsidebar", "rst-content"})
_AROUND_ROLES = frozenset({"navigation", "search", "contentinfo", "doc-toc"})
_AROUND_CLASSES = frozenset(
    {"sphinxsidebar", "related", "toctree-wrapper", "indextable", "toc-drawer", "prev-next-area"}
)
_AROUND_IDS = frozenset({"footer", "toc", "table-of-contents"})
_WORD = re.compile(r"\w+")
_STRUCTURE = ("```", "| ")


def main_blocks(root: _Element, page: str) -> list[Block]:
    """The blocks of the main content; all blocks of the body where none can be told apart.

    Args:
        root: the tree of the page; it is changed.
        page: its source.
    """
    main = _marked_main(root)
    if _is_documentation(root):
        documentation = cleaned(html_blocks(_without_menus(_body(root) if main is None else main)))
        if documentation:
            return documentation
        whole = parse_html(page)  # a page of nothing but lists, such as an index, is all of its lists
        return cleaned(html_blocks(_body(whole))) if whole is not None else []
    everything = cleaned(html_blocks(_body(root)))
    if is_deeper_than(root, DEEPEST_TREE) or len(everything) > MOST_BLOCKS:
        return everything
    found = _Triples(_main_text(page))
    is_marked = main is not None
    candidates = cleaned(html_blocks(_without_surroundings(_body(root) if main is None else main)))
    lengths = [len(_WORD.findall(block.text)) for block in candidates]
    kept = [found.share(block.text) >= LEAST_OF_BLOCK for block in candidates]
    words_kept = sum(length for length, is_kept in zip(lengths, kept, strict=True) if is_kept)
    if is_marked and words_kept and words_kept >= LEAST_OF_MAIN * sum(lengths):
        return candidates
    chosen = [block for block, is_kept in zip(candidates, _filled(candidates, kept), strict=True) if is_kept]
    return chosen or candidates or everything


def _main_text(page: str) -> str:
    try:
        import trafilatura
    except ImportError:
        raise missing_extra("documents", "trafilatura", "reading HTML") from None
    # Fewer words that do not belong: 0.964 against 0.960 on the news pages.
    found: Any = trafilatura.extract(page, include_comments=False, include_tables=True, favor_precision=True)
    return str(found or "")


class _Triples:
    """Three words in a row, of a text; tells how much of another text it holds."""

    def __init__(self, text: str) -> None:
        words = _words(text)
        self._triples = set(zip(words, words[1:], words[2:], strict=False))
        self._pairs = set(pairwise(words))

    def share(self, text: str) -> float:
        words = _words(text)
        if len(words) == 2:
            return float((words[0], words[1]) in self._pairs)
        triples = list(zip(words, words[1:], words[2:], strict=False))
        return sum(triple in self._triples for triple in triples) / len(triples) if triples else 0.0


def _words(text: str) -> list[str]:
    return [word.lower() for word in _WORD.findall(text)]


def _filled(blocks: Sequence[Block], kept: Sequence[bool]) -> Iterator[bool]:
    """Headings, code and tables between kept blocks belong to them, and the top heading above."""
    places = [place for place, is_kept in enumerate(kept) if is_kept]
    top = {place for place, block in enumerate(blocks) if block.level == 1}
    if len(top) > 1 or not places or min(top, default=0) > places[0]:
        top = set()
    bridged = {
        place
        for first, second in pairwise(places)
        if second - first - 1 <= WIDEST_GAP
        for place in range(first + 1, second)
        if blocks[place].level or blocks[place].text.startswith(_STRUCTURE)
    }
    belonging = bridged.union(places, top)
    return (place in belonging for place in range(len(blocks)))


def _body(root: _Element) -> _Element:
    return next((element for element in root.iter() if name_of(element) == "body"), root)


def _marked_main(root: _Element) -> _Element | None:
    """The element that the page itself names as its main part."""
    marks = (
        [element for element in root.iter() if name_of(element) == "main"],
        [element for element in root.iter() if element.get("role") == "main"],
        [element for element in root.iter() if name_of(element) == "article"],
    )
    for found in marks:
        if len(found) == 1 and len(" ".join(str(text) for text in found[0].itertext())) > 200:
            return found[0]
    return None


def _is_documentation(root: _Element) -> bool:
    """A documentation generator says that it wrote the page, or the page has the frame of Sphinx."""
    for element in root.iter():
        if name_of(element) == "meta" and (element.get("name") or "").lower() == "generator":
            if _GENERATOR.search(element.get("content") or ""):
                return True
        elif _SPHINX_CLASSES.intersection((element.get("class") or "").split()):
            return True
    return False


def _without_menus(main: _Element) -> _Element:
    for element in list(main.iterdescendants()):
        is_around = name_of(element) in _AROUND_DOCUMENTATION or element.get("role") in _AROUND_ROLES
        is_marked = element.get("id") in _AROUND_IDS or _AROUND_CLASSES.intersection(
            (element.get("class") or "").split()
        )
        parent = element.getparent()
        if (is_around or is_marked) and parent is not None:
            _remove(parent, element)
    return main


def _without_surroundings(main: _Element) -> _Element:
    for element in [below for below in main.iterdescendants() if name_of(below) in _AROUND]:
        parent = element.getparent()
        if parent is not None:
            _remove(parent, element)
    return main


def _remove(parent: _Element, element: _Element) -> None:
    """Take an element out and leave the text behind it."""
    tail, before = element.tail or "", element.getprevious()
    if before is not None:
        before.tail = (before.tail or "") + tail
    else:
        parent.text = (parent.text or "") + tail
    parent.remove(element)
