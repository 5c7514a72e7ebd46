"""`extract`: documents become chunks and instruction pairs.

Ends with 0 when every document was read (files of unknown types and empty ones are skipped and listed in
the manifest), with 4 when at least one could not be read, and with 1 when none could, or when the language
model that should write the pairs does not answer.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from commands.options import add_setting
from configs.schema import ToolkitConfig
from document_processing.settings import BEST_EFFORT
from shared_utils.console import CommandResult, Console

if TYPE_CHECKING:
    from workflows.extraction import ExtractionSummary
    from workflows.file_discovery import FoundFile

EXAMPLE = "python main.py extract data/sample_documents data/extracted --instruction-format"
MOST_SHOWN = 5  # rejected files that are told one by one; the manifest names all

_FORMATS = (
    "PDF, Markdown, text, source code, reStructuredText, HTML, Word, PowerPoint, Excel, CSV, OpenDocument, RTF, EPUB, "
    "e-mail, Jupyter notebooks, JSON, JSON Lines, and ZIP archives of these (see docs/data-format.md)"
)
_SETTINGS = {
    "--format": "document_processing.lm_studio.output_format",
    "--chunk-size": "document_processing.lm_studio.chunk_size",
    "--chunk-overlap": "document_processing.lm_studio.overlap_size",
    "--chunk-unit": "document_processing.lm_studio.chunk_unit",
    "--tokenizer": "document_processing.lm_studio.tokenizer",
    "--instruction-format": "document_processing.lm_studio.instruction_format",
    "--dedupe": "document_processing.cleaning.dedupe",
    "--dedupe-threshold": "document_processing.cleaning.dedupe_threshold",
    "--redact": "document_processing.cleaning.redact",
    "--instruction-source": "document_processing.instructions.instruction_source",
    "--llm-url": "document_processing.instructions.llm_url",
    "--llm-model": "document_processing.instructions.llm_model",
    "--ocr": "document_processing.pdf.ocr",
    "--ocr-language": "document_processing.pdf.ocr_language",
    "--workers": "document_processing.extraction.workers",
    "--timeout": "document_processing.extraction.timeout_seconds",
    "--engine": "document_processing.extraction.engine",
    "--cache": "document_processing.extraction.use_cache",
}


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("input", metavar="INPUT", help=f"a folder, a file, or a pattern in quotes; reads {_FORMATS}")
    parser.add_argument("target", metavar="OUTPUT_DIR", type=Path, help="where the results are written")
    for flag, path in _SETTINGS.items():
        add_setting(parser, flag, path)
    parser.add_argument("--dry-run", action="store_true", help="say what would be read and written; write nothing")


def run(args: argparse.Namespace, config: ToolkitConfig, console: Console) -> CommandResult:
    """Extract and tell what came of it."""
    from shared_utils.run_lock import refuse_if_held
    from workflows.extraction import extract_folder, find_files, refuse_same_folder

    settings = config.document_processing
    refuse_same_folder(args.input, args.target)
    if not args.dry_run:
        refuse_if_held(args.target)
    files = find_files(args.input, args.target)
    if args.dry_run:
        return _tell_plan(files, args, config, console)
    with console.progress(len(files), "extract") as progress:
        summary = extract_folder(
            args.input,
            args.target,
            settings,
            files=files,
            on_file=lambda result: progress.advance(1, result.path, failed=result.status == "failed"),
            on_chunk=lambda done, total: progress.advance(0, f"pairs: {done} of {total} chunks asked about"),
        )
    _tell_rejected(summary, args.target, console)
    _tell_result(summary, args.target, config, console)
    return CommandResult(summary.as_dict(), exit_code=4 if summary.failed else 0)


def _tell_plan(
    files: list[FoundFile], args: argparse.Namespace, config: ToolkitConfig, console: Console
) -> CommandResult:
    from workflows.extraction import known_types

    types = dict(known_types(files))
    set_aside = [file for file in files if file.status]
    lm_studio = config.document_processing.lm_studio
    outputs = ["documents.jsonl", "chunks.jsonl", "manifest.json"]
    if _makes_pairs(config):
        outputs.insert(2, "instructions.jsonl")
    if lm_studio.output_format == "text":
        outputs.append("text/")
    shown = ", ".join(f"{count} {kind}" for kind, count in sorted(types.items())) or "none"
    console.info(f"{len(files)} files found; to be read: {shown}; not read: {len(set_aside)}")
    for file in set_aside[:MOST_SHOWN]:
        console.info(f"not read {file.source}: {file.reason}")
    console.info(f"would be written to {args.target}: {', '.join(outputs)}")
    summary: dict[str, object] = {
        "files": len(files),
        "types": types,
        "failed": sum(file.status == "failed" for file in files),
        "skipped": sum(file.status == "skipped" for file in files),
        "outputs": [str(args.target / name) for name in outputs],
        "dry_run": True,
    }
    return CommandResult(summary)


def _makes_pairs(config: ToolkitConfig) -> bool:
    return config.document_processing.makes_heading_pairs or config.document_processing.makes_llm_pairs


def _tell_rejected(summary: ExtractionSummary, target: Path, console: Console) -> None:
    for result in summary.failed[:MOST_SHOWN]:
        hint = f"; {result.hint}" if result.hint else ""
        console.warn(f"failed {result.path}: {result.reason}{hint}")
    if len(summary.failed) > MOST_SHOWN:
        console.warn(f"{len(summary.failed) - MOST_SHOWN} more files failed; {target / 'manifest.json'} names each")


def _tell_result(summary: ExtractionSummary, target: Path, config: ToolkitConfig, console: Console) -> None:
    numbers = summary.as_dict()
    lm_studio = config.document_processing.lm_studio
    cached = f" ({numbers['cached']} from the cache)" if numbers["cached"] else ""
    console.info(
        f"{len(summary.ok)} files read{cached}, {numbers['failed']} failed, {numbers['skipped']} skipped, "
        f"{numbers['chunks']} chunks of at most {lm_studio.chunk_size} {lm_studio.chunk_unit} "
        f"written to {target / 'chunks.jsonl'}"
    )
    _tell_cleaning(summary, config, console)
    train_on = target / "chunks.jsonl"
    if _makes_pairs(config):
        console.info(f"{numbers['instructions']} instruction pairs written to {target / 'instructions.jsonl'}")
        train_on = target / "instructions.jsonl" if numbers["instructions"] else train_on
    console.info(f"next: python main.py train-lora --train-data {train_on}")


def _tell_cleaning(summary: ExtractionSummary, config: ToolkitConfig, console: Console) -> None:
    if summary.duplicates:
        console.info(f"{summary.duplicates} documents left out that say the same as others; manifest.json names them")
    if config.document_processing.cleaning.redact:
        told = ", ".join(f"{count} {kind}" for kind, count in summary.redacted.items()) or "nothing found"
        console.info(f"replaced by placeholders: {told} ({BEST_EFFORT})")
