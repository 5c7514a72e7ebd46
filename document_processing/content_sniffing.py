"""What a file really holds, told by its first bytes; a name can lie."""

from __future__ import annotations

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
    (b"PK\x03\x04", "a ZIP archive (Word, Excel and EPUB files are ZIP archives)"),
    (b"PK\x05\x06", "a ZIP archive"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (b"Rar!\x1a\x07", "a RAR archive"),
    (b"BZh", "a bzip2 archive"),
    (b"\xfd7zXZ\0", "an xz archive"),
    (b"\x28\xb5\x2f\xfd", "a zstd archive"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Office document"),
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


def refuse_if_not_text(head: bytes) -> None:
    """Refuse what is known not to be text.

    Raises:
        DocumentProcessingError: names what it is.
    """
    # A text about PDF files may name the header; a real PDF opens with it.
    name = "a PDF document" if head.lstrip().startswith(b"%PDF-") else None
    name = name or (name_of_content(head) if b"%PDF-" not in head[:HEAD_BYTES] else None)
    if name == "a PDF document":
        raise DocumentProcessingError("it is a PDF document, in spite of its name", hint="give it the suffix .pdf")
    if name:
        raise DocumentProcessingError(f"it is {name}, not text", hint="give it its right suffix, or remove it")


def refuse_if_not_pdf(head: bytes) -> None:
    """Refuse what cannot be a PDF.

    Raises:
        DocumentProcessingError: names what it is, as far as it is known.
    """
    if not head:
        raise DocumentProcessingError("the file is empty", hint="copy or download it again")
    name = name_of_content(head)
    if name == "a PDF document":
        return
    start = head.lstrip()[:64].lower()
    if start.startswith((b"<!doctype html", b"<html", b"<head", b"<?xml")):
        raise DocumentProcessingError(
            "it is an HTML page, not a PDF",
            hint="the download probably failed; open it in a browser to see why",
        )
    if name:
        raise DocumentProcessingError(f"it is {name}, not a PDF", hint="give it its right suffix")
    raise DocumentProcessingError("it is not a PDF: the header %PDF is missing", hint="copy or download it again")
