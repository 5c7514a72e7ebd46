"""HTML and XML as trees, read safely: nothing is fetched, no entity is expanded, no depth is trusted."""

from __future__ import annotations

import html
import re
from importlib import import_module
from typing import TYPE_CHECKING, Any

from shared_utils.errors import DocumentProcessingError, missing_extra

if TYPE_CHECKING:
    from lxml.etree import _Element

# libxml2 stops at this depth and drops what lies deeper.
DEEPEST_MARKUP = 2_000

_DOCTYPE = re.compile(r"<!DOCTYPE[^>\[]*(?:\[[^\]]*\]\s*)?>", re.IGNORECASE)
_DECLARATION = re.compile(r"^\s*<\?xml[^>]*\?>")
_ENTITY = re.compile(r"&([A-Za-z][A-Za-z0-9]*);")
_OF_XML = frozenset({"amp", "lt", "gt", "quot", "apos"})


def parse_html(text: str) -> _Element | None:
    """The root of a page, whatever is wrong with it; None where it is nested beyond reason."""
    html_module = _lxml("lxml.html", "reading HTML")
    parser = html_module.HTMLParser(encoding="utf-8", huge_tree=True, remove_comments=True, remove_pis=True)
    text = _DOCTYPE.sub("", _DECLARATION.sub("", text), count=1)
    try:
        root = html_module.document_fromstring(text.encode("utf-8", "replace"), parser=parser)
    except _lxml("lxml.etree", "reading HTML").ParserError:  # it holds nothing but comments
        return html_module.Element("html")
    return None if is_deeper_than(root, DEEPEST_MARKUP) else root


def parse_xhtml(text: str) -> _Element | None:
    """The root of a page that follows the rules of XML; one that breaks them is read as HTML."""
    etree = _lxml("lxml.etree", "reading XHTML")
    plain = _DOCTYPE.sub("", _DECLARATION.sub("", text), count=1)
    # Without their DTD the names of HTML characters mean nothing to XML.
    plain = _ENTITY.sub(lambda name: name[0] if name[1] in _OF_XML else html.unescape(name[0]), plain)
    if "<!DOCTYPE" in plain or "<!ENTITY" in plain:
        return parse_html(text)
    try:
        return etree.fromstring(plain.encode("utf-8", "replace"), _xml_parser())
    except etree.XMLSyntaxError:
        return parse_html(text)


def parse_xml(data: bytes, name: str) -> _Element:
    """The root of an XML part of a document.

    Raises:
        DocumentProcessingError: it is no XML, or declares entities, which no program that writes documents does.
    """
    etree = _lxml("lxml.etree", "reading XML")
    try:
        root = etree.fromstring(data, _xml_parser())
    except etree.XMLSyntaxError as error:
        raise DocumentProcessingError(
            f"the document is damaged: {name}: {str(error)[:200]}", hint="open it in its own program and save it again"
        ) from error
    kind = root.getroottree().docinfo.internalDTD
    if kind is not None and next(iter(kind.iterentities()), None) is not None:
        raise DocumentProcessingError(f"{name} declares entities, which are not read", hint="get another copy")
    return root


def is_deeper_than(root: _Element, limit: int) -> bool:
    """Elements are nested more deeply than that."""
    depth = 0
    element: _Element | None = root
    while element is not None:
        child = element[0] if len(element) else None
        if child is not None:
            depth += 1
            if depth > limit:
                return True
            element = child
            continue
        while element is not None and element is not root and element.getnext() is None:
            element = element.getparent()
            depth -= 1
        element = None if element is None or element is root else element.getnext()
    return False


def _xml_parser() -> Any:
    etree = _lxml("lxml.etree", "reading XML")
    return etree.XMLParser(
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        dtd_validation=False,
        huge_tree=False,
        remove_comments=True,
        remove_pis=True,
    )


def _lxml(module: str, purpose: str) -> Any:
    try:
        return import_module(module)
    except ImportError:
        raise missing_extra("documents", "lxml", purpose) from None
