"""Entries of the extraction cache: records on disk that are whole or not there.

An entry is a file of lines. The first letter of a line says what it holds (D document, C chunk,
I instruction, P pages of a PDF); the last line, E, holds counts and the digest of all that stands before it:

    D{"source": "guide.md", "type": "markdown", ...}
    E{"documents": 1, "pages": 0, "characters": 812, "warnings": [], "sha256": "..."}
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from shared_utils.file_utils import TEMPORARY_PREFIX, to_json

PARSED_SUFFIX = ".parsed"  # the documents of a file
CHUNKED_SUFFIX = ".chunked"  # the chunks and pairs made of them
PART_SUFFIX = ".part"  # some pages of a large PDF, until all are read
KIND_OF_TAG = {"D": "documents", "C": "chunks", "I": "instructions", "P": "parts"}


class EntryWriter:
    """Takes the records of an entry, one after another, and then its summary."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._digest = hashlib.sha256()
        self._counts = dict.fromkeys(KIND_OF_TAG, 0)

    def write(self, tag: str, record: object) -> None:
        """Append a record; `tag` is a key of `KIND_OF_TAG`."""
        line = f"{tag}{to_json(record)}\n".encode()
        self._digest.update(line)
        self._file.write(line)
        self._counts[tag] += 1

    def end(self, summary: dict[str, Any] | None = None) -> dict[str, Any]:
        """Write the last line; what it holds: `summary`, a count of each kind of record, and the digest."""
        counts = {KIND_OF_TAG[tag]: count for tag, count in self._counts.items()}
        last = {**counts, **(summary or {})}
        self._digest.update(to_json(last).encode())
        last["sha256"] = self._digest.hexdigest()
        self._file.write(f"E{to_json(last)}\n".encode())
        return last


@contextmanager
def entry_writer(entry: Path) -> Iterator[EntryWriter]:
    """Write an entry, which takes its name only when it is whole.

    It is not forced onto the disk: what a power cut leaves of it is told by the digest and made anew.
    """
    temporary = entry.with_name(f"{TEMPORARY_PREFIX}{os.getpid()}-{entry.name}")
    try:
        with temporary.open("wb") as file:
            yield EntryWriter(file)
        temporary.replace(entry)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def read_entry_summary(entry: Path) -> dict[str, Any] | None:
    """The last line of an entry, or None when the entry is missing, cut or damaged."""
    digest = hashlib.sha256()
    last = b""
    try:
        with entry.open("rb") as file:
            for line in file:
                digest.update(last)
                last = line
        if not last.startswith(b"E") or not last.endswith(b"\n"):
            return None
        summary: dict[str, Any] = json.loads(last[1:])
        told = summary.pop("sha256")
        digest.update(to_json(summary).encode())
        return {**summary, "sha256": told} if told == digest.hexdigest() else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def iter_entry(entry: Path) -> Iterator[tuple[str, bytes]]:
    """Kind (a value of `KIND_OF_TAG`) and line of each record of an entry."""
    with entry.open("rb") as file:
        for line in file:
            kind = KIND_OF_TAG.get(chr(line[0]))
            if kind:
                yield kind, line[1:]
