"""What happens to one file: read, cut into chunks, stored. Runs inside a worker process.

    python -c "from workflows.extraction_worker import main; main()"

reads a plan and then jobs from stdin, one JSON object a line, and answers each job with one line. No memory
is shared with the parent, so a file that hangs or crashes a library takes only this process with it.

A result is stored as one entry: a line per record, its first letter says which kind (D document, C chunk,
I instruction), and a last line E with the counts and the digest of all lines above.
"""

from __future__ import annotations

import ctypes
import hashlib
import json
import logging
import os
import signal
import stat
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import IO, Any, Literal

from document_processing.converters.instructions import instructions_of
from document_processing.converters.lm_studio_converter import LMStudioConverter
from document_processing.parsers.registry import document_type, parser_for
from shared_utils.errors import DataValidationError, DocumentProcessingError, LLMToolkitError
from shared_utils.file_utils import TEMPORARY_PREFIX, sha256_of_text, to_json
from shared_utils.records import Document

ENTRY_SUFFIX = ".entry"
KIND_OF_TAG = {"D": "documents", "C": "chunks", "I": "instructions"}
# Code and libraries take memory too, before any file is opened.
OWN_MEMORY_MB = 512
PR_SET_PDEATHSIG = 1  # of <sys/prctl.h>
GRACE_SECONDS = 30  # the parent ends a slow worker; this ends one whose parent was killed


@dataclass(frozen=True)
class WorkPlan:
    """What is done with each file; the same for all files of a run.

    Attributes:
        parsers: keyword arguments of the parsers by document type.
        converter: keyword arguments of `LMStudioConverter`; None makes no chunks.
        instructions: also make instruction pairs.
        fingerprint: stands for all of the above, the code and its libraries in the name of an entry.
        store: the folder of the entries.
        use_cache: take an entry that is there already.
        max_bytes: larger files are refused.
        memory_limit_mb: most memory that the work on one file takes.
        timeout_seconds: most time that the work on one file takes.
    """

    store: str
    parsers: dict[str, dict[str, Any]] = field(default_factory=dict)
    converter: dict[str, Any] | None = None
    instructions: bool = False
    fingerprint: str = ""
    use_cache: bool = False
    max_bytes: int = 512 * 1024 * 1024
    memory_limit_mb: int = 2048
    timeout_seconds: float = 120.0


@dataclass(frozen=True)
class FileResult:
    """What became of one file; see `FileReport` in `shared_utils.records`."""

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
    cached: bool = False
    warnings: list[str] = field(default_factory=list)
    entry: str | None = None


def safe_parse_document(path: str | Path, options: dict[str, dict[str, Any]] | None = None) -> list[Document]:
    """The documents of a file; every failure is an error of the toolkit.

    Raises:
        DataValidationError: the file cannot be opened, or no parser reads it.
        DocumentProcessingError: anything else that goes wrong, with the cause attached.
    """
    return list(_parsed(Path(path), options))


def process_single_file(path: Path, source: str, plan: WorkPlan, converter: LMStudioConverter | None) -> FileResult:
    """Read one file and store its records; never raises for what is wrong with the file.

    Args:
        path: the file.
        source: its name in the records.
        plan: what is to be done.
        converter: made from `plan.converter`, once for many files.
    """
    started = time.monotonic()
    result = FileResult(path=source, status="failed", type=document_type(path))
    try:
        digest, size = _fingerprint_of_file(path, plan.max_bytes)
        result = replace(result, sha256=digest, bytes=size)
        entry = Path(plan.store) / (sha256_of_text(plan.fingerprint, source, digest) + ENTRY_SUFFIX)
        summary = read_entry_summary(entry) if plan.use_cache else None
        cached = summary is not None
        if summary is None:
            summary = _write_entry(entry, _parsed(path, plan.parsers), source, plan, converter)
        counts = {key: summary[key] for key in ("documents", "chunks", "instructions", "pages", "characters")}
        result = replace(result, **counts, warnings=summary["warnings"], cached=cached)
        if summary["documents"]:
            result = replace(result, status="ok", entry=entry.name)
        else:
            result = replace(result, status="skipped", reason="it holds no text", hint="nothing is lost")
    except LLMToolkitError as error:
        reason = error.message.removeprefix(f"{path}: ").removeprefix(f"{path} ")
        result = replace(result, reason=reason, hint=error.hint)
    except Exception as error:  # a bug of ours must not take the other files with it
        if isinstance(error, MemoryError):
            raise
        result = replace(
            result, reason=f"unexpected {type(error).__name__}: {error}"[:300], hint="please report this file"
        )
    return replace(result, seconds=round(time.monotonic() - started, 3))


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
        return summary if summary["sha256"] == digest.hexdigest() else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def iter_entry(entry: Path) -> Iterator[tuple[str, bytes]]:
    """Kind (`documents`, `chunks`, `instructions`) and line of each record of an entry."""
    with entry.open("rb") as file:
        for line in file:
            kind = KIND_OF_TAG.get(chr(line[0]))
            if kind:
                yield kind, line[1:]


