"""Plain text and source code of any encoding."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from document_processing.parsers.source_languages import LANGUAGE_BY_SUFFIX
from document_processing.text_cleaning import clean_text
from document_processing.text_decoding import DecodedText, decode_text
from shared_utils.errors import NoDocumentError
from shared_utils.file_utils import open_binary, validate_file_path
from shared_utils.records import Document

MINIFIED_LINE = 500  # characters of a line, on average
SHORTEST_MINIFIED = 5_000  # characters of the file
_MINIFIED_LANGUAGES = frozenset({"javascript", "css"})


class TextParser:
    """Reads a text file as one document; `metadata` tells its encoding and how sure that is, and the language of
    source code."""

    def parse(self, path: str | Path) -> list[Document]:
        """The document of the file in a list; the list is empty when the file holds only white space.

        Raises:
            DataValidationError: the file cannot be opened.
            DocumentProcessingError: it is not text.
            NoDocumentError: it is minified code.
        """
        return list(self.iter_parse(path))

    def iter_parse(self, path: str | Path) -> Iterator[Document]:
        """The same as `parse`, as an iterator."""
        decoded = read_text(path)
        content = clean_text(decoded.text).strip()
        if content:
            metadata = encoding_metadata(decoded)
            language = LANGUAGE_BY_SUFFIX.get(Path(path).suffix.casefold())
            if language in _MINIFIED_LANGUAGES and _is_minified(content):
                raise NoDocumentError(
                    f"{path}: it is minified code, which was made for browsers", hint="give the file it was made from"
                )
            if language:
                metadata["language"] = language
            yield Document(source=str(path), type="text", title=Path(path).stem, content=content, metadata=metadata)


def _is_minified(code: str) -> bool:
    """Lines are far longer than people write them."""
    lines = code.count("\n") + 1
    return len(code) > MINIFIED_LINE * lines and len(code) > SHORTEST_MINIFIED


def read_text(path: str | Path) -> DecodedText:
    """The text of a file, whatever its encoding."""
    checked = validate_file_path(path, extensions=None)
    with open_binary(checked) as file:
        return decode_text(file.read())


def encoding_metadata(decoded: DecodedText) -> dict[str, Any]:
    """Encoding and confidence, and a warning where characters were lost."""
    metadata: dict[str, Any] = {"encoding": decoded.encoding, "confidence": decoded.confidence}
    if decoded.replaced:
        metadata["warnings"] = [
            f"{decoded.replaced} bytes or characters are not valid {decoded.encoding} and were replaced by U+FFFD"
        ]
    return metadata
