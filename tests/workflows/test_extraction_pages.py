"""Large PDF files that are read in ranges of pages."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from document_processing.parsers.pdf_parser import PDFParser
from document_processing.settings import DocumentProcessingSettings
from shared_utils.file_utils import to_json
from tests.document_processing.pdf_samples import pdf_bytes
from workflows.extraction import extract_folder
from workflows.extraction_file import FileResult, WorkPlan, stored_documents
from workflows.extraction_pages import MOST_PAGES_IN_ONE_GO, SMALLEST_BYTES, page_ranges, range_size, split_of
from workflows.extraction_schedule import MOST_FAILED_RANGES, ExtractionSchedule
from workflows.file_discovery import FoundFile
from workflows.worker_pool import Failure

ROOT = Path(__file__).parents[2]
PAGES = 70
HANGING_PAGE = 66
LIMIT_MB = 1024


def lines_of(number: int) -> list[str]:
    """A page with a header that only the whole file shows to be one, and a word that is cut at a line end."""
    names = [chr(97 + (number * 7 + k) % 26) * (3 + (number + k) % 9) for k in range(8)]
    lines = [f"{names[k]} and {names[k - 1]} stand {names[k - 2]}" for k in range(8)]
    return [f"Annual report {number}", *lines[:4], "This is the docu-", "ment as it was.", *lines[4:]]


def large_pdf(folder: Path, *, hangs: bool = False) -> Path:
    data = pdf_bytes([lines_of(number) for number in range(1, PAGES + 1)], "/Title(Large)")
    path = folder / "in" / "large.pdf"
    path.parent.mkdir()
    path.write_bytes(with_hanging_page(data) if hangs else data)
    assert len(data) > SMALLEST_BYTES
    assert PAGES > MOST_PAGES_IN_ONE_GO
    return path


def with_hanging_page(data: bytes) -> bytes:
    """The stream of a page gets the length "object 900", and object 900 is object 900: pdfminer looks for ever."""
    page, stream, link = 2 * HANGING_PAGE + 3, 901, 900  # see pdf_bytes: the pages are objects 5, 7, 9 and so on
    new = {
        # In a list, the stream is only looked at when the page is read.
        page: f"<</Type/Page/Parent 2 0 R/MediaBox[0 0 612 792]/Contents[{stream} 0 R]/Resources<<>>>>",
        stream: f"<</Length {link} 0 R>>stream\nBT ET\nendstream",
        link: f"{link} 0 R",
    }
    table = ""
    for number, text in new.items():
        table += f"{number} 1\n{len(data):010d} 00000 n \n"
        data += f"\n{number} 0 obj\n{text}\nendobj".encode()
    before = int(data[data.rindex(b"startxref") :].split()[1])
    trailer = f"trailer<</Size {stream + 1}/Root 1 0 R/Prev {before}>>\nstartxref\n{len(data) + 1}\n%%EOF"
    return data + f"\nxref\n{table}{trailer}".encode()


def settings(**extraction: object) -> DocumentProcessingSettings:
    return DocumentProcessingSettings.model_validate(
        {
            "pdf": {"engine": "pdfplumber"},
            "lm_studio": {"chunk_unit": "words"},
            "extraction": {"workers": 2, "memory_limit_mb": LIMIT_MB, **extraction},
        }
    )


def test_a_file_read_in_ranges_gives_the_same_bytes(tmp_path: Path):
    """Repairs look at the whole file: the header goes, the cut word is joined; for any number of workers."""
    path = large_pdf(tmp_path)
    assert split_of(path, "large.pdf", WorkPlan(store=str(tmp_path))) is not None
    documents = [{**document, "source": "large.pdf"} for document in PDFParser(engine="pdfplumber").iter_parse(path)]
    expected = "".join(to_json(document) + "\n" for document in documents)
    assert "Annual" not in documents[0]["content"]
    assert "the document" in documents[0]["content"]
    for workers in (1, 2):
        out = tmp_path / f"out{workers}"
        summary = extract_folder(path.parent, out, settings(workers=workers))
        assert (out / "documents.jsonl").read_text(encoding="utf-8") == expected
        assert (summary.ok[0].pages, summary.ok[0].documents, summary.ok[0].cached) == (PAGES, PAGES, False)
        assert [file.suffix for file in (out / ".cache").iterdir() if file.suffix == ".part"] == []
    assert extract_folder(path.parent, out, settings()).ok[0].cached


def test_only_the_page_that_hangs_is_lost_and_what_was_read_is_not_read_again(tmp_path: Path):
    """Not even after kill -9."""
    path, out = large_pdf(tmp_path, hangs=True), tmp_path / "out"
    words = [sys.executable, str(ROOT / "main.py"), "extract", str(path.parent), str(out), "--chunk-unit", "words"]
    words += ["--set", "document_processing.pdf.engine=pdfplumber"]  # the others see through the trap
    process = subprocess.Popen([*words, "--workers", "2"], cwd=tmp_path, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 30
    while len(list(out.glob(".cache/*.part"))) < 4 and time.monotonic() < deadline:
        time.sleep(0.05)
    workers = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert len(psutil.wait_procs(workers, timeout=10)[0]) == len(workers)
    parts = {part: part.stat().st_mtime_ns for part in out.glob(".cache/[!.]*.part")}
    assert len(parts) == 4
    result = extract_folder(path.parent, out, settings(timeout_seconds=2)).ok[0]
    assert result.warnings == ["1 page of 70 could not be read (66): it took longer than 2 seconds"]
    assert (result.documents, result.pages, result.cached) == (PAGES - 1, PAGES, False)
    # They stay for a run with other limits, which does not take the incomplete documents.
    assert {part: part.stat().st_mtime_ns for part in parts} == parts
    entry = out / ".cache" / result.entries[0]
    assert stored_documents(entry, WorkPlan(store="", timeout_seconds=2, memory_limit_mb=LIMIT_MB)) is not None
    assert stored_documents(entry, WorkPlan(store="", timeout_seconds=9, memory_limit_mb=LIMIT_MB)) is None
    documents = (out / "documents.jsonl").read_text(encoding="utf-8").splitlines()
    pages = [json.loads(line)["metadata"]["page"] for line in documents]
    assert pages == [number for number in range(1, PAGES + 1) if number != HANGING_PAGE]
    assert extract_folder(path.parent, out, settings(timeout_seconds=2)).ok[0].cached


def schedule_of(tmp_path: Path, *sizes: tuple[str, int]) -> ExtractionSchedule:
    files = []
    for name, size in sizes:
        (tmp_path / name).write_bytes(b"x" * size)
        files.append(FoundFile(str(tmp_path / name), name, "pdf" if name.endswith("pdf") else "text"))
    return ExtractionSchedule(files, WorkPlan(store=str(tmp_path), timeout_seconds=7))


def names_in_order(schedule: ExtractionSchedule) -> list[str]:
    names = []
    while (taken := schedule.take()) is not None:
        names.append(taken[1]["source"])
    return names


def test_the_largest_files_come_first(tmp_path: Path):
    """A large one at the end would keep one worker busy and the others idle; a PDF takes longer for its size."""
    schedule = schedule_of(tmp_path, ("a.txt", 10), ("b.txt", 500), ("c.pdf", 100), ("d.txt", 10), ("e.txt", 30))
    assert names_in_order(schedule) == ["c.pdf", "b.txt", "e.txt", "a.txt", "d.txt"]


def split(schedule: ExtractionSchedule, pages: int) -> None:
    number, job = schedule.take() or (0, {})
    assert job["do"] == "file"
    assert schedule.note(number, {"split": {"pages": pages, "sha256": "0", "bytes": 9}, "seconds": 0.5}) is None


def test_pages_of_a_split_file_come_before_the_next_file(tmp_path: Path):
    """The parts of few files wait at a time, and the joined file is out of the way soon."""
    schedule = schedule_of(tmp_path, ("a.pdf", 10), ("b.txt", 1))
    split(schedule, 100)
    ranges = page_ranges(0, 100, range_size(100))
    for first, last in ranges:
        number, job = schedule.take() or (0, {})
        assert (job["do"], job["first"], job["last"]) == ("pages", first, last)
        assert schedule.note(number, {"part": f"{first}", "seconds": 1.0}) is None
    number, job = schedule.take() or (0, {})
    assert [piece["first"] for piece in job["pieces"]] == [first for first, _ in ranges]
    result = FileResult("a.pdf", "ok", seconds=0.25)
    answer = {"result": {"path": "a.pdf", "status": "ok", "seconds": 0.25, "entries": []}, "seconds": 0.25}
    index, noted = schedule.note(number, answer) or (-1, result)
    assert (index, noted.seconds) == (0, 0.75 + len(ranges))
    assert names_in_order(schedule) == ["b.txt"]


def test_a_file_whose_pages_all_fail_is_given_up_after_a_bounded_number_of_tries(tmp_path: Path):
    """With the reason of the first."""
    schedule = schedule_of(tmp_path, ("a.pdf", 10))
    split(schedule, 2_000)
    finished, tries = None, 0
    while finished is None:
        number, _ = schedule.take() or (0, {})
        tries += 1
        finished = schedule.note(number, Failure("it took longer than 7 seconds"))
    assert finished[1].status == "failed"
    assert finished[1].reason == "it took longer than 7 seconds"
    assert tries < 300
    assert schedule.take() is None
    assert tries > MOST_FAILED_RANGES


@pytest.mark.parametrize("pages", [65, 100, 513, 3_000, 100_000])
def test_ranges_cover_all_pages_once(pages: int):
    """None is longer than a worker can read in the time of one file."""
    ranges = page_ranges(0, pages, range_size(pages))
    assert [page for first, last in ranges for page in range(first, last)] == list(range(pages))
    assert max(last - first for first, last in ranges) <= 512


def test_a_file_that_changes_while_it_is_read_is_told(tmp_path: Path):
    """Pages of two versions would be mixed."""
    from workflows.extraction_pages import Piece, join_pieces

    path = large_pdf(tmp_path)
    result = join_pieces(path, "large.pdf", "0" * 64, [Piece(0, 1, reason="-")], WorkPlan(store=str(tmp_path)), None)
    assert (result.status, result.reason) == ("failed", "it changed while it was read")
    assert os.path.exists(path)
