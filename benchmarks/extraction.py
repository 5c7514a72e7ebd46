"""Quality and cost of PDF extraction: ours beside pdfplumber, PyPDF2, pypdf, pypdfium2 and others, in one run.

    python benchmarks/extraction.py FOLDER --scorer score_extract.py

FOLDER holds MANIFEST.json, which names the files and their true text; the scorer compares what a tool gave with it:
`sent_strict` (share of sentences that are whole and in one piece), `word_order`, table rows and reading order.
Every tool reads all files in a process of its own, several times in turn (A B C A B C); the figures are medians of
CPU seconds with those of child processes, divided by the CPU seconds of pypdfium2 alone, which only reads the text
layer. Peers that are not installed are left out, with the line that installs them:

    pip install pdfplumber PyPDF2 pypdf "markitdown[pdf]" pymupdf4llm
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import logging
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
BASE = "pypdfium2"


def ours(path: Path) -> list[str]:
    """This toolkit."""
    from document_processing import PDFParser

    return [document["content"] for document in PDFParser().parse(path)]


def score_other_kinds(args: argparse.Namespace, work: Path) -> None:
    """Print how our Markdown and text files score; their probes ask for metadata, which only records hold."""
    sys.path.insert(0, str(ROOT))
    from document_processing import parser_for

    manifest = json.loads((args.folder / "MANIFEST.json").read_text(encoding="utf-8"))
    for kind, name in (("md", "Markdown"), ("txt", "text")):
        output = work / kind
        output.mkdir()
        with (output / "records.jsonl").open("w", encoding="utf-8") as records:
            for entry in manifest["files"]:
                if entry["kind"] == kind:
                    for document in parser_for(entry["file"]).parse(args.folder / entry["file"]):
                        records.write(json.dumps(document) + "\n")
        found = score(args, output, kind)
        shown = {key: found[key] for key in ("docs", "sent_strict", "exact", "probe_rate", "probes") if key in found}
        print(f"ours, {name}: {json.dumps(shown)}")


def pypdfium2(path: Path) -> list[str]:
    """The text layer as pdfium gives it."""
    import pypdfium2 as library

    texts: list[str] = []
    document = library.PdfDocument(path)
    for page in document:
        text_page = page.get_textpage()
        texts.append(text_page.get_text_range())
        text_page.close()
        page.close()
    document.close()
    return texts


def pdfplumber(path: Path) -> list[str]:
    """`extract_text()` with its defaults."""
    import pdfplumber as library

    with library.open(path) as document:
        texts = []
        for page in document.pages:
            texts.append(page.extract_text() or "")
            page.close()
        return texts


def pypdf(path: Path) -> list[str]:
    """`extract_text()` with its defaults."""
    import pypdf as library

    return [page.extract_text() for page in library.PdfReader(path).pages]


def pypdf2(path: Path) -> list[str]:
    """`extract_text()` with its defaults."""
    import PyPDF2 as library

    return [page.extract_text() for page in library.PdfReader(path).pages]


def markitdown(path: Path) -> list[str]:
    """`convert()` with its defaults."""
    from markitdown import MarkItDown

    return [MarkItDown(enable_plugins=False).convert(str(path)).text_content]


def pymupdf4llm(path: Path) -> list[str]:
    """`to_markdown()` with its defaults."""
    import pymupdf4llm as library

    return [library.to_markdown(str(path), show_progress=False)]


def pdftotext(path: Path) -> list[str]:
    """Poppler's program with its defaults."""
    program = shutil.which("pdftotext") or "pdftotext"
    return [subprocess.run([program, str(path), "-"], capture_output=True, check=True).stdout.decode()]


TOOLS: dict[str, tuple[Callable[[Path], list[str]], str]] = {
    "ours": (ours, ""),
    "pypdfium2": (pypdfium2, "pypdfium2"),
    "pdftotext": (pdftotext, "pdftotext"),
    "pypdf": (pypdf, "pypdf"),
    "PyPDF2": (pypdf2, "PyPDF2"),
    "pdfplumber": (pdfplumber, "pdfplumber"),
    "MarkItDown": (markitdown, "markitdown"),
    "PyMuPDF4LLM": (pymupdf4llm, "pymupdf4llm"),
}


