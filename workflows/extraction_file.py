"""What happens to one file: it is parsed, its documents are cut into chunks, both are stored as entries.

The documents stand in one entry, which depends on the file and its parser; chunks and pairs stand in
another, which depends on the documents and the converter. So other chunks need no second parsing. Private
data is replaced before documents are stored, so that the cache holds none of what the outputs do not.

A large PDF is read in ranges of pages, each stored as a part; one more job joins the parts to documents.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from document_processing.converters.instructions import instructions_of
from document_processing.converters.lm_studio_converter import LMStudioConverter
from document_processing.parsers.registry import document_type, parser_for
from shared_utils.errors import DataValidationError, DocumentProcessingError, LLMToolkitError, NoDocumentError
from shared_utils.file_utils import sha256_of_text
from shared_utils.records import Document
from workflows.extraction_entries import (
    CHUNKED_SUFFIX,
    PARSED_SUFFIX,
    SIGNED_SUFFIX,
    entry_writer,
    iter_entry,
    read_entry_summary,
)

if TYPE_CHECKING:
    from document_processing.redaction import Redactor

BUG_HINT = "please report this file"


@dataclass(frozen=True)
class WorkPlan:
    """What is done with each file; the same for all files of a run.

    Attributes:
        store: the folder of the entries.
        parsers: keyword arguments of the parsers by document type.
        converter: keyword arguments of `LMStudioConverter`; None makes no chunks.
        instructions: also make instruction pairs.
        redact: kinds of private data that are replaced.
        signatures: also store what documents are compared by.
        parse_fingerprints: stand for a parser's arguments, code and libraries in the names of entries; by type.
        chunk_fingerprint: the same for the converter.
        signature_fingerprint: the same for the signatures.
        max_bytes: larger files are refused.
        memory_limit_mb: most memory that the work on one file takes.
        timeout_seconds: most time that one piece of work takes.
    """

    store: str
    parsers: dict[str, dict[str, Any]] = field(default_factory=dict)
    converter: dict[str, Any] | None = None
    instructions: bool = False
    redact: list[str] = field(default_factory=list)
    signatures: bool = False
    parse_fingerprints: dict[str, str] = field(default_factory=dict)
    chunk_fingerprint: str = ""
    signature_fingerprint: str = ""
    max_bytes: int = 512 * 1024 * 1024
    memory_limit_mb: int = 2048
    timeout_seconds: float = 120.0

    def parsed_entry(self, source: str, digest: str) -> Path:
        """Where the documents of a file are stored, by its name in the records and the digest of its bytes."""
        fingerprint = self.parse_fingerprints.get(document_type(source) or "", "")
        return Path(self.store) / (sha256_of_text(fingerprint, source, digest) + PARSED_SUFFIX)

    def chunked_entry(self, documents_digest: str) -> Path:
        """Where the chunks and pairs are stored that are made of documents with this digest."""
        return Path(self.store) / (sha256_of_text(self.chunk_fingerprint, documents_digest) + CHUNKED_SUFFIX)

    def signed_entry(self, documents_digest: str) -> Path:
        """Where the signatures of documents with this digest are stored."""
        return Path(self.store) / (sha256_of_text(self.signature_fingerprint, documents_digest) + SIGNED_SUFFIX)


@dataclass(frozen=True, slots=True)
class FileResult:
    """What became of one file; see `FileReport` in `shared_utils.records`.

    `cached` says that nothing had to be parsed; `redacted` counts the placeholders by kind; `duplicates` are
    documents left out because others say the same; `entries` names what was stored of it.
    """

    path: str
    status: Literal["ok", "failed", "skipped"]
    reason: str | None = None
    hint: str = ""
    sha256: str | None = None
    bytes: int | None = None
    type: str | None = None
    documents: int = 0
    chunks: int = 0
    instructions: int = 0
    pages: int = 0
    characters: int = 0
    seconds: float = 0.0
    duplicates: int = 0
    redacted: dict[str, int] = field(default_factory=dict)
    cached: bool = False
    warnings: list[str] = field(default_factory=list)
    entries: tuple[str, ...] = ()


def safe_parse_document(path: str | Path, options: dict[str, dict[str, Any]] | None = None) -> list[Document]:
    """The documents of a file; every failure is an error of the toolkit.

    Raises:
        DataValidationError: the file cannot be opened, or no parser reads it.
        DocumentProcessingError: anything else that goes wrong, with the cause attached.
    """
    return list(_parsed(Path(path), options))


def process_single_file(
    path: Path,
    source: str,
    plan: WorkPlan,
    converter: LMStudioConverter | None,
    *,
    documents: Iterable[Document] | None = None,
    is_complete: bool = True,
) -> FileResult:
    """Read one file and store its records; never raises for what is wrong with the file.

    Args:
        path: the file.
        source: its name in the records.
        plan: what is to be done.
        converter: made from `plan.converter`, once for many files.
        documents: what the file holds, where its pages were read before; left out, the file is parsed.
        is_complete: false when pages are missing that a run with other limits may be able to read.
    """
    started = time.monotonic()
    result = FileResult(path=source, status="failed", type=document_type(path))
    try:
        digest, size = fingerprint_of_file(path, plan.max_bytes)
        result = replace(result, sha256=digest, bytes=size)
        parsed = plan.parsed_entry(source, digest)
        summary = stored_documents(parsed, plan)
        cached = summary is not None
        if summary is None:
            summary = _store_documents(
                parsed,
                _parsed(path, plan.parsers) if documents is None else documents,
                source,
                plan,
                None if is_complete else _limits(plan),
            )
        result = replace(_result_of(result, parsed, summary, plan, converter), cached=cached)
    except Exception as error:  # the other files must not suffer from a bug of ours
        reason, hint = told(error, path)
        result = replace(result, reason=reason, hint=hint)
        if isinstance(error, NoDocumentError):
            result = replace(result, status="skipped")
    return replace(result, seconds=round(time.monotonic() - started, 3))


def stored_documents(entry: Path, plan: WorkPlan) -> dict[str, Any] | None:
    """The summary of a parsed entry; None when there is none, or it lacks pages that were lost under other limits."""
    summary = read_entry_summary(entry)
    return summary if summary and summary["lost_under"] in (None, _limits(plan)) else None


def _limits(plan: WorkPlan) -> list[float]:
    return [plan.timeout_seconds, plan.memory_limit_mb]


def told(error: Exception, path: Path) -> tuple[str, str]:
    """Reason and hint of an error for the report on a file.

    Raises:
        MemoryError: the error is one; what is left of the memory is not to be relied on.
    """
    if isinstance(error, MemoryError):
        raise error
    if isinstance(error, LLMToolkitError):
        return error.message.removeprefix(f"{path}: ").removeprefix(f"{path} "), error.hint
    return f"unexpected {type(error).__name__}: {error}"[:300], BUG_HINT


def _result_of(
    result: FileResult, parsed: Path, summary: Mapping[str, Any], plan: WorkPlan, converter: LMStudioConverter | None
) -> FileResult:
    """The result for documents that are stored; makes their chunks and pairs where they are missing."""
    counts = {key: summary[key] for key in ("documents", "pages", "characters")}
    result = replace(result, **counts, warnings=summary["warnings"], redacted=summary["redacted"])
    if not summary["documents"]:
        return replace(
            result, status="skipped", reason="it holds no text", hint="nothing is lost", entries=(parsed.name,)
        )
    result = replace(result, status="ok", entries=(parsed.name,))
    if plan.signatures:
        signed = plan.signed_entry(summary["sha256"])
        if read_entry_summary(signed) is None:
            _store_signatures(signed, parsed)
        result = replace(result, entries=(parsed.name, signed.name))
    if converter is None:
        return result
    chunked = plan.chunked_entry(summary["sha256"])
    made = read_entry_summary(chunked) or _store_chunks(chunked, parsed, plan, converter)
    return replace(
        result,
        chunks=made["chunks"],
        instructions=made["instructions"],
        entries=(*result.entries, chunked.name),
    )


def _store_documents(
    entry: Path, documents: Iterable[Document], source: str, plan: WorkPlan, lost_under: list[float] | None
) -> dict[str, Any]:
    pages = characters = 0
    redactor = _redactor(plan)
    redacted: Counter[str] = Counter()
    warnings: list[str] = []
    with entry_writer(entry) as writer:
        for parsed in documents:
            document: Document = {**parsed, "source": source}
            if redactor:
                document, counts = redactor.redact_document(document)
                redacted.update(counts)
            writer.write("D", document)
            pages = max(pages, document["metadata"].get("pages", 0))
            characters += len(document["content"])
            warnings.extend(text for text in document["metadata"].get("warnings", ()) if text not in warnings)
        return writer.end(
            {
                "pages": pages,
                "characters": characters,
                "warnings": warnings,
                "redacted": dict(redacted),
                "lost_under": lost_under,
            }
        )


def _redactor(plan: WorkPlan) -> Redactor | None:
    if not plan.redact:
        return None
    from document_processing.redaction import Redactor  # its patterns take a while to compile

    return Redactor(plan.redact)


def _store_signatures(entry: Path, parsed: Path) -> None:
    """A signature for each document, with its place in the parsed entry, where its text can be read again."""
    from document_processing.deduplication import signature_of  # brings numpy, which most runs do not need

    place = 0
    with entry_writer(entry) as writer:
        for _, line in iter_entry(parsed):
            content = json.loads(line)["content"]
            record = {**signature_of(content), "characters": len(content), "place": place + 1, "length": len(line)}
            writer.write("S", record)
            place += 1 + len(line)  # the tag is no part of the line
        writer.end()


def _store_chunks(entry: Path, parsed: Path, plan: WorkPlan, converter: LMStudioConverter) -> dict[str, Any]:
    with entry_writer(entry) as writer:
        for _, line in iter_entry(parsed):
            document: Document = json.loads(line)
            writer.write("B", {})
            for chunk in converter.iter_convert([document]):
                writer.write("C", chunk)
            for pair in instructions_of(document) if plan.instructions else ():
                writer.write("I", pair)
        return writer.end()


def _parsed(path: Path, options: dict[str, dict[str, Any]] | None) -> Iterator[Document]:
    with translated_library_errors():
        yield from parser_for(path, options).iter_parse(path)


@contextmanager
def translated_library_errors() -> Iterator[None]:
    """What the parsing libraries raise becomes an error of the toolkit."""
    try:
        yield
    except (LLMToolkitError, MemoryError):
        raise
    except RecursionError as error:
        raise DocumentProcessingError("it is nested too deeply to be read", hint="simplify the file") from error
    except Exception as error:  # the border to the parsing libraries: a damaged file may raise anything in them
        raise DocumentProcessingError(
            f"it could not be read ({type(error).__name__}: {' '.join(str(error).split())[:200]})",
            hint="open it in its own program and save it again",
        ) from error


def fingerprint_of_file(path: Path, max_bytes: int) -> tuple[str, int]:
    """Digest and size of a regular file; what blocks, such as a pipe, is refused without waiting.

    Raises:
        DataValidationError: it cannot be opened, is no regular file, or is larger than `max_bytes`.
    """
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
    try:
        handle = os.open(path, flags)
    except OSError as error:
        raise DataValidationError(
            f"it cannot be opened: {error.strerror}", hint="check the path and who may read it"
        ) from error
    with os.fdopen(handle, "rb") as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise DataValidationError("it is no regular file", hint="only plain files are read")
        if status.st_size > max_bytes:
            raise DataValidationError(
                f"it has {status.st_size / 2**20:,.0f} MB; the limit is {max_bytes / 2**20:,.0f} MB",
                hint="split it, or raise document_processing.extraction.max_file_mb",
            )
        return hashlib.file_digest(file, "sha256").hexdigest(), status.st_size
