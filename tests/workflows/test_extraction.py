"""From a folder to documents, chunks, pairs and manifest."""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import psutil
import pytest

from document_processing.settings import DocumentProcessingSettings
from shared_utils.errors import ConfigurationError, DataValidationError, DocumentProcessingError, LLMToolkitError
from shared_utils.file_utils import ensure_output_dir
from shared_utils.run_lock import LOCK_NAME, run_lock
from workflows.extraction import extract_folder, parallel_document_processing, safe_parse_document
from workflows.extraction_plan import CHUNK_CODE

ROOT = Path(__file__).parents[2]
SHARED = ROOT.parent / "shared" / "data"
TWO_PAGES = (ROOT / "tests" / "files" / "two_pages.pdf").read_bytes()
# Its stream has the length "object 8", and object 8 is object 8: pdfminer looks it up for ever.
HANGING = TWO_PAGES.replace(b"<</Length 97>>", b"<</Length 8 0 R>>", 1).replace(
    b"xref\n", b"8 0 obj\n8 0 R\nendobj\nxref\n", 1
)
OUTPUTS = ("documents.jsonl", "chunks.jsonl", "instructions.jsonl")


def settings(**changes: dict[str, object]) -> DocumentProcessingSettings:
    base: dict[str, dict[str, object]] = {
        "lm_studio": {"chunk_unit": "words", "chunk_size": 20, "overlap_size": 5, "instruction_format": True},
        "extraction": {"workers": 2, "timeout_seconds": 60},
    }
    for section, values in changes.items():
        base[section] = {**base.get(section, {}), **values}
    return DocumentProcessingSettings.model_validate(base)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "in"
    (root / "sub").mkdir(parents=True)
    (root / "guide.md").write_text(
        "# Guide\n\nBread is baked at home. It takes an hour or two.\n\n## Rye\n\nRye needs sour dough to rise. "
        + "More is told here about it. " * 12,
        encoding="utf-8",
    )
    (root / "sub" / "pages.pdf").write_bytes(TWO_PAGES)
    (root / "sub" / "guide.txt").write_text("Plain words. Some more of them.", encoding="cp1252")
    (root / "broken.pdf").write_bytes(b"%PDF-1.4\n")
    (root / "blank.txt").write_text("\n\n", encoding="utf-8")
    (root / "picture.png").write_bytes(b"\x89PNG")
    return root


