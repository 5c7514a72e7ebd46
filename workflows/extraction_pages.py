"""Large PDF files, read in ranges of pages by several workers.

Pages are read on their own and stored as parts; the repairs that look at the whole file are made when the
parts are joined, so the documents are the same as if the file had been read in one go. Whether a file is split
depends on the file alone, never on the number of workers.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from document_processing.converters.lm_studio_converter import LMStudioConverter
from document_processing.parsers.pdf_pages import RawPart, lost_part
from document_processing.parsers.pdf_parser import PDFParser
from document_processing.parsers.registry import document_type
from shared_utils.errors import DataValidationError
from shared_utils.file_utils import sha256_of_text
from shared_utils.records import Document
from workflows.extraction_entries import PART_SUFFIX, entry_writer, iter_entry, read_entry_summary
from workflows.extraction_file import (
    FileResult,
    WorkPlan,
    fingerprint_of_file,
    process_single_file,
    stored_documents,
    translated_library_errors,
)

MOST_PAGES_IN_ONE_GO = 64
SMALLEST_BYTES = 32 * 1024  # smaller files hold too little to be worth counting their pages
# Each range opens the file anew, which takes longer the more pages it has (0.25 ms a page): few ranges then.
SMALLEST_RANGE, LARGEST_RANGE, USUAL_RANGES = 16, 512, 32


@dataclass(frozen=True, slots=True)
class PageSplit:
    """A file that is to be read in ranges."""

    pages: int
    sha256: str
    bytes: int


@dataclass(frozen=True, slots=True)
class Piece:
    """The pages `first` up to but without `last`, counted from 0: stored as `part`, or lost for a reason."""

    first: int
    last: int
    part: str = ""
    reason: str = ""


def page_ranges(first: int, last: int, size: int) -> list[tuple[int, int]]:
    """`first` up to `last` in ranges of at most `size` pages."""
    return [(start, min(start + size, last)) for start in range(first, last, size)]


def range_size(pages: int) -> int:
    """Pages in a range of a file with that many."""
    return min(max(SMALLEST_RANGE, math.ceil(pages / USUAL_RANGES)), LARGEST_RANGE)


def split_of(path: Path, source: str, plan: WorkPlan) -> PageSplit | None:
    """How to split a file; None when it is read in one go: small, of another type, known or unreadable."""
    if document_type(path) != "pdf":
        return None
    try:
        if os.stat(path).st_size < SMALLEST_BYTES:
            return None
        digest, size = fingerprint_of_file(path, plan.max_bytes)
        if stored_documents(plan.parsed_entry(source, digest), plan):
            return None
        pages = _parser(plan).page_count(path)
    except MemoryError:
        raise
    except Exception:  # reading it in one go tells what is wrong with it
        return None
    return PageSplit(pages, digest, size) if pages > MOST_PAGES_IN_ONE_GO else None


def read_range(path: Path, sha256: str, first: int, last: int, plan: WorkPlan) -> str:
    """Read a range of pages and store it; the name of the part. One that is stored already is not read again.

    Raises:
        LLMToolkitError: the pages could not be read.
    """
    entry = part_entry(sha256, first, last, plan)
    if read_entry_summary(entry) is None:
        with translated_library_errors():
            part = _parser(plan).read_pages(path, first, last)
        with entry_writer(entry) as writer:
            writer.write("P", part)
            writer.end()
    return entry.name


def part_entry(sha256: str, first: int, last: int, plan: WorkPlan) -> Path:
    """Where a range of pages of the file with this digest is stored."""
    fingerprint = plan.parse_fingerprints.get("pdf", "")
    return Path(plan.store) / (sha256_of_text(fingerprint, sha256, f"{first}-{last}") + PART_SUFFIX)


def join_pieces(
    path: Path,
    source: str,
    sha256: str,
    pieces: Sequence[Piece],
    plan: WorkPlan,
    converter: LMStudioConverter | None,
) -> FileResult:
    """The result of a file whose pages were read; never raises for what is wrong with the file."""
    is_complete = not any(piece.reason for piece in pieces)
    documents = _documents(path, sha256, pieces, plan)
    result = process_single_file(path, source, plan, converter, documents=documents, is_complete=is_complete)
    if is_complete:
        return result
    # A run with other limits goes on from the pages that could be read.
    return replace(result, entries=(*result.entries, *(piece.part for piece in pieces if piece.part)))


def _documents(path: Path, sha256: str, pieces: Sequence[Piece], plan: WorkPlan) -> Iterator[Document]:
    if fingerprint_of_file(path, plan.max_bytes)[0] != sha256:
        raise DataValidationError("it changed while it was read", hint="run again when it is complete")
    parts = [_part(piece, plan) for piece in pieces]
    with translated_library_errors():
        yield from _parser(plan).documents_of(path, parts)


def _part(piece: Piece, plan: WorkPlan) -> RawPart:
    if piece.reason:
        return lost_part(piece.first, piece.last, piece.reason)
    _, line = next(iter_entry(Path(plan.store) / piece.part))
    part: RawPart = json.loads(line)
    return part


def _parser(plan: WorkPlan) -> PDFParser:
    options: Mapping[str, Any] = plan.parsers.get("pdf", {})
    return PDFParser(**options)
