"""The command `extract`."""

import json
from pathlib import Path

import pytest

WORDS = ("--chunk-unit", "words")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "in"
    root.mkdir()
    (root / "guide.md").write_text("# Guide\n\nBread is baked at home. It takes an hour.\n", encoding="utf-8")
    (root / "notes.txt").write_text("Some notes. They are plain.", encoding="utf-8")
    (root / "picture.png").write_bytes(b"\x89PNG")
    return root


def test_it_tells_what_was_written_and_what_comes_next(folder: Path, tmp_path: Path, run_command):
    """Unknown types alone are no failure."""
    out = tmp_path / "out"
    done = run_command("extract", folder, out, *WORDS, "--instruction-format")
    assert done.code == 0
    assert done.out.splitlines() == [
        f"2 files read, 0 failed, 1 skipped, 2 chunks of at most 512 words written to {out}/chunks.jsonl",
        f"1 instruction pairs written to {out}/instructions.jsonl",
        f"next: python main.py train-lora --train-data {out}/instructions.jsonl",
    ]


def test_a_rejected_file_is_told_and_gives_exit_code_4(folder: Path, tmp_path: Path, run_command):
    """All others are written."""
    (folder / "bad.pdf").write_bytes(b"<html>not found</html>")
    done = run_command("extract", folder, tmp_path / "out", *WORDS)
    assert done.code == 4
    assert "failed bad.pdf: it is an HTML page, not a PDF" in done.err
    assert "2 files read, 1 failed, 1 skipped" in done.out


def test_json_puts_one_object_on_stdout(folder: Path, tmp_path: Path, run_command):
    """With the promised keys."""
    done = run_command("extract", folder, tmp_path / "out", *WORDS, "--json", "--quiet")
    summary = json.loads(done.out)
    assert set(summary) == {
        "files", "documents", "chunks", "instructions", "failed", "skipped", "cached", "pages", "characters", "seconds",
        "outputs", "duplicates", "redacted",
    }  # fmt: skip
    assert (summary["files"], summary["documents"], summary["failed"], summary["skipped"]) == (3, 2, 0, 1)
    assert all(Path(name).exists() for name in summary["outputs"])


def test_a_dry_run_writes_nothing(folder: Path, tmp_path: Path, run_command):
    """It tells what would be read."""
    done = run_command("extract", folder, tmp_path / "out", *WORDS, "--dry-run")
    assert done.code == 0
    assert "3 files found; to be read: 1 markdown, 1 text; not read: 1" in done.out
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("--chunk-size", "10", "--chunk-overlap", "10"), 2, "overlap_size"),
        (("--chunk-unit", "pages"), 2, "chunk_unit"),
        (("--workers", "0"), 2, "workers"),
        (("--tokenizer", "/no/such/folder/tokenizer.json", "--chunk-unit", "tokens"), 2, "tokenizer"),
    ],
)
def test_wrong_usage_ends_with_2_before_anything_is_written(
    folder: Path, tmp_path: Path, run_command, words: tuple[str, ...], code: int, message: str
):
    """And names the setting."""
    done = run_command("extract", folder, tmp_path / "out", *words)
    assert (done.code, message in done.err) == (code, True)
    assert not list((tmp_path / "out").glob("*.jsonl"))


def test_a_missing_input_is_named(tmp_path: Path, run_command):
    """Exit code 1, an expected failure."""
    done = run_command("extract", tmp_path / "none", tmp_path / "out")
    assert done.code == 1
    assert f"File not found: {tmp_path}/none" in done.err


def test_redaction_and_duplicates_are_told(folder: Path, tmp_path: Path, run_command):
    """Redaction never without the words that say what it is not."""
    (folder / "more.txt").write_text("Some notes.  THEY ARE PLAIN.", encoding="utf-8")
    (folder / "mail.txt").write_text("Write to ann@example.com or call +44 121 234 5678.", encoding="utf-8")
    done = run_command("extract", folder, tmp_path / "out", *WORDS, "--dedupe", "--redact", "phones,emails")
    assert done.code == 0
    assert done.out.splitlines()[1:3] == [
        "1 documents left out that say the same as others; manifest.json names them",
        "replaced by placeholders: 1 emails, 1 phones (best effort, not anonymisation)",
    ]
    assert "Write to [EMAIL] or call [PHONE]." in (tmp_path / "out" / "chunks.jsonl").read_text(encoding="utf-8")


def test_an_unknown_kind_of_private_data_names_the_nearest(folder: Path, tmp_path: Path, run_command):
    """It is wrong usage, found before any work."""
    done = run_command("extract", folder, tmp_path / "out", "--redact", "emails,phone")
    assert done.code == 2
    assert "'phone' is no kind of private data; did you mean phones?" in done.err
