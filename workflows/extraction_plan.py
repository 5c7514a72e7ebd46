"""From the settings to the plan that workers follow, with what tells stored results of other settings apart."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, get_args

from document_processing.converters.lm_studio_converter import LMStudioConverter
from document_processing.length_counters import tokenizer_path
from document_processing.parsers.pdf_parser import PDFParser
from document_processing.settings import CleaningSettings, DocumentProcessingSettings
from shared_utils.file_utils import sha256_of, sha256_of_text
from shared_utils.records import DocumentType
from workflows.extraction_file import WorkPlan
from workflows.extraction_outputs import library_versions
from workflows.worker_pool import PROJECT_ROOT

DOCUMENT_TYPES = get_args(DocumentType)
# Parsers do not use these (a test keeps it so); a change in them needs new chunks, but no new parsing.
CHUNK_CODE = (
    "abbreviations.py",
    "chunking.py",
    "deduplication.py",
    "graphemes.py",
    "length_counters.py",
    "sentences.py",
    "settings.py",
)
CHUNK_LIBRARIES = ("tokenizers", "datasketch")


def work_plan(settings: DocumentProcessingSettings, store: Path) -> WorkPlan:
    """What is done with each file of a run, and the fingerprints that the names of its entries carry.

    Raises:
        ConfigurationError: sizes that do not fit each other, or a tokenizer or a package that is not to be had.
    """
    lm_studio, limits = settings.lm_studio, settings.extraction
    cleaning = settings.cleaning
    _check_packages(cleaning)
    PDFParser(**settings.pdf.model_dump())  # with --ocr it looks for Tesseract and its languages
    parsers = {"pdf": settings.pdf.model_dump(), "markdown": settings.markdown.model_dump()}
    converter: dict[str, Any] = lm_studio.model_dump(exclude={"output_format", "instruction_format"})
    tokenizer_digest = ""
    if lm_studio.chunk_unit == "tokens":
        path = tokenizer_path(lm_studio.tokenizer)
        converter["tokenizer"] = str(path)
        tokenizer_digest = sha256_of(path)
    LMStudioConverter(**converter)  # what is wrong with it is told before any file is read
    what_counts = {**converter, "tokenizer": tokenizer_digest, "instructions": settings.makes_heading_pairs}
    parser_code, all_code = _code_digests()
    libraries = library_versions()
    counters = {name: libraries.pop(name, "") for name in CHUNK_LIBRARIES}
    return WorkPlan(
        store=str(store.resolve()),
        parsers=parsers,
        converter=converter,
        instructions=settings.makes_heading_pairs,
        redact=list(cleaning.redact),
        signatures=cleaning.dedupe,
        parse_fingerprints={
            kind: _fingerprint(parser_code, parsers.get(kind, {}), libraries, cleaning.redact)
            for kind in DOCUMENT_TYPES
        },
        chunk_fingerprint=_fingerprint(all_code, what_counts, counters),
        signature_fingerprint=_fingerprint(all_code, counters),
        max_bytes=limits.max_file_mb * 2**20,
        memory_limit_mb=limits.memory_limit_mb,
        timeout_seconds=limits.timeout_seconds,
    )


def _check_packages(cleaning: CleaningSettings) -> None:
    """A missing package is told before any file is read."""
    if cleaning.redact:
        from document_processing.redaction import Redactor

        Redactor(cleaning.redact)
    if cleaning.dedupe:
        from document_processing.deduplication import check_installed

        check_installed()


def _fingerprint(*parts: object) -> str:
    return sha256_of_text(json.dumps(parts, sort_keys=True))


def _code_digests() -> tuple[str, str]:
    """Of the code that makes documents and of all that makes records, so that no entry of older code is taken."""
    package = PROJECT_ROOT / "document_processing"
    own_code = {PROJECT_ROOT / "workflows" / f"extraction_{name}.py" for name in ("entries", "file", "pages")}
    all_code = set(package.rglob("*.py")) | own_code
    chunk_code = {package / name for name in CHUNK_CODE} | set((package / "converters").rglob("*.py"))
    return _digest_of(all_code - chunk_code), _digest_of(all_code)


def _digest_of(paths: Iterable[Path]) -> str:
    digest = hashlib.sha256()
    for path in sorted(paths):
        digest.update(path.read_bytes())
    return digest.hexdigest()
