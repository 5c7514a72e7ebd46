"""What a file really holds, told by its bytes; a name can lie."""

from __future__ import annotations

import io
import zipfile
from typing import IO, NamedTuple

from shared_utils.errors import DocumentProcessingError

HEAD_BYTES = 1024  # a PDF may have that much before its header (ISO 32000, annex H.3.4.1)

_NAME_BY_START: tuple[tuple[bytes, str], ...] = (
    (b"\x89PNG\r\n\x1a\n", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF87a", "a GIF image"),
    (b"GIF89a", "a GIF image"),
    (b"II*\0", "a TIFF image"),
    (b"MM\0*", "a TIFF image"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"PK\x03\x04", "a ZIP archive"),
    (b"PK\x05\x06", "a ZIP archive"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (b"Rar!\x1a\x07", "a RAR archive"),
    (b"BZh", "a bzip2 archive"),
    (b"\xfd7zXZ\0", "an xz archive"),
    (b"\x28\xb5\x2f\xfd", "a zstd archive"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old or encrypted Office document"),
    (b"{\\rtf", "an RTF document"),
    (b"%!PS", "a PostScript document"),
    (b"\x7fELF", "a program"),
    (b"SQLite format 3\0", "a database"),
    (b"ID3", "a sound file"),
    (b"OggS", "a sound file"),
    (b"wOFF", "a font"),
    (b"wOF2", "a font"),
    (b"GGUF", "a model"),
)


_SUFFIX_BY_NAME = {
    "a PDF document": ".pdf",
    "an RTF document": ".rtf",
    "an HTML page": ".html",
    "a ZIP archive": ".zip",
}
_HTML_STARTS = (b"<!doctype html", b"<html", b"<head", b"<body")
# The folder of the main part in Microsoft's formats, and the member "mimetype" in the others.
_OFFICE_FOLDERS = (
    ("word/", "a Word document", ".docx"),
    ("xl/", "an Excel workbook", ".xlsx"),
    ("ppt/", "a PowerPoint presentation", ".pptx"),
)
_MIME_TYPES = (
    (b"application/epub+zip", "an EPUB book", ".epub"),
    (b"application/vnd.oasis.opendocument.text", "an OpenDocument text", ".odt"),
    (b"application/vnd.oasis.opendocument.spreadsheet", "an OpenDocument spreadsheet", ".ods"),
    (b"application/vnd.oasis.opendocument.presentation", "an OpenDocument presentation", ".odp"),
)
LONGEST_MIME_TYPE = 100  # bytes


class Kind(NamedTuple):
    """What a file is, in words, and the suffix that it should have; empty where none is read."""

    name: str
    suffix: str = ""


def name_of_content(head: bytes) -> str | None:
    """A readable name of what starts with these bytes, or None where it may be text."""
    if b"%PDF-" in head[:HEAD_BYTES]:
        return "a PDF document"
    for start, name in _NAME_BY_START:
        if head.startswith(start):
            return name
    if head[:4] == b"RIFF" and head[8:12] in (b"WAVE", b"AVI ", b"WEBP"):
        return "a media file"
    return None


def kind_of(file: IO[bytes]) -> Kind | None:
    """What an open file is; None where it may be text. Its position is moved."""
    file.seek(0)
    head = file.read(HEAD_BYTES)
    if head.startswith(b"PK\x03\x04"):
        return _kind_of_zip(file)
    name = name_of_content(head)
    if name is None and head.removeprefix(b"\xef\xbb\xbf").lstrip()[:64].lower().startswith(_HTML_STARTS):
        name = "an HTML page"
    return Kind(name, _SUFFIX_BY_NAME.get(name, "")) if name else None


def _kind_of_zip(file: IO[bytes]) -> Kind:
    """What a ZIP archive is, by the names of its members."""
    try:
        with zipfile.ZipFile(file) as archive:
            names = archive.namelist()
            mime_type = b""
            if "mimetype" in names and archive.getinfo("mimetype").file_size <= LONGEST_MIME_TYPE:
                mime_type = archive.read("mimetype").strip()
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, OSError, ValueError):
        return Kind("a ZIP archive, which is damaged", ".zip")
    for start, name, suffix in _MIME_TYPES:
        if mime_type == start:
            return Kind(name, suffix)
    for folder, name, suffix in _OFFICE_FOLDERS:
        if "[Content_Types].xml" in names and any(member.startswith(folder) for member in names):
            return Kind(name, suffix)
    return Kind("a ZIP archive", ".zip")


def refuse_if_not_text(data: bytes) -> None:
    """Refuse what is known not to be text.

    Raises:
        DocumentProcessingError: names what it is.
    """
    head = data[:HEAD_BYTES]
    # A text about PDF files may name the header; a real PDF opens with it.
    name = "a PDF document" if head.lstrip().startswith(b"%PDF-") else None
    name = name or (name_of_content(head) if b"%PDF-" not in head else None)
    if name == "a PDF document":
        raise DocumentProcessingError("it is a PDF document, in spite of its name", hint="give it the suffix .pdf")
    if name:
        kind = kind_of(io.BytesIO(data)) or Kind(name)
        raise DocumentProcessingError(f"it is {kind.name}, not text", hint=_right_suffix(kind))


def refuse_if_not_pdf(file: IO[bytes]) -> None:
    """Refuse what cannot be a PDF.

    Raises:
        DocumentProcessingError: names what it is, as far as it is known.
    """
    head = file.read(HEAD_BYTES)
    if not head:
        raise DocumentProcessingError("the file is empty", hint="copy or download it again")
    if name_of_content(head) == "a PDF document":
        return
    if head.lstrip()[:64].lower().startswith((*_HTML_STARTS, b"<?xml")):
        raise DocumentProcessingError(
            "it is an HTML page, not a PDF",
            hint="the download probably failed; open it in a browser to see why",
        )
    kind = kind_of(file)
    if kind:
        raise DocumentProcessingError(f"it is {kind.name}, not a PDF", hint=_right_suffix(kind))
    raise DocumentProcessingError("it is not a PDF: the header %PDF is missing", hint="copy or download it again")


def refuse_if_not(file: IO[bytes], name: str, suffix: str) -> None:
    """Refuse what is not the kind of document that its suffix claims.

    Args:
        file: opened for reading; its position is moved.
        name: the kind in words, as in "a Word document".
        suffix: that of the kind.

    Raises:
        DocumentProcessingError: names what it is, as far as it is known.
    """
    if not file.read(1):
        raise DocumentProcessingError("the file is empty", hint="copy or download it again")
    kind = kind_of(file)
    if kind is None:
        raise DocumentProcessingError(f"it is not {name}", hint="give it its right suffix, or copy it again")
    if kind.suffix == suffix:
        return
    if kind.name.startswith("an old or encrypted"):
        hint = f"open it in its own program and save it as {suffix} without password"
    else:
        hint = _right_suffix(kind)
    raise DocumentProcessingError(f"it is {kind.name}, not {name}", hint=hint)


def _right_suffix(kind: Kind) -> str:
    if "damaged" in kind.name:
        return "copy or download it again"
    return f"give it the suffix {kind.suffix}" if kind.suffix else "give it its right suffix, or remove it"
