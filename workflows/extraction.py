"""From files to documents, chunks and instruction pairs.

    extract_folder("reports/", "data/")

Each file is read in a worker process with limits of time and memory. Its records wait in entries of the
cache (`OUTPUT_DIR/.cache`); at the end the entries are joined, sorted by file name, so the outputs are
byte-identical for any number of workers and memory does not grow with the number of files. A run that was
stopped takes the files it had finished from the cache, and a run with other chunks parses nothing again.
"""

from __future__ import annotations

import json
import logging
import os
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypedDict

from document_processing.parsers.registry import document_type
from document_processing.settings import DocumentProcessingSettings
from shared_utils.errors import ConfigurationError, DocumentProcessingError
from shared_utils.file_utils import (
    TEMPORARY_PREFIX,
    ensure_output_dir,
    remove_leftovers,
    translated_os_errors,
)
from shared_utils.llm_client import checked_url
from shared_utils.records import Document
from shared_utils.run_lock import run_lock
from workflows.extraction_duplicates import without_duplicates
from workflows.extraction_entries import iter_entry
from workflows.extraction_file import FileResult, WorkPlan, process_single_file, safe_parse_document
from workflows.extraction_outputs import (
    INSTRUCTIONS_NAME,
    redacted_counts,
    remove_other_entries,
    write_manifest,
    write_outputs,
)
from workflows.extraction_plan import work_plan
from workflows.extraction_schedule import ExtractionSchedule
from workflows.file_discovery import FoundFile, find_files
from workflows.llm_instructions import ANSWERS_NAME, write_llm_instructions
from workflows.worker_pool import WorkerPool

__all__ = [
    "ExtractionSummary",
    "extract_folder",
    "find_files",
    "parallel_document_processing",
    "process_single_file",
    "safe_parse_document",
]

CACHE_FOLDER = ".cache"

if TYPE_CHECKING:
    from workflows.ray_engine import RayPool

logger = logging.getLogger(__name__)


class ProcessedFile(TypedDict):
    """What became of one file of `parallel_document_processing`."""

    path: str
    status: Literal["ok", "failed", "skipped"]
    reason: str | None
    hint: str
    warnings: list[str]
    documents: list[Document]


@dataclass(frozen=True)
class ExtractionSummary:
    """What an extraction did; `results` holds one entry a file, in the order of the outputs."""

    results: list[FileResult]
    seconds: float
    outputs: list[str]

    @property
    def failed(self) -> list[FileResult]:
        """The files that could not be read."""
        return [result for result in self.results if result.status == "failed"]

    @property
    def skipped(self) -> list[FileResult]:
        """The files that are of no known type, hidden, or without text."""
        return [result for result in self.results if result.status == "skipped"]

    @property
    def ok(self) -> list[FileResult]:
        """The files that were read."""
        return [result for result in self.results if result.status == "ok"]

    @property
    def duplicates(self) -> int:
        """How many documents were left out because others say the same."""
        return sum(result.duplicates for result in self.results)

    @property
    def redacted(self) -> dict[str, int]:
        """How many pieces of private data of each kind were replaced."""
        return redacted_counts(self.results)

    def as_dict(self) -> dict[str, object]:
        """The summary that `--json` prints."""
        sums = {
            key: sum(getattr(result, key) for result in self.ok)
            for key in ("documents", "chunks", "instructions", "pages", "characters")
        }
        return {
            "files": len(self.results),
            **sums,
            "failed": len(self.failed),
            "skipped": len(self.skipped),
            "duplicates": self.duplicates,
            "redacted": self.redacted,
            "cached": sum(result.cached for result in self.ok),
            "seconds": self.seconds,
            "outputs": self.outputs,
        }


