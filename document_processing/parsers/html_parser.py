"""Web pages: the main content, its headings, tables and code."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from document_processing.content_sniffing import refuse_if_not_text
from document_processing.parsers.base import DocumentParser, read_bytes
from document_processing.parsers.html_text import element_text, name_of
from document_processing.parsers.main_content import main_blocks
from document_processing.parsers.markup_trees import parse_html, parse_xhtml
from document_processing.parsers.sections import Block, one_line, section_documents
from document_processing.parsers.text_parser import encoding_metadata
from document_processing.text_cleaning import html_to_text
from document_processing.text_decoding import DecodedText, decode_text
from shared_utils.records import Document

if TYPE_CHECKING:
    from lxml.etree import _Element

_CHARSET = re.compile(rb"""<(?:meta|\?xml)[^>]{0,200}?(?:charset|encoding)\s*=\s*["']?\s*([A-Za-z0-9_:.-]{2,40})""")
_MARKS = (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")
# What pages call it, the most reliable first.
_META = {
    "author": ("author", "article:author", "dc.creator", "dcterms.creator", "citation_author", "parsely-author"),
    "date": (
        "article:published_time",
        "datepublished",
        "date",
        "dc.date",
        "dcterms.date",
        "dcterms.created",
        "citation_publication_date",
        "pubdate",
    ),
    "description": ("description", "og:description", "dc.description", "twitter:description"),
    "site": ("og:site_name", "application-name"),
    "title": ("og:title", "dc.title", "twitter:title", "citation_title"),
}


class HTMLParser(DocumentParser):
    """Reads a page as one document a section of its main content."""

    def iter_parse(self, path: str | Path) -> Iterator[Document]:
        """The same as `parse`, as an iterator."""
        decoded = decode_html(read_bytes(path))
        metadata = encoding_metadata(decoded)
        is_xhtml = Path(path).suffix.casefold() == ".xhtml"
        root = (parse_xhtml if is_xhtml else parse_html)(decoded.text)
        if root is None:
            blocks, title = [Block(html_to_text(decoded.text))], ""
            if blocks[0].text:
                warning = "the page could not be read as a tree; all of its text was taken"
                metadata["warnings"] = [*metadata.get("warnings", []), warning]
        else:
            described = page_metadata(root)
            title = described.pop("title", "")
            metadata |= described
            blocks = main_blocks(root, decoded.text)
        yield from section_documents(path, "html", title, blocks, metadata)


def decode_html(data: bytes) -> DecodedText:
    """The text of a page: by its mark, as UTF-8, by what it declares, or as other text files are.

    Raises:
        DocumentProcessingError: it is not text.
    """
    refuse_if_not_text(data)
    declared = _CHARSET.search(data[:4096])
    if declared and not data.startswith(_MARKS):
        for encoding in ("utf-8", declared[1].decode("ascii")):
            try:
                return DecodedText(data.decode(encoding), encoding.lower(), 1.0)
            except (UnicodeDecodeError, LookupError, ValueError):
                continue
    return decode_text(data)


def page_metadata(root: _Element) -> dict[str, Any]:
    """Title, author, date, description, site and language, as far as the page tells them."""
    value_by_name: dict[str, str] = {}
    for element in root.iter():
        if name_of(element) == "meta":
            name = (element.get("name") or element.get("property") or element.get("itemprop") or "").lower()
            value = one_line(element.get("content") or "")
            if name and value:
                value_by_name.setdefault(name, value)
    found = {
        key: next((value_by_name[name] for name in names if name in value_by_name), "") for key, names in _META.items()
    }
    named = next((element_text(element) for element in root.iter() if name_of(element) == "title"), "")
    found["title"] = _title(root, named, found["title"])
    found["language"] = root.get("lang") or root.get("{http://www.w3.org/XML/1998/namespace}lang") or ""
    return {key: value for key, value in found.items() if value}


def _title(root: _Element, named: str, shared: str) -> str:
    """The top heading that the title of the page repeats or begins with; else what it is shared as, or its title."""
    headings = [element_text(element) for element in root.iter() if name_of(element) == "h1"]
    if len(headings) == 1 and headings[0] and headings[0].casefold() in named.casefold():
        return headings[0]
    beginning = {heading for heading in headings if heading and named.casefold().startswith(heading.casefold())}
    if len(beginning) == 1:
        return beginning.pop()
    return shared if shared and shared.casefold() in named.casefold() else named or shared
