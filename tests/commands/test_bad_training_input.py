"""Whatever is given as training data or as a model: one clear line, the promised exit code, and no traceback."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from tests.conftest import ROOT, SHARED, needs_shared

GOOD = '{"prompt": "Q?", "completion": "A."}\n'
NOT_RECORDS = {
    "an empty file": ("x.jsonl", b"", "no usable record in", "nothing in it"),
    "blank lines": ("x.jsonl", b"\n \n\n", "no usable record in", "nothing in it"),
    "a broken line": ("x.jsonl", (GOOD * 2).encode() + b'{"prompt": "Q",\n', "line 3: not valid JSON", ""),
    "a torn last line": ("x.jsonl", (GOOD * 2).encode() + b'{"prompt": "Q"', "line 3: not valid JSON", ""),
    "deep nesting": ("x.jsonl", b'{"a":' * 100_000, "line 1: not valid JSON (nested too deeply)", ""),
    "an endless number": ("x.jsonl", b'{"text": ' + b"9" * 5000 + b"}", "line 1: not valid JSON (a number with", ""),
    "an endless number in JSON": ("x.json", b"[" + b"9" * 5000 + b"]", "not valid JSON", ""),
    "thousands of keys": ("x.jsonl", json.dumps({"k" * n: 1 for n in range(1, 2000)}).encode(), "no known kind", "..."),
    "an endless role": (
        "x.jsonl", b'{"messages": [{"role": "%s", "content": "x"}]}' % (b"r" * 100_000), "turn 1: 'role' is 'rrr", "",
    ),
    "UTF-16": ("x.jsonl", GOOD.encode("utf-16"), "line 1: not UTF-8 (byte 1 is 0xff)", ""),
    "zero bytes": ("x.jsonl", GOOD.encode() + bytes(1000), "line 2: not valid JSON", ""),
    "no answers": ("x.jsonl", GOOD.replace("A.", " ").encode(), "1 with empty answer, first at", "line 1"),
    "half a pair": ("x.jsonl", b'{"prompt": "\\ud800", "completion": "A"}', "half of a pair", "line 1"),
    "escapes": ("x.jsonl", b'{"\\u001b[31m\\u202e": "x"}', "keys found: \\x1b[31m\\u202e", ""),
    "a list of numbers": ("x.json", b"[1]", "record 1: not an object", ""),
    "no list": ("x.json", GOOD.encode(), "a list of records is needed", ""),
    "Latin-1": ("x.csv", b"prompt,completion\nq,a\ncaf\xe9,b\n", "not UTF-8", "after line 1"),
    "too many fields": ("x.csv", b"prompt,completion\nq,a\nq,a,b\n", "line 3: more fields than the header has", ""),
}  # fmt: skip


def told(result, code, *parts):
    """One line that says what is wrong and one that says what to do, not longer than a screen."""
    assert result.code == code, result.err
    lines = [line for line in result.err.splitlines() if not line.startswith("warning: ")]
    assert len(lines) == 2, result.err
    assert lines[0].startswith("error: ")
    assert lines[1].startswith("hint: ")
    assert len(lines[0]) < 600
    for part in parts:
        assert part in lines[0]


@pytest.mark.parametrize("name", NOT_RECORDS)
def test_what_holds_no_records_is_told_with_file_and_line(run_command, tmp_path, name):
    file, content, message, more = NOT_RECORDS[name]
    (tmp_path / file).write_bytes(content)
    result = run_command("train-lora", "--train-data", tmp_path / file, "--output-dir", tmp_path / "run")
    told(result, 1, str(tmp_path / file), message, more)
    assert not (tmp_path / "run").exists()


def test_what_is_no_file_or_has_no_end_is_refused_at_once(run_command, tmp_path):
    os.mkfifo(tmp_path / "pipe.jsonl")
    (tmp_path / "device.jsonl").symlink_to("/dev/zero")
    (tmp_path / "loop.jsonl").symlink_to("loop.jsonl")
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "folder" / "pipe.jsonl")
    with (tmp_path / "sparse.jsonl").open("wb") as file:
        file.truncate(2**31)
    expected = {
        "pipe.jsonl": "is not a regular file", "device.jsonl": "is not a regular file", "loop.jsonl": "File not found",
        "folder": "holds no training records", "sparse.jsonl": "line 1: longer than 64 MB",
        "none.jsonl": "File not found", "n" * 300 + ".jsonl": "File name too long",
    }  # fmt: skip
    for name, message in expected.items():
        told(run_command("train-full", "--train-data", tmp_path / name, "--output-dir", tmp_path / "run"), 1, message)


def test_kinds_may_be_mixed_and_a_long_field_of_csv_is_read(tmp_path):
    from shared_utils.data_loader import load_records

    (tmp_path / "a.jsonl").write_text(GOOD + '{"text": "one"}\n', encoding="utf-8")
    (tmp_path / "b.csv").write_text("prompt,completion\nq," + "a" * 200_000 + "\n", encoding="utf-8")
    assert len(load_records([tmp_path]).records) == 3


HOSTILE = """
import contextlib, io, json, sys
from pathlib import Path
from main import main
for path in sys.argv[2:]:
    err = io.StringIO()
    with contextlib.redirect_stderr(err), contextlib.redirect_stdout(io.StringIO()):
        code = main([sys.argv[1], "--train-data", path, "--max-steps", "1"])
    print(json.dumps([path, code, err.getvalue(), "torch" in sys.modules]))