def parallel_document_processing(
    file_paths: Iterable[str | Path],
    num_workers: int = 4,
    *,
    settings: DocumentProcessingSettings | None = None,
) -> list[ProcessedFile]:
    """The documents of each file, in the order given; a file that cannot be read carries the reason.

    Args:
        file_paths: PDF, Markdown and text files.
        num_workers: how many are read at the same time.
        settings: parsers and limits; the defaults when left out.
    """
    if num_workers < 1:
        raise ConfigurationError(f"num_workers ({num_workers}) must be at least 1", hint="take the number of cores")
    settings = settings or DocumentProcessingSettings()
    files = [FoundFile(os.fspath(path), os.fspath(path), document_type(path)) for path in file_paths]
    with tempfile.TemporaryDirectory(prefix=TEMPORARY_PREFIX) as store:
        plan = replace(work_plan(settings, Path(store)), converter=None, instructions=False, signatures=False)
        results, _ = _process(files, plan, _local_pool(plan, num_workers))
        return [_processed(result, Path(store)) for result in results]


def _processed(result: FileResult, store: Path) -> ProcessedFile:
    documents: list[Document] = []
    for entry in result.entries:
        documents += [json.loads(line) for kind, line in iter_entry(store / entry) if kind == "documents"]
    return ProcessedFile(
        path=result.path,
        status=result.status,
        reason=result.reason,
        hint=result.hint,
        warnings=result.warnings,
        documents=documents,
    )


def extract_folder(
    input_path: str | Path,
    output_dir: str | Path,
    settings: DocumentProcessingSettings | None = None,
    *,
    files: Sequence[FoundFile] | None = None,
    on_file: Callable[[FileResult], None] | None = None,
    on_chunk: Callable[[int, int], None] | None = None,
) -> ExtractionSummary:
    """Extract a folder, a file or a pattern, and write documents, chunks, pairs and manifest.

    Args:
        input_path: what is read.
        output_dir: where the outputs go; old ones stay whole until the new ones are.
        settings: parsers, chunks and limits; the defaults when left out.
        files: what `find_files` found, when it was called before.
        on_file: called with each result as it is ready.
        on_chunk: called as a model is asked for pairs, with the chunks done and all of them.

    Raises:
        EndpointError: the model that writes the pairs cannot be asked; all other outputs are written.
        DataValidationError: there is nothing to read.
        ConfigurationError: the outputs cannot be written there, or the tokenizer is not to be had.
        LLMToolkitError: another run is writing there.
        DocumentProcessingError: no file could be read; the manifest tells why.
    """
    started = time.monotonic()
    settings = settings or DocumentProcessingSettings()
    if settings.extraction.engine == "ray":
        from workflows.ray_engine import require_ray

        require_ray()
    output = Path(output_dir).expanduser()
    refuse_same_folder(input_path, output)
    if settings.makes_llm_pairs:
        checked_url(settings.instructions.llm_url)
    files = find_files(input_path, output) if files is None else files
    ensure_output_dir(output)
    with run_lock(output), _store(output, settings.extraction.use_cache) as store:
        plan = work_plan(settings, store)
        results, peak_memory_mb = _process(files, plan, _pool(plan, settings), on_file)
        results, duplicates = without_duplicates(results, store, settings.cleaning)
        outputs = write_outputs(results, duplicates, store, output, settings)
        seconds = round(time.monotonic() - started, 2)
        write_manifest(results, duplicates, output, outputs, input_path, settings, seconds, peak_memory_mb)
        if settings.extraction.use_cache:
            remove_other_entries(store, results)
        if settings.makes_llm_pairs and any(result.chunks for result in results):
            results, rejects = _with_llm_pairs(results, output, settings, on_chunk)
            outputs = [*outputs, INSTRUCTIONS_NAME]
            seconds = round(time.monotonic() - started, 2)
            write_manifest(results, duplicates, output, outputs, input_path, settings, seconds, peak_memory_mb, rejects)
    summary = ExtractionSummary(results, seconds, [str(output / name) for name in (*outputs, "manifest.json")])
    if not summary.ok:
        raise _nothing_read(summary, input_path, output)
    return summary


