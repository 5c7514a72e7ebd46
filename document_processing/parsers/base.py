"""What the parsers of office documents, pages and records share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from shared_utils.file_utils import open_binary, validate_file_path
from shared_utils.records import Document


class DocumentParser:
    """Reads one kind of file; a subclass says how in `iter_parse`."""

    def parse(self, path: str | Path) -> list[Document]:
        """The documents of the file in a list; the list is empty when the file holds no text.

        Raises:
            DataValidationError: the file cannot be opened.
            DocumentProcessingError: it is of another kind, damaged or encrypted.
            ConfigurationError: a library that reads it is not installed; the hint installs it.
        """
        return list(self.iter_parse(path))

    def iter_parse(self, path: str | Path) -> Iterator[Document]:
        """The same as `parse`, as an iterator."""
        raise NotImplementedError


def read_bytes(path: str | Path) -> bytes:
    """All bytes of a regular file."""
    with open_binary(validate_file_path(path, extensions=None)) as file:
        return file.read()