"""


@needs_shared
@pytest.mark.parametrize(("command", "suffix"), [("train-lora", ".jsonl"), ("train-full", ".csv"), ("train-qlora", "")])
def test_every_hostile_file_is_refused_before_anything_heavy_is_loaded(command, suffix, tmp_path):
    """As it is, and under names of files that hold records."""
    paths = []
    for path in sorted((SHARED / "data" / "hostile").iterdir()):
        if path.suffix in (".py", ".json"):
            continue
        link = tmp_path / (path.name + suffix)
        link.symlink_to(path)
        paths.append(link)
    done = subprocess.run(
        [sys.executable, "-c", HOSTILE, command, *map(str, paths)],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(rows) == len(paths)
    for path, code, err, has_torch in rows:
        assert code == 1, (path, err)
        assert len(err.splitlines()) == 2, (path, err)
        assert path in err.splitlines()[0]
        assert len(err) < 800
        assert not has_torch, path
    assert not (tmp_path / "outputs").exists()
    assert not (tmp_path / "logs").exists()


def without_torch(*words):
    """Run the command where no hub is in reach; what it said, and whether it had imported torch by then."""
    code = (
        "import sys, shared_utils.model_names as names; names.HUB_ADDRESS = ('127.0.0.1', 9); from main import main; "
    )
    code += "code = main(sys.argv[1:]); print('torch' in sys.modules); sys.exit(code)"
    done = subprocess.run([sys.executable, "-c", code, *map(str, words)], cwd=ROOT, capture_output=True, text=True)
    return done.returncode, done.stderr, done.stdout.splitlines()[-1] == "False"


@pytest.mark.parametrize("more", [[], ["--dry-run"]])
def test_an_unknown_hub_name_is_told_before_anything_heavy_is_loaded(records_file, tmp_path, more):
    words = ["train-lora", "--train-data", records_file, "--model", "nobody/nothing-here", *more]
    code, err, is_light = without_torch(*words, "--output-dir", tmp_path / "run")
    assert code == 1
    assert "is neither a folder here nor in the local cache, and the model hub cannot be reached" in err
    assert is_light


def test_a_folder_with_files_of_others_is_not_written_into(run_command, records_file, tmp_path):
    """`--output-dir .` in a project would put a model card in the place of its README."""
    project = tmp_path / "project"
    project.mkdir()
    (project / "README.md").write_text("mine", encoding="utf-8")
    result = run_command("train-lora", "--train-data", records_file, "--output-dir", project)
    told(result, 1, f"{project} is no run folder, and its README.md would be overwritten")
    assert [path.name for path in project.iterdir()] == ["README.md"]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--device", "cuda"], "the device 'cuda' is not available"),
        (["--fp16", "--device", "cpu"], "fp16 needs a CUDA device"),
        (["--preset", "nope"], "no preset 'nope'"),
        (["--set", "transfer_learning.lora.training.optim=adam"], "optim is 'adam'"),
    ],
)
def test_what_this_machine_or_program_lacks_is_a_usage_error(run_command, records_file, tmp_path, more, message):
    import torch

    if torch.cuda.is_available() and "cuda" in more:
        pytest.skip("this machine has a GPU")
    result = run_command("train-lora", "--train-data", records_file, "--output-dir", tmp_path / "run", "--quiet", *more)
    told(result, 2, message)