def _with_llm_pairs(
    results: list[FileResult],
    output: Path,
    settings: DocumentProcessingSettings,
    on_chunk: Callable[[int, int], None] | None,
) -> tuple[list[FileResult], dict[str, int]]:
    """The results with the pairs of each file counted, and how many were refused for which reason."""
    total, done = sum(result.chunks for result in results), 0

    def note() -> None:
        nonlocal done
        done += 1
        if on_chunk:
            on_chunk(done, total)

    answers = output / CACHE_FOLDER / ANSWERS_NAME if settings.extraction.use_cache else None
    counts = write_llm_instructions(output, settings.instructions, answers=answers, on_chunk=note)
    counted = [replace(result, instructions=counts.pairs_by_source[result.path]) for result in results]
    return counted, dict(sorted(counts.rejects.items()))


def refuse_same_folder(input_path: str | Path, output: Path) -> None:
    """Outputs among the inputs would be read as inputs by the next run.

    Raises:
        ConfigurationError: both are one folder.
    """
    if output.exists() and Path(input_path).exists() and output.resolve() == Path(input_path).resolve():
        raise ConfigurationError(
            f"input and output are the same folder: {output}",
            hint="choose another output folder, such as data/",
        )


def _nothing_read(summary: ExtractionSummary, input_path: str | Path, output: Path) -> DocumentProcessingError:
    first = next((result for result in summary.results if result.status == "failed"), summary.results[0])
    return DocumentProcessingError(
        f"none of the {len(summary.results)} files in {input_path} could be read; {first.path}: {first.reason}",
        hint=first.hint if len(summary.results) == 1 else f"the reason for each is in {output / 'manifest.json'}",
    )


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def _store(output: Path, use_cache: bool) -> Iterator[Path]:
    """The folder of the entries: the cache, or one that is removed at the end."""
    remove_leftovers(output)
    if not use_cache:
        with tempfile.TemporaryDirectory(prefix=TEMPORARY_PREFIX, dir=output) as folder:
            yield Path(folder)
        return
    store = output / CACHE_FOLDER
    with translated_os_errors(store):
        store.mkdir(exist_ok=True)
    remove_leftovers(store)
    try:
        yield store
    finally:
        remove_leftovers(store)  # of workers that were ended


def _pool(plan: WorkPlan, settings: DocumentProcessingSettings) -> WorkerPool | RayPool:
    extraction = settings.extraction
    if extraction.engine == "local":
        return _local_pool(plan, extraction.workers or _cores())
    from workflows.ray_engine import RayPool

    return RayPool(plan, workers=extraction.workers, address=extraction.ray_address)


def _local_pool(plan: WorkPlan, workers: int) -> WorkerPool:
    return WorkerPool(
        "workflows.extraction_worker",
        asdict(plan),
        workers=workers,
        timeout_seconds=plan.timeout_seconds,
        memory_limit_mb=plan.memory_limit_mb,
    )


def _process(
    files: Sequence[FoundFile],
    plan: WorkPlan,
    pool: WorkerPool | RayPool,
    on_file: Callable[[FileResult], None] | None = None,
) -> tuple[list[FileResult], float]:
    """The result of each file, in the order of `files`, and the peak memory of the largest worker in megabytes."""
    results: list[FileResult | None] = [None] * len(files)

    def note(index: int, result: FileResult) -> None:
        results[index] = result
        for warning in result.warnings:
            logger.warning("%s: %s", result.path, warning)
        if on_file:
            on_file(result)

    for index, file in enumerate(files):
        if file.status:
            note(index, FileResult(file.source, file.status, file.reason, file.hint, type=file.type))
    schedule = ExtractionSchedule(files, plan)
    for number, answer in pool.run(schedule.take):
        finished = schedule.note(number, answer)
        if finished:
            note(*finished)
    return [result for result in results if result], pool.peak_memory_mb


def known_types(files: Sequence[FoundFile]) -> Mapping[str, int]:
    """How many files of each type will be read."""
    counts: dict[str, int] = {}
    for file in files:
        if not file.status and file.type:
            counts[file.type] = counts.get(file.type, 0) + 1
    return counts
