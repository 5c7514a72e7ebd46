"""Rich Text Format: its plain text."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from document_processing.content_sniffing import refuse_if_not
from document_processing.parsers.base import DocumentParser
from document_processing.text_cleaning import clean_text
from shared_utils.errors import missing_extra
from shared_utils.file_utils import open_binary, validate_file_path
from shared_utils.records import Document


class RtfParser(DocumentParser):
    """Reads an RTF file as one document."""

    def iter_parse(self, path: str | Path) -> Iterator[Document]:
        """The same as `parse`, as an iterator."""
        checked = validate_file_path(path, extensions=None)
        with open_binary(checked) as file:
            refuse_if_not(file, "an RTF document", ".rtf")
            file.seek(0)
            text = _to_text()(file.read().decode("latin-1"), errors="replace")
        content = "\n".join(line.rstrip() for line in clean_text(text).split("\n")).strip()
        if content:
            yield Document(source=str(path), type="rtf", title=Path(path).stem, content=content, metadata={})


def _to_text() -> Any:
    try:
        from striprtf.striprtf import rtf_to_text
    except ImportError:
        raise missing_extra("documents", "striprtf", "reading RTF documents") from None
    return rtf_to_text