def _parsed(path: Path, options: dict[str, dict[str, Any]] | None) -> Iterator[Document]:
    try:
        yield from parser_for(path, options).iter_parse(path)
    except (LLMToolkitError, MemoryError):
        raise
    except RecursionError as error:
        raise DocumentProcessingError("it is nested too deeply to be read", hint="simplify the file") from error
    except Exception as error:  # the border to the parsing libraries: a damaged file may raise anything in them
        raise DocumentProcessingError(
            f"it could not be read ({type(error).__name__}: {' '.join(str(error).split())[:200]})",
            hint="open it in its own program and save it again",
        ) from error


def _fingerprint_of_file(path: Path, max_bytes: int) -> tuple[str, int]:
    """Digest and size of a regular file; what blocks, such as a pipe, is refused without waiting."""
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


def _write_entry(
    entry: Path,
    documents: Iterable[Document],
    source: str,
    plan: WorkPlan,
    converter: LMStudioConverter | None,
) -> dict[str, Any]:
    """Store the records of a file; the entry takes its name only when it is whole."""
    temporary = entry.with_name(f"{TEMPORARY_PREFIX}{os.getpid()}-{entry.name}")
    try:
        with temporary.open("wb") as file:
            summary = _write_records(file, documents, source, plan, converter)
        temporary.replace(entry)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return summary


def _write_records(
    file: IO[bytes],
    documents: Iterable[Document],
    source: str,
    plan: WorkPlan,
    converter: LMStudioConverter | None,
) -> dict[str, Any]:
    digest = hashlib.sha256()
    counts = {"D": 0, "C": 0, "I": 0}
    pages = characters = 0
    warnings: list[str] = []

    def write(tag: str, record: object) -> None:
        line = f"{tag}{to_json(record)}\n".encode()
        digest.update(line)
        file.write(line)
        counts[tag] += 1

    for parsed in documents:
        document: Document = {**parsed, "source": source}
        write("D", document)
        for chunk in converter.iter_convert([document]) if converter else ():
            write("C", chunk)
        for pair in instructions_of(document) if plan.instructions else ():
            write("I", pair)
        pages = max(pages, document["metadata"].get("pages", 0))
        characters += len(document["content"])
        warnings.extend(text for text in document["metadata"].get("warnings", ()) if text not in warnings)
    summary = {
        **{KIND_OF_TAG[tag]: count for tag, count in counts.items()},
        "pages": pages,
        "characters": characters,
        "warnings": warnings,
        "sha256": digest.hexdigest(),
    }
    file.write(f"E{to_json(summary)}\n".encode())
    return summary


def main() -> None:
    """Answer jobs until stdin ends."""
    answers = os.fdopen(os.dup(1), "w", encoding="ascii", buffering=1)
    # A library that prints must not end up between the answers.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    logging.disable(logging.CRITICAL)  # the parent tells the warnings, with the name of the file
    _end_with_parent()
    plan = WorkPlan(**json.loads(sys.stdin.readline()))
    _limit_memory(plan.memory_limit_mb)
    converter: LMStudioConverter | None = None
    for line in sys.stdin:
        job = json.loads(line)
        _start_alarm(job["seconds"] + GRACE_SECONDS)
        try:
            if plan.converter is not None and converter is None:
                converter = LMStudioConverter(**plan.converter)
            result = process_single_file(Path(job["path"]), job["source"], plan, converter)
        except MemoryError:
            # What is left of the memory is scattered: the parent starts a fresh worker.
            answers.write(json.dumps({"memory": True}) + "\n")
            return
        _start_alarm(0)
        answers.write(json.dumps(asdict(result)) + "\n")


def _end_with_parent() -> None:
    """On Linux the kernel ends this process when the parent is killed; elsewhere the alarm does, later."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _limit_memory(megabytes: int) -> None:
    try:
        import resource
    except ImportError:  # Windows: the parent watches the size of its workers
        return
    limit = (megabytes + OWN_MEMORY_MB) * 2**20
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (limit if hard == resource.RLIM_INFINITY else min(limit, hard), hard))


def _start_alarm(seconds: float) -> None:
    if hasattr(signal, "setitimer"):  # its default action ends the process, also inside a C library
        signal.setitimer(signal.ITIMER_REAL, seconds)
