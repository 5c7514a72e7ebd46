"""What an extraction leaves in its output folder.

The entries of all files (see `extraction_worker`) are joined line by line, so memory does not grow with
the number of files. Outputs take their names when all are whole.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from document_processing.settings import BEST_EFFORT, DocumentProcessingSettings
from shared_utils.file_utils import atomic_binary_writer, atomic_writer, to_json
from workflows.extraction_duplicates import Duplicates, kept_records
from workflows.extraction_entries import CHUNKED_SUFFIX, PARSED_SUFFIX, PART_SUFFIX, SIGNED_SUFFIX
from workflows.extraction_file import FileResult

INSTRUCTIONS_NAME = "instructions.jsonl"
TEXT_FOLDER = "text"
LONGEST_TEXT_NAME = 200  # bytes; most file systems allow 255
_FILES_KEY = '  "files":'
_LIBRARIES = (
    *("pypdfium2", "pdfplumber", "pdfminer.six", "pypdf", "PyPDF2", "markdown-it-py", "chardet", "tokenizers"),
    *("lxml", "python-docx", "python-pptx", "openpyxl", "striprtf", "trafilatura"),
    *("datasketch", "phonenumbers", "publicsuffixlist", "python-stdnum"),
)


def write_outputs(
    results: Sequence[FileResult],
    duplicates: Duplicates,
    store: Path,
    output: Path,
    settings: DocumentProcessingSettings,
) -> list[str]:
    """Join the entries; the names of the files written. All take their names together, at the end."""
    before = _outputs_of_last_run(output)
    kinds = ["documents", "chunks", *(["instructions"] if settings.makes_heading_pairs else [])]
    names = [f"{kind}.jsonl" for kind in kinds]
    with ExitStack() as stack:
        target_by_kind = {kind: stack.enter_context(atomic_binary_writer(output / f"{kind}.jsonl")) for kind in kinds}
        for result in results:
            for kind, line in kept_records(result, store, duplicates):
                if kind in target_by_kind:
                    target_by_kind[kind].write(line)
    if settings.lm_studio.output_format == "text":
        names += [_write_text(result, duplicates, store, output) for result in results if result.status == "ok"]
    for name in before - set(names) - {"manifest.json"}:
        (output / name).unlink(missing_ok=True)
    if settings.lm_studio.output_format != "text" and (output / TEXT_FOLDER).is_dir():
        with suppress(OSError):  # other files are in it
            (output / TEXT_FOLDER).rmdir()
    return names


def _outputs_of_last_run(output: Path) -> set[str]:
    """What the last run wrote here: what this one does not write anew would contradict it."""
    head = ""
    try:
        with (output / "manifest.json").open(encoding="utf-8") as file:
            for line in file:
                if line.startswith(_FILES_KEY):  # of no interest here, and possibly very many
                    break
                head += line
        names = json.loads(head.rstrip().removesuffix(",") + "\n}")["outputs"]
        return {name for name in names if name in _known_outputs() or _is_text_output(name)}
    except (OSError, ValueError, KeyError, TypeError):
        return set()


def _known_outputs() -> set[str]:
    return {"documents.jsonl", "chunks.jsonl", INSTRUCTIONS_NAME}


def _is_text_output(name: str) -> bool:
    folder, _, file = name.partition("/")
    return folder == TEXT_FOLDER and file.endswith(".txt") and "/" not in file and "\\" not in file


def _write_text(result: FileResult, duplicates: Duplicates, store: Path, output: Path) -> str:
    name = f"{TEXT_FOLDER}/{_text_name(result.path)}"
    with atomic_writer(output / name) as target:
        for kind, line in kept_records(result, store, duplicates):
            if kind == "documents":
                target.write(json.loads(line)["content"] + "\n\n")
    return name


def _text_name(source: str) -> str:
    """A plain file name for a source; a digest keeps apart what would fall together."""
    plain = "".join(ch if ch.isalnum() or ch in " .-_()+,=@" else "_" for ch in source).lstrip("-.")
    while len(plain.encode()) > LONGEST_TEXT_NAME:
        plain = plain[:-1]
    if plain != source:
        plain += f"-{hashlib.sha256(source.encode()).hexdigest()[:8]}"
    return plain + ".txt"


def write_manifest(
    results: Sequence[FileResult],
    duplicates: Duplicates,
    output: Path,
    outputs: Sequence[str],
    input_path: str | Path,
    settings: DocumentProcessingSettings,
    seconds: float,
    peak_memory_mb: float,
    instruction_rejects: Mapping[str, int] | None = None,
) -> None:
    """Write what became of each file, with the settings and versions that it was done with.

    `instruction_rejects` counts the pairs of a language model that were refused, by reason.
    """
    counts = {status: sum(result.status == status for result in results) for status in ("ok", "failed", "skipped")}
    head = {
        "input": os.fsencode(os.fspath(input_path)).decode("utf-8", "backslashreplace"),
        "files_found": len(results),
        **counts,
        "duplicates_total": duplicates.total,
        "duplicates": duplicates.listed,
        "redaction": {
            "kinds": settings.cleaning.redact,
            "replaced": redacted_counts(results),
            "note": BEST_EFFORT,
        },
        "seconds": seconds,
        "peak_memory_mb": peak_memory_mb,
        "outputs": [*outputs, "manifest.json"],
        "instruction_rejects": dict(instruction_rejects or {}),
        "settings": settings.model_dump(),
        "versions": library_versions(),
    }
    with atomic_writer(output / "manifest.json") as manifest:
        # One file after another: in one piece, the report on 100,000 files would take hundreds of megabytes.
        manifest.write(to_json(head, indent=2).removesuffix("\n}") + f",\n{_FILES_KEY} [")
        for position, result in enumerate(results):
            report = {key: value for key, value in asdict(result).items() if key != "entries"}
            manifest.write(f"{',' if position else ''}\n    {to_json(report)}")
        manifest.write("\n  ]\n}\n")


def redacted_counts(results: Sequence[FileResult]) -> dict[str, int]:
    """How many placeholders of each kind stand in the documents of the files."""
    counts: Counter[str] = Counter()
    for result in results:
        counts.update(result.redacted)
    return dict(sorted(counts.items()))


def remove_other_entries(store: Path, results: Sequence[FileResult]) -> None:
    """Entries of files that changed or are gone; the cache never outgrows one run."""
    used = {entry for result in results for entry in result.entries}
    for path in store.iterdir():
        if path.suffix in (PARSED_SUFFIX, CHUNKED_SUFFIX, SIGNED_SUFFIX, PART_SUFFIX) and path.name not in used:
            path.unlink(missing_ok=True)


def library_versions() -> dict[str, str]:
    """The versions of the libraries that the records depend on."""
    found: dict[str, str] = {}
    for name in _LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