def read_jsonl(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def outputs_of(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in OUTPUTS}


def test_all_files_stand_in_the_manifest_and_all_text_in_the_outputs(folder: Path, tmp_path: Path):
    """`ok + failed + skipped = files found`, and each chunk is a slice of its document."""
    out = tmp_path / "out"
    summary = extract_folder(folder, out, settings())
    manifest = json.loads((out / "manifest.json").read_text(encoding="utf-8"))
    status_by_path = {file["path"]: file["status"] for file in manifest["files"]}
    assert status_by_path == {
        "blank.txt": "skipped",
        "broken.pdf": "failed",
        "guide.md": "ok",
        "picture.png": "skipped",
        "sub/guide.txt": "ok",
        "sub/pages.pdf": "ok",
    }
    assert manifest["ok"] + manifest["failed"] + manifest["skipped"] == manifest["files_found"] == 6
    assert all(file["reason"] for file in manifest["files"] if file["status"] != "ok")
    documents, chunks = read_jsonl(out / "documents.jsonl"), read_jsonl(out / "chunks.jsonl")
    content = {
        (d["source"], d["metadata"].get("page"), d["metadata"].get("line_start")): d["content"] for d in documents
    }
    for record in [*chunks, *read_jsonl(out / "instructions.jsonl")]:
        place = record["metadata"]
        text = content[place["source"], place.get("page"), place.get("line_start")]
        assert text[place["char_start"] : place["char_end"]] == record.get("text", record.get("output"))
    assert [d["source"] for d in documents] == [
        "guide.md",
        "guide.md",
        "sub/guide.txt",
        "sub/pages.pdf",
        "sub/pages.pdf",
    ]
    assert summary.as_dict()["documents"] == len(documents)
    assert summary.as_dict()["chunks"] == len(chunks)
    assert not [path.name for path in out.iterdir() if "tmp" in path.name]


def test_outputs_are_equal_for_any_number_of_workers(folder: Path, tmp_path: Path):
    """Also without the cache, and from it."""
    runs = {
        "one": settings(extraction={"workers": 1}),
        "three": settings(extraction={"workers": 3}),
        "uncached": settings(extraction={"use_cache": False}),
    }
    results = []
    for name, chosen in runs.items():
        extract_folder(folder, tmp_path / name, chosen)
        results.append(outputs_of(tmp_path / name))
    again = extract_folder(folder, tmp_path / "one", runs["one"])
    assert again.as_dict()["cached"] == 3
    results.append(outputs_of(tmp_path / "one"))
    assert all(result == results[0] for result in results)
    assert not (tmp_path / "uncached" / ".cache").exists()


def test_changed_files_settings_and_damaged_entries_are_made_anew(folder: Path, tmp_path: Path):
    """A cache must never tell old news."""
    out = tmp_path / "out"
    extract_folder(folder, out, settings())
    expected = outputs_of(out)
    for entry in (out / ".cache").iterdir():
        data = bytearray(entry.read_bytes())
        data[len(data) // 2] ^= 1
        entry.write_bytes(data)
    assert extract_folder(folder, out, settings()).as_dict()["cached"] == 0
    assert outputs_of(out) == expected
    (folder / "guide.md").write_text("# New\n\nOther words stand here now.", encoding="utf-8")
    assert extract_folder(folder, out, settings(lm_studio={"chunk_size": 10})).as_dict()["cached"] == 2
    assert "Other words" in (out / "chunks.jsonl").read_text(encoding="utf-8")
    suffixes = Counter(path.suffix for path in (out / ".cache").iterdir())
    assert suffixes == {".parsed": 4, ".chunked": 3}  # the blank file has a parsed entry, too


def test_other_chunks_need_no_second_parsing(folder: Path, tmp_path: Path):
    """Parsing takes nearly all of the time, and chunk sizes are what people try out."""
    out = tmp_path / "out"
    extract_folder(folder, out, settings())
    parsed = {path: path.stat().st_mtime_ns for path in (out / ".cache").glob("*.parsed")}
    changed = settings(lm_studio={"chunk_size": 10}, markdown={"extract_frontmatter": True})
    assert extract_folder(folder, out, changed).as_dict()["cached"] == 3
    assert {path: path.stat().st_mtime_ns for path in (out / ".cache").glob("*.parsed")} == parsed
    extract_folder(folder, tmp_path / "fresh", changed)
    assert outputs_of(out) == outputs_of(tmp_path / "fresh")


def test_a_setting_of_one_parser_leaves_the_files_of_others_alone(folder: Path, tmp_path: Path):
    """Only the Markdown file is parsed again."""
    extract_folder(folder, tmp_path / "out", settings())
    changed = settings(markdown={"split_by_sections": False})
    summary = extract_folder(folder, tmp_path / "out", changed)
    assert [result.path for result in summary.ok if not result.cached] == ["guide.md"]


def test_parsers_use_none_of_the_code_that_is_left_out_of_their_fingerprint():
    """Or a change there would leave old documents in the cache."""
    program = (
        "import sys; from importlib import import_module\n"
        "from document_processing.parsers.registry import PARSERS\n"
        "for target in PARSERS.values(): import_module(target.parser.partition(':')[0])\n"
        "print(*(name for name in sys.modules if name.startswith('document_processing.')))"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = {f"{name.replace('.', '/')}.py".removeprefix("document_processing/") for name in done.stdout.split()}
    assert "parsers/pdf_parser.py" in loaded
    assert not [name for name in loaded if name in CHUNK_CODE or name.startswith("converters/")]


def test_a_second_run_into_the_same_folder_is_refused(folder: Path, tmp_path: Path, run_command):
    """At once, naming the owner; when that is gone, the folder is taken over."""
    out = tmp_path / "out"
    with run_lock(ensure_output_dir(out)):
        done = run_command("extract", tmp_path / "no-such-input", out)
        assert done.code == 1
        assert f"{out} is in use by process {os.getpid()} on {os.uname().nodename} since 20" in done.err
        with pytest.raises(LLMToolkitError, match="is in use by process"):
            extract_folder(folder, out, settings())
        assert [path.name for path in out.iterdir()] == [LOCK_NAME]
    lock = {"pid": 2**22 + 1, "host": os.uname().nodename, "process_start": 1.0, "taken": 1.0}
    (out / LOCK_NAME).write_text(json.dumps(lock), encoding="utf-8")
    assert len(extract_folder(folder, out, settings()).ok) == 3
    assert not (out / LOCK_NAME).exists()


def test_a_file_that_hangs_is_given_up_and_the_others_go_on(folder: Path, tmp_path: Path):
    """Within the time that was set."""
    (folder / "hang.pdf").write_bytes(HANGING)
    started = time.monotonic()
    chosen = settings(pdf={"engine": "pdfplumber"}, extraction={"timeout_seconds": 3})
    summary = extract_folder(folder, tmp_path / "out", chosen)
    assert time.monotonic() - started < 40
    reason_by_path = {result.path: result.reason for result in summary.failed}
    assert reason_by_path["hang.pdf"] == "it took longer than 3 seconds"
    assert len(summary.ok) == 3


def test_too_large_files_are_refused_without_reading(folder: Path, tmp_path: Path):
    """A sparse file of 1 GB takes no disk, but would take the memory."""
    for name in ("sparse.txt", "sparse.pdf"):
        with (folder / name).open("wb") as file:
            file.truncate(2**30)
    started = time.monotonic()
    summary = extract_folder(folder, tmp_path / "out", settings())
    reasons = [result.reason for result in summary.failed if result.path.startswith("sparse")]
    assert reasons == ["it has 1,024 MB; the limit is 512 MB"] * 2
    assert time.monotonic() - started < 20


def test_the_text_format_also_writes_plain_files(folder: Path, tmp_path: Path):
    """Equal names in two folders and of two types stay apart; a run without it removes them."""
    (folder / "guide.txt").write_text("Another guide.", encoding="utf-8")
    out = tmp_path / "out"
    extract_folder(folder, out, settings(lm_studio={"output_format": "text"}))
    texts = {path.name: path.read_text(encoding="utf-8") for path in (out / "text").iterdir()}
    assert len(texts) == 4
    assert texts["guide.txt.txt"] == "Another guide.\n\n"
    assert "Bread is baked" in texts["guide.md.txt"]
    (out / "text" / "mine.txt").write_text("mine", encoding="utf-8")
    extract_folder(folder, out, settings(lm_studio={"instruction_format": False}))
    assert [path.name for path in (out / "text").iterdir()] == ["mine.txt"]
    assert not (out / "instructions.jsonl").exists()


def test_an_input_without_any_readable_file_is_an_error(tmp_path: Path):
    """The manifest still tells why."""
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.pdf").write_bytes(b"no pdf")
    with pytest.raises(DocumentProcessingError, match=r"none of the 1 files .* a\.pdf: it is not a PDF"):
        extract_folder(tmp_path / "in", tmp_path / "out", settings())
    assert json.loads((tmp_path / "out" / "manifest.json").read_text(encoding="utf-8"))["failed"] == 1


def test_input_and_output_must_differ(folder: Path):
    """Results would be read as documents by the next run."""
    with pytest.raises(ConfigurationError, match="the same folder"):
        extract_folder(folder, folder, settings())


def test_parallel_processing_returns_results_in_the_order_given(folder: Path):
    """A file that cannot be read carries its reason and stops no other."""
    paths = [folder / "sub" / "pages.pdf", folder / "broken.pdf", folder / "guide.md", folder / "none.md"]
    results = parallel_document_processing(paths, num_workers=2)
    assert [result["path"] for result in results] == [str(path) for path in paths]
    assert [result["status"] for result in results] == ["ok", "failed", "ok", "failed"]
    assert [len(result["documents"]) for result in results] == [2, 0, 2, 0]
    assert results[0]["documents"][0]["source"] == str(paths[0])
    assert "damaged" in str(results[1]["reason"])
    assert "No such file" in str(results[3]["reason"])


def test_safe_parse_document_raises_only_errors_of_the_toolkit(folder: Path, monkeypatch: pytest.MonkeyPatch):
    """With the cause attached; running out of memory passes through."""
    with pytest.raises(DataValidationError, match="File not found"):
        safe_parse_document(folder / "none.md")

    def fail(*_: object) -> object:
        raise error

    monkeypatch.setattr("document_processing.parsers.markdown_parser.MarkdownParser.iter_parse", fail)
    error: BaseException = KeyError("bug")
    with pytest.raises(DocumentProcessingError, match="KeyError") as caught:
        safe_parse_document(folder / "guide.md")
    assert caught.value.__cause__ is error
    error = MemoryError()
    with pytest.raises(MemoryError):
        safe_parse_document(folder / "guide.md")


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -9)])
def test_a_stopped_run_leaves_old_outputs_whole_and_goes_on_from_the_cache(
    folder: Path, tmp_path: Path, sent: signal.Signals, code: int
):
    """No worker is left behind, and what was finished is not read again."""
    out = tmp_path / "out"
    for name in OUTPUTS:
        out.mkdir(exist_ok=True)
        (out / name).write_text("old\n", encoding="utf-8")
    (folder / "hang.pdf").write_bytes(HANGING)
    words = ["extract", str(folder), str(out), "--chunk-unit", "words", "--workers", "2"]
    words += ["--set", "document_processing.pdf.engine=pdfplumber"]  # the others see through the trap
    process = subprocess.Popen([sys.executable, str(ROOT / "main.py"), *words], stderr=subprocess.PIPE, cwd=tmp_path)
    deadline = time.monotonic() + 30
    while len(list(out.glob(".cache/[!.]*"))) < 7 and time.monotonic() < deadline:
        time.sleep(0.05)
    workers = psutil.Process(process.pid).children(recursive=True)
    started = time.monotonic()
    process.send_signal(sent)
    process.communicate(timeout=30)
    assert process.returncode == code
    assert time.monotonic() - started < 10
    if sent != signal.SIGKILL:
        assert not psutil.wait_procs(workers, timeout=5)[1]
    for worker in workers:
        if worker.is_running():
            worker.kill()
    assert outputs_of(out) == dict.fromkeys(OUTPUTS, b"old\n")
    (folder / "hang.pdf").unlink()
    done = subprocess.run(
        [sys.executable, str(ROOT / "main.py"), *words, "--json"], capture_output=True, cwd=tmp_path, check=False
    )
    assert done.returncode == 4
    assert json.loads(done.stdout)["cached"] == 3
    assert not list(out.glob(".llm-toolkit-tmp-*")) + list(out.glob(".cache/.llm-toolkit-tmp-*"))


