"""`train-dpo` through the front door: from preference pairs to an adapter, and how it refuses."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time

import pytest

from shared_utils.model_utils import load_model
from tests.conftest import ROOT

SUMMARY = {
    "run_dir", "model", "method", "trainable_parameters", "total_parameters", "records", "tokens", "supervised_tokens",
    "steps", "train_loss", "eval_loss", "base_eval_loss", "best_step", "seconds", "tokens_per_second",
    "peak_memory_mb", "peak_memory_by_part_mb", "stopped_early", "resumed_from", "base_preference_accuracy", "preference_accuracy",
    "reward_accuracy", "reward_margin",
}  # fmt: skip
REWARDS = {f"rewards/{name}" for name in ("chosen", "rejected", "margins", "accuracies")}
QUIET = ("--set", "logging.use_tensorboard=false", "--set", "evaluation.num_samples=1")


@pytest.fixture
def pairs_file(tmp_path):
    """Forty pairs, one prompt each."""
    path = tmp_path / "pairs.jsonl"
    rows = [
        {"prompt": f"What is in box {n}?", "chosen": f"Please look: {n % 7} pears.", "rejected": "Go away."}
        for n in range(40)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture
def words(tiny_model, pairs_file, tmp_path):
    return (
        "train-dpo", "--model", tiny_model, "--train-data", pairs_file, "--output-dir", tmp_path / "run",
        "--max-steps", "3", "--batch-size", "2", "--learning-rate", "1e-2", *QUIET,
    )  # fmt: skip


def rows_of(run_dir):
    return [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]


def test_a_run_leaves_everything_and_says_how_often_the_chosen_answer_is_preferred(run_command, words, tmp_path):
    result = run_command(*words, "--merge", "--show-example", "1")
    assert result.code == 0, result.err
    run_dir = tmp_path / "run"
    summary = json.loads((run_dir / "run.json").read_text(encoding="utf-8"))["result"]
    assert set(summary) == SUMMARY
    assert (summary["records"], summary["steps"], summary["method"]) == (36, 3, "dpo")
    assert summary["base_eval_loss"] == pytest.approx(0.6931, abs=1e-4)
    assert summary["eval_loss"] < summary["base_eval_loss"]
    assert summary["reward_accuracy"] == {"value": 1.0, "low": pytest.approx(0.51, abs=0.01), "high": 1.0,
                                          "confidence": 0.95, "n": 4}  # fmt: skip
    assert "of 4 held-out pairs the chosen answer gained more: 100% (51% to 100%)" in result.out
    assert "⟦Please look: 0 pears.<|im_end|>⟧" in result.out
    assert "⟦Go away.<|im_end|>⟧" in result.out
    logged = rows_of(run_dir)
    assert set(logged[0]) > REWARDS | {"loss", "logps/chosen", "logps/rejected"}
    assert {f"eval_{name}" for name in REWARDS} < set(logged[-1])
    card = (run_dir / "README.md").read_text(encoding="utf-8")
    assert "Held-out loss of a pair: base 0.6931" in card
    assert "a prompt with a chosen and a rejected answer" in card
    assert (run_dir / "curves.png").is_file()
    for folder in (run_dir, run_dir / "merged"):
        load_model(str(folder), "cpu")
    assert len((run_dir / "samples.jsonl").read_text(encoding="utf-8").splitlines()) == 3


def test_a_dry_run_counts_pairs_and_writes_nothing(run_command, words, tmp_path):
    result = run_command(*words, "--dry-run", "--json")
    assert result.code == 0, result.err
    summary = json.loads(result.out)
    assert (summary["records"], summary["held_out"], summary["steps"]) == (36, 4, 3)
    assert summary["estimated_seconds"] > 0
    assert not (tmp_path / "run").exists()


SHORT_RUN = ("save_steps=2", "logging_steps=3", "max_steps=8", "per_device_train_batch_size=2")


def resumable(model, pairs, run_dir, *more):
    words = ["train-dpo", "--quiet", "--model", model, "--train-data", pairs, "--output-dir", run_dir]
    for setting in SHORT_RUN:
        words += ["--set", f"transfer_learning.dpo.training.{setting}"]
    return [str(word) for word in (*words, "--learning-rate", "1e-3", *QUIET, *more)]


def learnt(run_dir):
    """The adapter, and the log without what the clock decides."""
    timed = ("seconds", "tokens_per_second", "memory_mb")
    log = [{key: value for key, value in row.items() if key not in timed} for row in rows_of(run_dir)]
    return (run_dir / "adapter_model.safetensors").read_bytes(), log


@pytest.mark.parametrize("forgets", [False, True], ids=["reference-kept", "reference-lost"])
def test_continued_from_a_checkpoint_it_is_the_run_never_stopped(
    run_command, tiny_model, pairs_file, tmp_path, forgets
):
    """Bit for bit, in mid-epoch and between two lines of the log, also where the reference is asked anew."""
    run_dir = tmp_path / "run"
    assert run_command(*resumable(tiny_model, pairs_file, run_dir)).code == 0
    expected = learnt(run_dir)
    for step in (5, 6, 7, 8):
        shutil.rmtree(run_dir / f"checkpoint-{step}", ignore_errors=True)
    assert (run_dir / "checkpoint-4").is_dir()  # a line of the log is written at steps 3 and 6
    for path in (run_dir / ".cache").glob("reference-*" if forgets else "nothing"):
        path.unlink()
    run = json.loads((run_dir / "run.json").read_text(encoding="utf-8"))
    (run_dir / "run.json").write_text(json.dumps({**run, "status": "running"}), encoding="utf-8")
    (run_dir / "adapter_model.safetensors").unlink()
    assert run_command(*resumable(tiny_model, pairs_file, run_dir, "--resume")).code == 0
    assert learnt(run_dir) == expected


@pytest.mark.slow
def test_killed_and_continued_it_is_the_run_never_stopped(tiny_model, pairs_file, tmp_path):
    def command(run_dir, *more):
        return [sys.executable, "main.py", *resumable(tiny_model, pairs_file, run_dir, *more)]

    subprocess.run(command(tmp_path / "whole"), cwd=ROOT, check=True, capture_output=True)
    run_dir = tmp_path / "killed"
    process = subprocess.Popen(command(run_dir), cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not (run_dir / "checkpoint-4").is_dir() and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    subprocess.run(command(run_dir, "--resume"), cwd=ROOT, check=True, capture_output=True)
    assert learnt(run_dir) == learnt(tmp_path / "whole")


def test_bad_pairs_are_counted_and_strict_makes_them_errors(run_command, words, pairs_file):
    with pairs_file.open("a", encoding="utf-8") as file:
        file.write('{"prompt": "Q", "chosen": "A", "rejected": "A"}\n{"prompt": "Q", "chosen": "A"}\n')
    result = run_command(*words, "--dry-run")
    assert f"left out: 1 with equal answers, first at {pairs_file}, line 41" in result.out
    assert f"left out: 1 with an empty or missing 'rejected', first at {pairs_file}, line 42" in result.out
    result = run_command(*words, "--dry-run", "--strict")
    assert result.code == 1
    assert f"{pairs_file}, line 41: equal answers" in result.err


def test_each_kind_of_record_is_sent_to_its_command(run_command, words, tiny_model, records_file, pairs_file, tmp_path):
    result = run_command("train-dpo", "--model", tiny_model, "--train-data", records_file)
    assert result.code == 1
    assert f"{records_file}, line 1: no preference pair (keys found: instruction, output)" in result.err
    assert "records of the kind 'instruction' are for train-lora" in result.err
    result = run_command("train-lora", "--model", tiny_model, "--train-data", pairs_file)
    assert result.code == 1
    assert f"{pairs_file}, line 1: a preference pair (chosen, rejected)" in result.err
    assert "hint: python main.py train-dpo learns from pairs" in result.err


def test_several_processes_are_refused_before_they_wait_for_each_other(run_command, words, tmp_path, monkeypatch):
    """There is no such port: a process that tried to meet the other would end with another error."""
    place = {"WORLD_SIZE": "2", "RANK": "0", "LOCAL_RANK": "0", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "none"}
    for name, value in place.items():
        monkeypatch.setenv(name, value)
    result = run_command(*words)
    assert result.code == 2
    assert "error: train-dpo runs in one process" in result.err
    assert "without a launcher" in result.err
    assert not (tmp_path / "run").exists()


def test_from_an_adapter_it_starts_at_what_that_had_learnt(run_command, words, tiny_model, records_file, tmp_path):
    """The reference is the fine-tuned model, not the base under it; the merged model is made where it is missing."""
    lora = ("train-lora", "--model", tiny_model, "--train-data", records_file, "--output-dir", tmp_path / "lora")
    assert run_command(*lora, "--max-steps", "2", "--learning-rate", "1e-2", "--quiet", *QUIET).code == 0
    words = [tmp_path / "lora" if word == tiny_model else word for word in words]
    result = run_command(*words, "--dry-run")
    assert result.code == 0, result.err
    assert "is an adapter; the run will merge it first" in result.out
    merged = tmp_path / "lora" / "merged"
    assert not merged.exists()
    result = run_command(*words)
    assert result.code == 0, result.err
    assert f"starting from {merged}, which is also the reference" in result.out
    config = json.loads((tmp_path / "run" / "adapter_config.json").read_text(encoding="utf-8"))
    assert config["base_model_name_or_path"] == str(merged)
    load_model(str(tmp_path / "run"), "cpu")
    result = run_command(*words, "--resume", "--json")
    assert json.loads(result.out)["steps"] == 3


@pytest.mark.slow
def test_the_base_may_be_stored_in_four_bits(run_command, words, tmp_path):
    result = run_command(*words, "--load-in-4bit", "--merge")
    assert result.code == 0, result.err
    assert "weights of the base: " in result.out
    summary = json.loads((tmp_path / "run" / "run.json").read_text(encoding="utf-8"))["result"]
    assert summary["quantized_memory_mb"] < summary["base_memory_mb"]
    assert summary["eval_loss"] < summary["base_eval_loss"]


def test_settings_that_do_not_go_together_are_a_usage_error(run_command, words):
    result = run_command(*words, "--loss-type", "hinge", "--label-smoothing", "0.1")
    assert result.code == 2
    assert "label_smoothing goes with loss_type sigmoid, not hinge" in result.err
