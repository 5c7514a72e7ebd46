"""The whole way: from documents to a measured model, resumable at any step, without a network."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from shared_utils.model_names import locate_model
from tests.conftest import ROOT

DOCUMENTS = {
    "kettle.md": "# The kettle\n\nIt whistles.\n\n## Cleaning\n\nRinse the kettle with warm water after each day of use.\n\n"
    "## Filling\n\nFill the kettle up to the second ring, and never above it.\n",
    "guide/stove.md": "# The stove\n\n## Lighting\n\nOpen the flap and light two dry logs with a long match.\n\n"
    "## Ashes\n\nEmpty the ash box every morning while the stove is cold.\n",
    "note.txt": "The stove came by boat. It took four people to carry it up the hill.\n",
}
RESULTS = ("train/adapter_model.safetensors", "merged/model.safetensors", "evaluation/tuned/predictions.jsonl")


@pytest.fixture(scope="module")
def documents(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("documents")
    for name, text in DOCUMENTS.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return folder


def command(model: Path, documents: Path, run_dir: Path, *more: str) -> list[str]:
    training = ("max_steps=12", "save_steps=2", "learning_rate=1e-3", "per_device_train_batch_size=2")
    words = [sys.executable, "main.py", "pipeline", "--model", str(model), "--documents", str(documents)]
    words += ["--output-dir", str(run_dir), "--set", "evaluation.max_new_tokens=8", "--set", "evaluation.num_samples=1"]
    for setting in (*training, "gradient_accumulation_steps=1"):
        words += ["--set", f"transfer_learning.lora.training.{setting}"]
    return [*words, *more]


def run(words: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(words, cwd=ROOT, capture_output=True, text=True)


def without_network(words: list[str]) -> list[str]:
    """The same command in a network namespace of its own, where that is allowed."""
    probe = shutil.which("unshare") and subprocess.run(["unshare", "-rn", "true"], capture_output=True)
    return ["unshare", "-rn", *words] if probe and probe.returncode == 0 else words


@pytest.fixture(scope="module")
def finished(tiny_model, documents, tmp_path_factory):
    run_dir = tmp_path_factory.mktemp("pipeline") / "run"
    done = run(without_network(command(tiny_model, documents, run_dir, "--json")))
    assert done.returncode == 0, done.stderr
    return run_dir, json.loads(done.stdout)


def test_the_summary_holds_what_was_promised(finished):
    run_dir, summary = finished
    assert {"run_dir", "extract", "train", "base", "tuned", "exports", "replies", "report", "seconds"} <= set(summary)
    assert summary["extract"]["files"] == 3
    for side in ("base", "tuned"):
        match = summary[side]["exact_match"]
        assert 0 <= match["low"] <= match["value"] <= match["high"] <= 1
        assert summary[side]["perplexity"]["value"] > 1
    assert json.loads((run_dir / "summary.json").read_text(encoding="utf-8")) == summary


def test_held_out_questions_are_not_among_the_training_records(finished):
    run_dir, _ = finished
    train = (run_dir / "data" / "train.jsonl").read_text(encoding="utf-8")
    questions = [
        json.loads(line) for line in (run_dir / "data" / "evaluation.jsonl").read_text(encoding="utf-8").splitlines()
    ]
    assert questions
    assert not [question for question in questions if question["prompt"] in train]
    assert all(json.dumps(question["completion"], ensure_ascii=False)[1:-1] in train for question in questions)


def test_the_report_is_one_page_that_asks_nothing_of_the_network(finished):
    run_dir, summary = finished
    page = (run_dir / "report.html").read_text(encoding="utf-8")
    assert "kettle.md" in page
    assert summary["replies"][0]["prompt"].split("(")[0].strip() in page
    assert 'src="http' not in page
    assert 'href="http' not in page


def test_run_again_it_does_nothing_again(finished, tiny_model, documents):
    run_dir, summary = finished
    before = {name: (run_dir / name).stat().st_mtime_ns for name in RESULTS}
    again = run(command(tiny_model, documents, run_dir))
    assert again.returncode == 0, again.stderr
    assert again.stdout.count("done before") == 7
    assert {name: (run_dir / name).stat().st_mtime_ns for name in RESULTS} == before
    assert json.loads((run_dir / "summary.json").read_text(encoding="utf-8"))["tuned"] == summary["tuned"]


def test_the_folder_of_a_pipeline_can_be_talked_to(finished, run_command):
    run_dir, _ = finished
    result = run_command("chat", run_dir, "--prompt", "How is the kettle cleaned?", "--max-new-tokens", "4", "--json")
    assert result.code == 0
    assert json.loads(result.out)["prompt"] == "How is the kettle cleaned?"


def test_killed_in_any_step_it_goes_on_and_ends_the_same(finished, tiny_model, documents, tmp_path):
    expected, _ = finished
    run_dir = tmp_path / "run"
    for moment in ("steps/split.json", "train/checkpoint-4", "steps/base.json"):
        process = subprocess.Popen(
            command(tiny_model, documents, run_dir, "--quiet"), cwd=ROOT,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        deadline = time.monotonic() + 90
        while not (run_dir / moment).exists() and time.monotonic() < deadline and process.poll() is None:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
    done = run(command(tiny_model, documents, run_dir))
    assert done.returncode == 0, done.stderr
    for name in RESULTS:
        assert (run_dir / name).read_bytes() == (expected / name).read_bytes(), name


def test_other_documents_or_settings_in_the_same_folder_are_refused(finished, tiny_model, documents):
    run_dir, _ = finished
    other = run(command(tiny_model, documents, run_dir, "--epochs", "9"))
    assert other.returncode == 1
    assert "other input or settings: transfer_learning.lora differs" in other.stderr


def test_missing_documents_and_nothing_to_resume_are_clear_errors(run_command, tmp_path):
    result = run_command("pipeline", "--documents", tmp_path / "none", "--output-dir", tmp_path / "run")
    assert (result.code, "no documents at" in result.err) == (1, True)
    result = run_command("pipeline", "--output-dir", tmp_path / "run", "--resume")
    assert (result.code, "no pipeline to go on with" in result.err) == (1, True)
    result = run_command("pipeline", "--output-dir", "/proc/none")
    assert result.code == 2
    assert "cannot be written" in result.err


def test_documents_without_a_heading_are_told_what_is_missing(run_command, tmp_path):
    folder = tmp_path / "documents"
    folder.mkdir()
    (folder / "a.txt").write_text("Only one plain sentence stands here.", encoding="utf-8")
    result = run_command("pipeline", "--documents", folder, "--output-dir", tmp_path / "run", "--quiet")
    assert result.code == 1
    assert "no heading with a text below it" in result.err
    assert "--train-data" in result.err


def test_full_fine_tuning_ends_with_a_model_that_needs_no_merge(tiny_model, documents, tmp_path):
    settings = ("max_steps=2", "per_device_train_batch_size=2")
    words = command(tiny_model, documents, tmp_path / "run", "--json", "--method", "full")
    for setting in settings:
        words += ["--set", f"transfer_learning.full.training.{setting}"]
    done = run(words)
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    assert summary["train"]["method"] == "full"
    assert summary["train"]["steps"] == 2
    assert summary["exports"]["merged"] == str(tmp_path / "run" / "train")
    assert locate_model(tmp_path / "run").source == str(tmp_path / "run" / "train")
