"""A training run survives whatever ends it: the continued run is, bit for bit, the run never stopped."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.conftest import ROOT

STEPS = 16
KILLS_IN_THE_PLAIN_SUITE = 3
KILLS = 40
WEIGHTS = ("2", "1")


def command(model: Path, records: tuple[Path, ...], run_dir: Path, *more: str, method: str = "lora") -> list[str]:
    """A short run in packed rows over several epochs, on a mixture of two files."""
    settings = ("save_steps=3", "logging_steps=4", f"max_steps={STEPS}", "per_device_train_batch_size=2")
    words = [sys.executable, "main.py", f"train-{method}", "--quiet", "--model", str(model)]
    words += ["--train-data", *map(str, records), "--output-dir", str(run_dir)]
    if len(records) == len(WEIGHTS):
        words += ["--weights", *WEIGHTS]
    words += ["--learning-rate", "1e-3", "--gradient-accumulation-steps", "2", "--packing"]
    for setting in settings:
        words += ["--set", f"transfer_learning.{method}.training.{setting}"]
    return [*words, "--set", "evaluation.num_samples=1", "--set", "logging.use_tensorboard=false", *more]


def run(words: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(words, cwd=ROOT, capture_output=True, text=True)


def learnt(run_dir: Path) -> tuple[bytes, list[dict[str, object]]]:
    """The adapter, and the log without what the clock decides."""
    rows = [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    timed = ("seconds", "tokens_per_second", "memory_mb")
    log = [{key: value for key, value in row.items() if key not in timed} for row in rows]
    return (run_dir / "adapter_model.safetensors").read_bytes(), log


@pytest.fixture(scope="module")
def uninterrupted(tiny_model, tmp_path_factory):
    """A finished run, the files of records it saw, and how long it took."""
    folder = tmp_path_factory.mktemp("crash")
    files = (folder / "pears.jsonl", folder / "plums.jsonl")
    for path in files:
        rows = [
            {"prompt": f"What is in box {number}?", "completion": f"{number * 7 % 13} {path.stem}."}
            for number in range(30)
        ]
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    started = time.monotonic()
    done = run(command(tiny_model, files, folder / "run"))
    assert done.returncode == 0, done.stderr
    sources = json.loads((folder / "run" / "run.json").read_text(encoding="utf-8"))["sources"]
    assert [source["taken"] for source in sources] == [30, 15]
    return folder / "run", files, time.monotonic() - started


def wait_for(path: Path, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not path.exists() and time.monotonic() < deadline:
        time.sleep(0.01)


def killed_after(words: list[str], run_dir: Path, delay: float, patience: float) -> bool:
    """Start a run and kill it so many seconds after it has written its first file; False when it had ended."""
    process = subprocess.Popen(words, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_for(run_dir / "run.json", patience)  # before that there is nothing to go on with
    try:
        assert process.wait(delay) == 0
        return False
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        process.wait()
        return True


def assert_equal_to_one_never_stopped(run_dir: Path, expected: Path) -> None:
    assert learnt(run_dir) == learnt(expected)
    assert not list(run_dir.glob(".llm-toolkit-tmp-*"))


def test_killed_at_random_moments_the_continued_run_equals_one_never_stopped(tiny_model, uninterrupted, tmp_path):
    expected, records, seconds = uninterrupted
    rng = random.Random(7)
    words = command(tiny_model, records, tmp_path / "run")
    killed_after(words, tmp_path / "run", rng.uniform(0, 1), seconds)
    for _ in range(KILLS_IN_THE_PLAIN_SUITE - 1):
        killed_after([*words, "--resume"], tmp_path / "run", rng.uniform(0.5, 0.9) * seconds, seconds)
    done = run([*words, "--resume"])
    assert done.returncode == 0, done.stderr
    assert_equal_to_one_never_stopped(tmp_path / "run", expected)


@pytest.mark.slow
def test_forty_kills_change_nothing(tiny_model, uninterrupted, tmp_path):
    """Every run that is killed again and again until it comes to its end is the run never stopped."""
    expected, records, seconds = uninterrupted
    rng = random.Random(11)
    kills = runs = 0
    while kills < KILLS:
        run_dir = tmp_path / f"run-{runs}"
        words = command(tiny_model, records, run_dir)
        while killed_after(words, run_dir, rng.uniform(0, 1.1) * seconds, seconds):
            kills += 1
            words = [*command(tiny_model, records, run_dir), "--resume"]
        assert_equal_to_one_never_stopped(run_dir, expected)
        runs += 1
    print(f"{kills} kills in {runs} runs, each equal to the run never stopped")


@pytest.mark.parametrize(
    ("method", "number", "code"),
    [
        ("lora", signal.SIGTERM, 143),
        pytest.param("lora", signal.SIGINT, 130, marks=pytest.mark.slow),
        ("full", signal.SIGINT, 130),
        pytest.param("full", signal.SIGTERM, 143, marks=pytest.mark.slow),
        pytest.param("qlora", signal.SIGINT, 130, marks=pytest.mark.slow),
        pytest.param("qlora", signal.SIGTERM, 143, marks=pytest.mark.slow),
    ],
)
def test_a_signal_saves_and_prints_the_command_that_goes_on(
    tiny_model, uninterrupted, tmp_path, method, number, code
):  # fmt: skip
    expected, records, seconds = uninterrupted
    run_dir = tmp_path / "run"
    process = subprocess.Popen(
        command(tiny_model, records, run_dir, method=method),
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    wait_for(run_dir / "metrics.jsonl", 4 * seconds)
    process.send_signal(number)
    sent = time.monotonic()
    _, err = process.communicate(timeout=60)
    assert process.returncode == code, err
    assert time.monotonic() - sent < 10
    assert "Traceback" not in err
    hint = next(line for line in err.splitlines() if line.startswith("hint: go on with: "))
    words = hint.removeprefix("hint: go on with: python main.py ").split()
    assert list(run_dir.glob("checkpoint-*"))
    done = run([sys.executable, "main.py", *words])
    assert done.returncode == 0, done.stderr
    if method == "lora":
        assert learnt(run_dir)[0] == learnt(expected)[0]
    else:
        assert json.loads((run_dir / "run.json").read_text(encoding="utf-8"))["status"] == "done"


def test_a_second_signal_ends_a_run_at_once_and_leaves_nothing_half_written(tiny_model, uninterrupted, tmp_path):
    """Whoever presses Ctrl-C twice does not want to wait for the checkpoint."""
    expected, records, seconds = uninterrupted
    run_dir = tmp_path / "run"
    words = command(tiny_model, records, run_dir)
    process = subprocess.Popen(words, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    wait_for(run_dir / "metrics.jsonl", 2 * seconds)
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=10)
    assert process.returncode in (-signal.SIGTERM, -signal.SIGINT, 130, 143)
    assert "Traceback" not in err
    done = run([*words, "--resume"])
    assert done.returncode == 0, done.stderr
    assert_equal_to_one_never_stopped(run_dir, expected)


def test_a_damaged_newest_checkpoint_is_named_and_the_one_before_is_used(tiny_model, uninterrupted, tmp_path):
    expected, records, _ = uninterrupted
    run_dir = tmp_path / "run"
    shutil.copytree(expected, run_dir)
    state = json.loads((run_dir / "run.json").read_text(encoding="utf-8"))
    (run_dir / "run.json").write_text(json.dumps({**state, "status": "running"}), encoding="utf-8")
    newest = max(run_dir.glob("checkpoint-*"), key=lambda path: int(path.name.split("-")[1]))
    optimizer = newest / "optimizer.pt"
    optimizer.write_bytes(optimizer.read_bytes()[:-7])
    done = run(command(tiny_model, records, run_dir, "--resume"))
    assert done.returncode == 0, done.stderr
    assert f"warning: {newest} is passed over: optimizer.pt has" in done.stderr
    assert learnt(run_dir) == learnt(expected)


def test_a_second_run_in_the_same_folder_is_refused_at_once(tiny_model, uninterrupted, tmp_path):
    _, records, seconds = uninterrupted
    run_dir = tmp_path / "run"
    first = subprocess.Popen(
        command(tiny_model, records, run_dir), cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    wait_for(run_dir / ".run.lock", 2 * seconds)
    second = run(command(tiny_model, records, run_dir))
    first.kill()
    first.wait()
    assert second.returncode == 1
    assert f"is in use by process {first.pid}" in second.stderr


def test_a_dead_owners_lock_is_taken_over(tmp_path):
    from shared_utils.run_lock import LOCK_NAME, run_lock

    lock = {"pid": 2**22 + 1, "host": os.uname().nodename, "process_start": 1.0, "taken": 1.0}
    (tmp_path / LOCK_NAME).write_text(json.dumps(lock), encoding="utf-8")
    with run_lock(tmp_path):
        assert json.loads((tmp_path / LOCK_NAME).read_text(encoding="utf-8"))["pid"] == os.getpid()
    assert not (tmp_path / LOCK_NAME).exists()


def test_a_continuation_with_other_settings_or_data_is_refused(tiny_model, uninterrupted, tmp_path):
    expected, records, _ = uninterrupted
    run_dir = tmp_path / "run"
    shutil.copytree(expected, run_dir)
    changed = run(command(tiny_model, records, run_dir, "--resume", "--lora-r", "4"))
    assert changed.returncode == 1
    assert "lora_r differs (16 then, 4 now)" in changed.stderr
    other = tmp_path / "other.jsonl"
    other.write_text(records[1].read_text(encoding="utf-8").replace("plums", "figs"), encoding="utf-8")
    changed = run(command(tiny_model, (records[0], other), run_dir, "--resume"))
    assert "the training data differs" in changed.stderr


def test_a_finished_run_is_never_overwritten(tiny_model, uninterrupted):
    expected, records, _ = uninterrupted
    before = learnt(expected)
    again = run(command(tiny_model, records, expected))
    assert again.returncode == 1
    assert "holds a finished run" in again.stderr
    assert run(command(tiny_model, records, expected, "--resume")).returncode == 0
    assert learnt(expected) == before


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 6 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", str(folder)], capture_output=True)
    if mounted.returncode != 0:
        pytest.skip("this user may not mount a file system")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_disk_too_small_is_refused_before_training(tiny_model, uninterrupted, small_disk):
    _, records, _ = uninterrupted
    (small_disk / "filler").write_bytes(b"x" * 3_000_000)
    done = run(command(tiny_model, records, small_disk / "run", "--lora-r", "64"))
    assert done.returncode == 1
    assert "the disk is too full" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_disk_that_fills_up_leaves_whole_checkpoints_and_the_run_goes_on_later(tiny_model, uninterrupted, small_disk):
    expected, records, seconds = uninterrupted
    run_dir = small_disk / "run"
    settings = ("--set", "checkpoint.max_checkpoints=1")
    process = subprocess.Popen(
        command(tiny_model, records, run_dir, *settings),
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    wait_for(run_dir / "checkpoint-2", 2 * seconds)
    filler = small_disk / "filler"
    with filler.open("wb", buffering=0) as file, pytest.raises(OSError, match="No space"):
        while True:
            file.write(b"x" * 4096)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 1, err
    assert "the disk is full" in err
    assert "Traceback" not in err
    filler.unlink()
    done = run(command(tiny_model, records, run_dir, *settings, "--resume"))
    assert done.returncode == 0, done.stderr
    assert learnt(run_dir)[0] == learnt(expected)[0]
