"""`train-qlora`, `train-full` and their doors: the same way as `train-lora`."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError
from transformers import AutoModelForCausalLM, AutoTokenizer

from shared_utils.errors import DataValidationError
from shared_utils.model_names import ModelLocation
from shared_utils.model_utils import _clear_load_errors
from tests.conftest import ROOT


def words(command, model, records, run_dir):
    return (
        command, "--model", model, "--train-data", records, "--output-dir", run_dir, "--max-steps", "3",
        "--batch-size", "2", "--set", "logging.use_tensorboard=false",
    )  # fmt: skip


def test_qlora_tells_the_memory_and_merges_into_the_full_base(run_command, tiny_model, records_file, tmp_path):
    result = run_command(*words("train-qlora", tiny_model, records_file, tmp_path / "run"), "--merge")
    assert result.code == 0, result.err
    assert "weights of the base: " in result.out
    assert "merged into the full-precision base: loss " in result.out
    run_dir = tmp_path / "run"
    summary = json.loads((run_dir / "run.json").read_text(encoding="utf-8"))["result"]
    assert summary["method"] == "qlora"
    assert summary["quantized_memory_mb"] < summary["base_memory_mb"]
    card = (run_dir / "README.md").read_text(encoding="utf-8")
    assert f"the base took {summary['quantized_memory_mb']:.1f} MB instead of" in card
    for folder in (run_dir, run_dir / "merged"):
        assert run_command("chat", folder, "--prompt", "Hello?", "--max-new-tokens", "2").code == 0


def test_full_leaves_a_plain_model_in_the_run_folder(run_command, tiny_model, records_file, tmp_path):
    result = run_command(*words("train-full", tiny_model, records_file, tmp_path / "run"))
    assert result.code == 0, result.err
    run_dir = tmp_path / "run"
    AutoModelForCausalLM.from_pretrained(run_dir, trust_remote_code=False)
    AutoTokenizer.from_pretrained(run_dir, trust_remote_code=False)
    assert not list(run_dir.glob("adapter*"))
    assert "library_name: transformers" in (run_dir / "README.md").read_text(encoding="utf-8")
    assert run_command("chat", run_dir, "--prompt", "Hello?", "--max-new-tokens", "2").code == 0


def test_a_run_is_continued_by_its_own_method_only(run_command, tiny_model, records_file, tmp_path):
    run_dir = tmp_path / "run"
    assert run_command(*words("train-full", tiny_model, records_file, run_dir), "--quiet").code == 0
    run = json.loads((run_dir / "run.json").read_text(encoding="utf-8"))
    assert run["command"].startswith("python main.py train-full --config")
    (run_dir / "run.json").write_text(json.dumps({**run, "status": "running"}), encoding="utf-8")
    result = run_command(*words("train-lora", tiny_model, records_file, run_dir), "--resume")
    assert result.code == 1
    assert "method differs (full then, lora now)" in result.err
    result = run_command(*words("train-full", tiny_model, records_file, run_dir), "--resume", "--json")
    assert json.loads(result.out)["resumed_from"] == str(run_dir / "checkpoint-3")
    (run_dir / "run.json").write_text(json.dumps({**run, "status": "running"}), encoding="utf-8")
    result = run_command(*words("train-lora", tiny_model, records_file, run_dir))
    assert f"hint: go on with: {run['command']} --resume" in result.err
    (run_dir / "config.json").unlink()
    result = run_command("chat", run_dir, "--prompt", "Hello?")
    assert f"hint: go on with: {run['command']} --resume" in result.err


def test_an_adapter_as_the_base_is_refused_at_once(run_command, tiny_model, records_file, tmp_path):
    assert run_command(*words("train-lora", tiny_model, records_file, tmp_path / "run"), "--quiet", "--merge").code == 0
    result = run_command(*words("train-full", tmp_path / "run", records_file, tmp_path / "next"))
    assert result.code == 1
    assert "is an adapter of" in result.err
    assert f"hint: train on {tmp_path / 'run' / 'merged'}, or start from its base" in result.err


def test_settings_that_do_not_go_together_are_a_usage_error(run_command, tiny_model, records_file, tmp_path):
    result = run_command(
        *words("train-qlora", tiny_model, records_file, tmp_path / "run"),
        "--set", "transfer_learning.qlora.init_lora_weights=pissa",
    )  # fmt: skip
    assert result.code == 2
    assert "pissa needs full-precision weights" in result.err


@pytest.mark.parametrize(
    ("kind", "message", "hint"),
    [
        (GatedRepoError, "'owner/name' is gated", "https://huggingface.co/owner/name"),
        (RepositoryNotFoundError, "'owner/name' does not exist on the hub, or is private", "spelling"),
    ],
)
def test_what_a_hub_refuses_is_told_with_what_to_do(kind, message, hint):
    """The library wraps the hub's answer into an error of its own, as here."""
    with (
        pytest.raises(DataValidationError, match=message) as caught,
        _clear_load_errors(ModelLocation("owner/name", "owner/name", "hub")),
    ):
        raise OSError("owner/name is not a local folder and is not a valid model identifier") from kind.__new__(kind)
    assert hint in caught.value.hint


@pytest.mark.parametrize(
    ("script", "command"),
    [
        ("train_lora.py", "train-lora"),
        ("train_qlora.py", "train-qlora"),
        ("train_ppo.py", "train-rl"),
        ("train_dqn.py", "train-rl"),
    ],
)
def test_the_scripts_are_doors_to_the_commands(script, command):
    done = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / script), "--help"], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith(f"usage: main.py {command}")
