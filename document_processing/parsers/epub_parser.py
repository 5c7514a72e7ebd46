"""EPUB books: one document a chapter, in the order of reading."""

from __future__ import annotations

import posixpath
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from document_processing.content_sniffing import refuse_if_not
from document_processing.parsers.base import DocumentParser
from document_processing.parsers.html_parser import decode_html
from document_processing.parsers.html_text import html_blocks, name_of
from document_processing.parsers.markup_trees import parse_xhtml, parse_xml
from document_processing.parsers.sections import Block, cleaned, markdown_of, one_line, title_of
from document_processing.parsers.zip_safety import open_zip, read_member
from document_processing.text_cleaning import html_to_text
from shared_utils.errors import DocumentProcessingError
from shared_utils.file_utils import open_binary, validate_file_path
from shared_utils.records import Document

if TYPE_CHECKING:
    from lxml.etree import _Element

_CONTAINER = "META-INF/container.xml"
_ENCRYPTION = "META-INF/encryption.xml"
_PAGES = frozenset({"application/xhtml+xml", "text/html", "application/xml", "text/x-oeb1-document"})
_PROPERTIES = {"creator": "author", "language": "language", "date": "date", "publisher": "publisher"}


class EpubParser(DocumentParser):
    """Reads a book as one document a chapter; chapters without text, such as covers, make none."""

    def iter_parse(self, path: str | Path) -> Iterator[Document]:
        """The same as `parse`, as an iterator."""
        checked = validate_file_path(path, extensions=None)
        with open_binary(checked) as file:
            refuse_if_not(file, "an EPUB book", ".epub")
        with open_zip(checked, "book") as archive:
            package_name = _package_name(archive)
            package = parse_xml(read_member(archive, package_name), package_name)
            shared = _properties(package)
            title = shared.pop("title", "") or Path(path).stem
            chapters = _spine(package, package_name)
            protected = _protected(archive)
            names = set(archive.namelist())
            missing = [name for name in chapters if name not in names]
            for number, name in enumerate(chapters, start=1):
                if name in missing:
                    continue
                if name in protected:
                    raise DocumentProcessingError(
                        "the book is protected against copying (DRM)", hint="only books without protection can be read"
                    )
                blocks = _chapter(read_member(archive, name))
                content = markdown_of(blocks)
                if not content:
                    continue
                metadata: dict[str, Any] = {**shared, "chapter": number, "chapters": len(chapters)}
                heading = title_of(blocks)
                metadata["heading_path"] = [heading] if heading else []
                if missing:
                    metadata["warnings"] = [
                        f"{len(missing)} chapters are missing in the file, the first is {missing[0]}"
                    ]
                yield Document(source=str(path), type="epub", title=title, content=content, metadata=metadata)


def _chapter(data: bytes) -> list[Block]:
    text = decode_html(data).text
    root = parse_xhtml(text)
    if root is None:
        return cleaned([Block(html_to_text(text))])
    body = next((element for element in root.iter() if name_of(element) == "body"), root)
    return cleaned(html_blocks(body))


def _package_name(archive: zipfile.ZipFile) -> str:
    container = parse_xml(read_member(archive, _CONTAINER), _CONTAINER)
    for element in container.iter():
        if name_of(element) == "rootfile" and element.get("full-path"):
            return str(element.get("full-path"))
    raise DocumentProcessingError("the book is damaged: it names no package", hint="get another copy")


def _properties(package: _Element) -> dict[str, Any]:
    found: dict[str, Any] = {}
    metadata = next((element for element in package if name_of(element) == "metadata"), package)
    for element in metadata.iterdescendants():
        name, value = name_of(element), one_line(element.text or "")
        if name == "title" and value:
            found.setdefault("title", value)
        elif name in _PROPERTIES and value:
            key = _PROPERTIES[name]
            found[key] = f"{found[key]}, {value}" if key == "author" and key in found else found.get(key, value)
    return found


def _spine(package: _Element, package_name: str) -> list[str]:
    """Names of the members with the chapters, in the order of reading."""
    folder = posixpath.dirname(package_name)
    name_by_id: dict[str, str] = {}
    for element in package.iter():
        if name_of(element) == "item" and element.get("media-type") in _PAGES:
            target = unquote((element.get("href") or "").partition("#")[0])
            name_by_id[element.get("id") or ""] = posixpath.normpath(posixpath.join(folder, target))
    ids = [element.get("idref") or "" for element in package.iter() if name_of(element) == "itemref"]
    return list(dict.fromkeys(name_by_id[name] for name in ids if name in name_by_id))


def _protected(archive: zipfile.ZipFile) -> set[str]:
    """Members that are encrypted; fonts often are, which is no matter."""
    if _ENCRYPTION not in archive.namelist():
        return set()
    root = parse_xml(read_member(archive, _ENCRYPTION), _ENCRYPTION)
    return {unquote(element.get("URI") or "") for element in root.iter() if name_of(element) == "cipherreference"}