def main() -> None:
    """Run the comparison, or one tool of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--scorer", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--tools", nargs="+", choices=list(TOOLS), default=list(TOOLS))
    parser.add_argument("--read-with", choices=list(TOOLS), help=argparse.SUPPRESS)
    parser.add_argument("--output", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.read_with:
        read_all(args.read_with, pdf_entries(args.folder), args.folder, args.output)
    else:
        compare([tool for tool in args.tools if is_installed(tool)], args)


def pdf_entries(folder: Path) -> list[dict[str, Any]]:
    """The entries of the manifest that are PDF files."""
    manifest = json.loads((folder / "MANIFEST.json").read_text(encoding="utf-8"))
    return [entry for entry in manifest["files"] if entry["kind"] == "pdf"]


def is_installed(tool: str) -> bool:
    """Whether a tool can be run here; tells what is missing."""
    name = TOOLS[tool][1]
    found = not name or shutil.which(name) if tool == "pdftotext" else not name or importlib.util.find_spec(name)
    if not found:
        print(f"{tool} is left out: it is not installed")
    return bool(found)


def read_all(tool: str, entries: Sequence[dict[str, Any]], folder: Path, output: Path) -> None:
    """Read every file; write records for the scorer and the CPU seconds of each file."""
    sys.path.insert(0, str(ROOT))
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    read = TOOLS[tool][0]
    read(folder / entries[0]["file"])  # imports are no part of the work
    seconds: dict[str, float] = {}
    with (output / "records.jsonl").open("w", encoding="utf-8") as records:
        for entry in entries:
            before = cpu_seconds()
            try:
                texts = read(folder / entry["file"])
            except Exception as error:  # a peer that fails on a file has no text for it
                texts = []
                print(f"{tool} fails on {entry['file']}: {type(error).__name__}", file=sys.stderr)
            seconds[entry["id"]] = cpu_seconds() - before
            for text in texts:
                text = text.encode("utf-8", "replace").decode()
                record = {"source": entry["file"], "content": text.replace("\r\n", "\n")}
                records.write(json.dumps(record) + "\n")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    (output / "cost.json").write_text(json.dumps({"seconds": seconds, "peak_mb": peak}), encoding="utf-8")


def cpu_seconds() -> float:
    """Of this process and of the programs it has run."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def compare(tools: Sequence[str], args: argparse.Namespace) -> None:
    """Run all tools in turn and print one line each."""
    entries = pdf_entries(args.folder)
    pages = page_counts(args.folder, entries)
    costs: dict[str, list[dict[str, Any]]] = {tool: [] for tool in tools}
    quality: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as work:
        for _ in range(args.rounds):
            for tool in tools:
                output = Path(work) / tool
                output.mkdir(exist_ok=True)
                command = [sys.executable, __file__, str(args.folder), "--scorer", str(args.scorer)]
                subprocess.run([*command, "--read-with", tool, "--output", str(output)], check=True)
                costs[tool].append(json.loads((output / "cost.json").read_text(encoding="utf-8")))
        for tool in tools:
            quality[tool] = score(args, Path(work) / tool)
        score_other_kinds(args, Path(work))
    with_tables = {entry["id"] for entry in entries if any("table" in test for test in entry["tests"])}
    prose = {entry["id"] for entry in entries} - with_tables
    print(f"{len(entries)} files, {sum(pages.values())} pages, {args.rounds} rounds; x: times {BASE}")
    print(f"{'tool':12} {'sent_strict':>11} {'word_order':>10} {'rows':>7} {'order':>7} {'probes':>7}", end=" ")
    print(f"{'ms/page':>8} {'x all':>7} {'x prose':>8} {'x tables':>9} {'peak MB':>8}")
    for tool in tools:
        found, probes = quality[tool], quality[tool].get("probes", {})
        ratios = [ratio(costs, tool, ids) for ids in (prose | with_tables, prose, with_tables)]
        all_seconds = statistics.median(sum(cost["seconds"].values()) for cost in costs[tool])
        peak = statistics.median(cost["peak_mb"] for cost in costs[tool])
        print(f"{tool:12} {found.get('sent_strict', 0):11.3f} {found.get('word_order', 0):10.3f}", end=" ")
        print(f"{probes.get('rows', '-'):>7} {probes.get('order', '-'):>7} {found.get('probe_rate', 0):7.3f}", end=" ")
        print(f"{1000 * all_seconds / sum(pages.values()):8.1f}", end=" ")
        print(f"{ratios[0]:7.1f} {ratios[1]:8.1f} {ratios[2]:9.1f} {peak:8.0f}")


def ratio(costs: dict[str, list[dict[str, Any]]], tool: str, ids: set[str]) -> float:
    """The median, over the rounds, of a tool's seconds for some files by those of pypdfium2 in the same round."""
    if BASE not in costs:
        return float("nan")
    return statistics.median(
        sum(cost["seconds"][each] for each in ids) / max(1e-9, sum(base["seconds"][each] for each in ids))
        for cost, base in zip(costs[tool], costs[BASE], strict=True)
    )


def page_counts(folder: Path, entries: Sequence[dict[str, Any]]) -> dict[str, int]:
    """The pages of each file."""
    import pypdfium2 as library

    return {entry["id"]: len(library.PdfDocument(folder / entry["file"])) for entry in entries}


def score(args: argparse.Namespace, output: Path, kind: str = "pdf") -> dict[str, Any]:
    """What the scorer says of the records of one tool."""
    command = [sys.executable, str(args.scorer), str(args.folder / "MANIFEST.json"), str(output / "records.jsonl")]
    subprocess.run(
        [*command, "--kind", kind, "--fast", "--json", str(output / "score.json")],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    found = json.loads((output / "score.json").read_text(encoding="utf-8"))
    return dict(found["aggregate"][kind])


if __name__ == "__main__":
    main()
