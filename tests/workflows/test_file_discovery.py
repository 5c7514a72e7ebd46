"""Which files an input holds."""

import os
from pathlib import Path

import pytest

from shared_utils.errors import DataValidationError
from workflows.file_discovery import FoundFile, find_files


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "in"
    (root / "sub").mkdir(parents=True)
    (root / "a.md").write_text("A", encoding="utf-8")
    (root / "sub" / "B.TXT").write_text("B", encoding="utf-8")
    return root


def by_source(files: list[FoundFile]) -> dict[str, tuple[str | None, str]]:
    return {file.source: (file.status, file.reason) for file in files}


def test_files_are_named_relative_to_the_input_and_sorted(folder: Path):
    """Suffixes in any case."""
    assert [(file.source, file.type) for file in find_files(folder)] == [("a.md", "markdown"), ("sub/B.TXT", "text")]


def test_what_is_not_read_carries_its_reason(folder: Path, tmp_path: Path):
    """Nothing that was given disappears silently."""
    (tmp_path / "outside.md").write_text("secret", encoding="utf-8")
    (folder / "out.md").symlink_to(tmp_path / "outside.md")
    (folder / "up").symlink_to("..")
    (folder / "twin.md").symlink_to("a.md")
    (folder / "dangling.md").symlink_to("none.md")
    (folder / "loop.md").symlink_to("loop.md")
    (folder / "sub" / "back").symlink_to("..")
    (folder / "x.pdf").mkdir()
    (folder / "x.pdf" / "inside.md").write_text("I", encoding="utf-8")
    (folder / "picture.png").write_bytes(b"")
    (folder / ".hidden.md").write_text("H", encoding="utf-8")
    (folder / ".git").mkdir()
    (folder / ".git" / "config.txt").write_text("G", encoding="utf-8")
    os.mkfifo(folder / "pipe.txt")
    found = by_source(find_files(folder))
    statuses = {source: status for source, (status, _) in found.items()}
    assert statuses == {
        ".hidden.md": "skipped",
        "a.md": None,
        "dangling.md": "failed",
        "loop.md": "failed",
        "out.md": "failed",
        "picture.png": "skipped",
        "pipe.txt": "failed",
        "sub/B.TXT": None,
        "sub/back": "skipped",
        "twin.md": "skipped",
        "up": "failed",
        "x.pdf": "failed",
        "x.pdf/inside.md": None,
    }
    assert "leads outside" in found["out.md"][1]
    assert "named pipe" in found["pipe.txt"][1]
    assert "folder" in found["x.pdf"][1]


def test_a_sibling_with_the_same_beginning_is_outside(tmp_path: Path):
    """`proj-evil` lies beside `proj`, not in it."""
    (tmp_path / "proj").mkdir()
    (tmp_path / "proj-evil").mkdir()
    (tmp_path / "proj-evil" / "a.md").write_text("x", encoding="utf-8")
    (tmp_path / "proj" / "a.md").symlink_to(tmp_path / "proj-evil" / "a.md")
    assert find_files(tmp_path / "proj")[0].status == "failed"


def test_the_output_folder_inside_the_input_is_not_read(folder: Path):
    """Else the second run would read the results of the first."""
    output = folder / "results"
    output.mkdir()
    (output / "old.txt").write_text("old", encoding="utf-8")
    assert [file.source for file in find_files(folder, output)] == ["a.md", "sub/B.TXT"]


def test_a_single_file_and_a_pattern_are_inputs_too(folder: Path):
    """A link that was named on its own is followed."""
    assert [file.source for file in find_files(folder / "a.md")] == ["a.md"]
    assert [file.source for file in find_files(f"{folder}/**/*.[tT]*")] == ["sub/B.TXT"]
    (folder / "twin.md").symlink_to("a.md")
    assert find_files(folder / "twin.md")[0].status is None


def test_names_that_are_no_text_are_escaped(folder: Path):
    """Two such names stay apart."""
    for name in (b"bad\xff.txt", b"bad\xfe.txt", b"new\nline.txt", b"-rf.txt"):
        (folder / os.fsdecode(name)).write_text("x", encoding="utf-8")
    sources = [file.source for file in find_files(folder)]
    assert {"bad\\xff.txt", "bad\\xfe.txt", "new\nline.txt", "-rf.txt"} <= set(sources)
    for source in sources:
        source.encode("utf-8")


@pytest.mark.parametrize("name", ["missing", "missing/*.md", "a\0b"])
def test_a_missing_input_is_named(tmp_path: Path, name: str):
    """Before anything is written."""
    with pytest.raises(DataValidationError):
        find_files(f"{tmp_path}/{name}")


def test_an_empty_folder_is_named(tmp_path: Path):
    """An empty result would hide a mistyped path."""
    with pytest.raises(DataValidationError, match=f"no files in {tmp_path}"):
        find_files(tmp_path)


def test_a_folder_with_the_name_of_a_text_file_is_a_folder(folder: Path):
    """`install/` and `faq/` are common; only a suffix makes a promise."""
    (folder / "install").mkdir()
    (folder / "install" / "README").write_text("R", encoding="utf-8")
    assert [(file.source, file.type, file.status) for file in find_files(folder)][1] == (
        "install/README",
        "text",
        None,
    )