@pytest.mark.slow
@pytest.mark.skipif(not SHARED.is_dir(), reason="the shared test data is not here")
def test_every_hostile_file_ends_as_it_should(tmp_path: Path):
    """No crash, no hang, no silent loss; see the manifest of the set for each outcome."""
    expected = json.loads((SHARED / "hostile" / "MANIFEST.json").read_text(encoding="utf-8"))
    limits = {"workers": None, "timeout_seconds": expected["limits"]["wall_s_per_file"]}
    chosen = settings(extraction=limits, lm_studio={"chunk_size": 512, "chunk_unit": "tokens"})
    summary = extract_folder(SHARED / "hostile", tmp_path, chosen)
    result_by_path = {result.path: result for result in summary.results}
    text_by_path: dict[str, str] = {}
    for record in read_jsonl(tmp_path / "documents.jsonl"):
        assert record["content"].strip()
        text_by_path[record["source"]] = text_by_path.get(record["source"], "") + record["content"]
    for file in expected["files"]:
        result, text = result_by_path[file["file"]], text_by_path.get(file["file"], "")
        may_be_empty = file["outcome"] != "text"
        assert (may_be_empty and result.reason) or " ".join((file["text"] or "").split()) in " ".join(text.split())
        if not file["outcome"].startswith("text"):
            assert not text, file["file"]
    assert os.path.exists(tmp_path / "manifest.json")


def test_minified_code_is_skipped_with_its_reason(tmp_path: Path):
    """It is no failure: nobody wanted it, and nothing of it can be mended."""
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.min.js").write_text("var a=1;" * 2_000, encoding="utf-8")
    (tmp_path / "in" / "a.txt").write_text("Words.", encoding="utf-8")
    extract_folder(tmp_path / "in", tmp_path / "out", settings())
    files = json.loads((tmp_path / "out" / "manifest.json").read_text(encoding="utf-8"))["files"]
    assert [(file["status"], (file["reason"] or "")[:22]) for file in files] == [
        ("skipped", "it is minified code, w"),
        ("ok", ""),
    ]
