"""Files are whole or not there, and paths stay where they belong."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

from shared_utils.errors import ConfigurationError, DataValidationError, SecurityError
from shared_utils.file_utils import (
    TEMPORARY_PREFIX,
    append_jsonl,
    atomic_writer,
    copy_file_atomic,
    ensure_output_dir,
    read_jsonl,
    remove_leftovers,
    to_json,
    validate_file_path,
    write_jsonl_atomic,
)
from tests.conftest import ROOT


def test_a_failure_while_writing_leaves_the_old_file_and_no_rest(tmp_path):
    path = tmp_path / "out.jsonl"
    write_jsonl_atomic(path, [{"old": 1}])

    def rows():
        yield {"new": 1}
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_jsonl_atomic(path, rows())
    assert path.read_text(encoding="utf-8") == '{"old": 1}\n'
    assert os.listdir(tmp_path) == ["out.jsonl"]


def test_kill_9_while_writing_leaves_the_old_file(tmp_path):
    path = tmp_path / "out.txt"
    path.write_text("old", encoding="utf-8")
    code = (
        "import sys; from pathlib import Path; from shared_utils.file_utils import atomic_writer\n"
        "with atomic_writer(Path(sys.argv[1])) as f:\n"
        "    while True: f.write('new ' * 1000); f.flush()"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(path)], cwd=ROOT)
    deadline = time.monotonic() + 20
    while len(os.listdir(tmp_path)) < 2 and time.monotonic() < deadline:
        time.sleep(0.01)
    process.kill()
    process.wait()
    assert path.read_text(encoding="utf-8") == "old"
    remove_leftovers(tmp_path)
    assert os.listdir(tmp_path) == ["out.txt"]


def test_written_files_have_the_usual_permissions(tmp_path):
    with atomic_writer(tmp_path / "a") as file:
        file.write("x")
    copy_file_atomic(tmp_path / "a", tmp_path / "b")
    umask = os.umask(0)
    os.umask(umask)
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o666 & ~umask
    assert (tmp_path / "b").read_text(encoding="utf-8") == "x"


def test_an_append_after_a_torn_line_loses_only_that_line(tmp_path):
    path = tmp_path / "log.jsonl"
    append_jsonl(path, {"n": 1})
    with path.open("a", encoding="utf-8") as file:
        file.write('{"n": 2, "cut')
    append_jsonl(path, {"n": 3})
    assert path.read_text(encoding="utf-8") == '{"n": 1}\n{"n": 2, "cut\n{"n": 3}\n'


def test_json_is_strict_and_always_utf_8():
    assert to_json({"a": "\ud800é"}) == '{"a": "\ufffdé"}'
    with pytest.raises(ValueError, match="not JSON compliant"):
        to_json({"a": float("nan")})


def test_jsonl_is_read_with_line_numbers_a_mark_at_the_front_and_blank_lines(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'\xef\xbb\xbf{"a": 1}\n\n{"a": 2}')
    assert list(read_jsonl(path)) == [(1, {"a": 1}), (3, {"a": 2})]
    with pytest.raises(DataValidationError, match="File not found"):
        list(read_jsonl(tmp_path / "none.jsonl"))


def test_a_path_outside_of_the_root_is_refused_even_with_a_like_name_or_a_link(tmp_path):
    root, sibling = tmp_path / "proj", tmp_path / "proj-evil"
    root.mkdir()
    sibling.mkdir()
    (sibling / "a.txt").write_text("x", encoding="utf-8")
    (root / "link.txt").symlink_to(sibling / "a.txt")
    (root / "own.txt").write_text("x", encoding="utf-8")
    for path in (sibling / "a.txt", root / ".." / "proj-evil" / "a.txt", root / "link.txt"):
        with pytest.raises(SecurityError, match="leads outside"):
            validate_file_path(path, root=root)
    assert validate_file_path(root / "own.txt", root=root) == (root / "own.txt").resolve()
    assert validate_file_path(sibling / "a.txt") == (sibling / "a.txt").resolve()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: None, "File not found"),
        (lambda path: path.mkdir(), "not a regular file"),
        (lambda path: os.mkfifo(path), "not a regular file"),
        (lambda path: path.symlink_to(path), "cannot open"),
    ],
)
def test_what_is_no_plain_file_is_told_at_once(tmp_path, make, message):
    path = tmp_path / "x.txt"
    make(path)
    with pytest.raises(DataValidationError, match=message):
        validate_file_path(path)


def test_types_sizes_and_nul_are_checked(tmp_path):
    path = tmp_path / "A.TXT"
    path.write_text("12345", encoding="utf-8")
    assert validate_file_path(path).name == "A.TXT"
    with pytest.raises(DataValidationError, match="5 bytes; the limit is 4"):
        validate_file_path(path, max_bytes=4)
    with pytest.raises(DataValidationError, match=r"files of type '.TXT' are not read"):
        validate_file_path(path, extensions={".pdf"})
    with pytest.raises(SecurityError, match="NUL"):
        validate_file_path("a\0b.txt")


def test_an_output_folder_that_cannot_be_written_is_a_usage_error(tmp_path):
    (tmp_path / "file").write_text("x", encoding="utf-8")
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(ConfigurationError, match="cannot be written"):
            ensure_output_dir(path)


def test_leftovers_of_a_killed_run_are_removed_and_nothing_else(tmp_path):
    (tmp_path / f"{TEMPORARY_PREFIX}a").write_text("x", encoding="utf-8")
    (tmp_path / f"{TEMPORARY_PREFIX}b").mkdir()
    (tmp_path / "kept").mkdir()
    remove_leftovers(tmp_path)
    assert os.listdir(tmp_path) == ["kept"]
