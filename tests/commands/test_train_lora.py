"""`train-lora` through the front door: what it says, what it leaves, and how it refuses."""

from __future__ import annotations

import json

import pytest

from shared_utils.model_utils import load_model, load_tokenizer

SUMMARY = {
    "run_dir", "model", "method", "trainable_parameters", "total_parameters", "records", "tokens", "supervised_tokens",
    "steps", "train_loss", "eval_loss", "eval_perplexity", "base_eval_loss", "best_step", "seconds",
    "tokens_per_second", "peak_memory_mb", "peak_memory_by_part_mb", "stopped_early", "resumed_from",
}  # fmt: skip
RUN_FOLDER = {
    "adapter_config.json", "adapter_model.safetensors", "tokenizer.json", "tokenizer_config.json",
    "chat_template.jinja", "README.md", "config.yaml", "run.json", "metrics.jsonl", "curves.png", "tensorboard", "merged",
}  # fmt: skip


@pytest.fixture
def words(tiny_model, records_file, tmp_path):
    return (
        "train-lora", "--model", tiny_model, "--train-data", records_file, "--output-dir", tmp_path / "run",
        "--max-steps", "3", "--batch-size", "2",
    )  # fmt: skip


def test_a_run_leaves_everything_that_was_promised_and_says_what_it_did(run_command, words, tmp_path):
    result = run_command(*words, "--json", "--merge")
    assert result.code == 0, result.err
    summary = json.loads(result.out)
    assert set(summary) == SUMMARY
    assert (summary["records"], summary["steps"], summary["method"]) == (36, 3, "lora")
    run_dir = tmp_path / "run"
    assert {path.name for path in run_dir.iterdir()} >= RUN_FOLDER
    assert not list(run_dir.rglob("*.bin"))
    run = json.loads((run_dir / "run.json").read_text(encoding="utf-8"))
    assert run["status"] == "done"
    assert " --merge " in run["command"]  # or a run that was stopped would go on without
    assert run["result"] == summary
    card = (run_dir / "README.md").read_text(encoding="utf-8")
    assert "36 records to train on and 4 held out" in card
    parts = summary["peak_memory_by_part_mb"]
    assert set(parts) == {"weights", "gradients", "optimizer", "program", "activations"}
    assert sum(parts.values()) == pytest.approx(summary["peak_memory_mb"], abs=0.5)
    # AdamW keeps two float32 numbers for each trained weight, and a counter for each tensor.
    assert parts["optimizer"] == pytest.approx(summary["trainable_parameters"] * 8 / 1e6, abs=0.06)
    assert f"at most {summary['peak_memory_mb']:,.0f} MB" in card
    for folder in (run_dir, run_dir / "merged"):
        load_model(str(folder), "cpu")
        assert load_tokenizer(str(folder)).chat_template == load_tokenizer("starter").chat_template


def test_the_saved_settings_repeat_the_run(run_command, words, tmp_path):
    assert run_command(*words, "--quiet").code == 0
    run_dir = tmp_path / "run"
    again = run_command(
        "train-lora", "--config", run_dir / "config.yaml", "--train-data", words[4], "--output-dir", tmp_path / "again"
    )
    assert again.code == 0, again.err
    adapters = [(tmp_path / name / "adapter_model.safetensors").read_bytes() for name in ("run", "again")]
    assert adapters[0] == adapters[1]


def test_the_last_line_is_the_next_command(run_command, words, tmp_path):
    result = run_command(*words)
    assert result.out.splitlines()[-1] == f'next: python main.py chat {tmp_path / "run"} --prompt "..."'
    assert "36 records to train on, 4 held out" in result.out


def test_a_dry_run_tells_what_would_be_done_and_writes_nothing(run_command, words, tmp_path):
    result = run_command(*words, "--dry-run", "--json")
    assert result.code == 0, result.err
    summary = json.loads(result.out)
    assert (summary["records"], summary["held_out"], summary["steps"]) == (36, 4, 3)
    assert summary["estimated_memory_mb"] > 0
    assert summary["estimated_seconds"] > 0
    assert not (tmp_path / "run").exists()


def test_records_left_out_are_counted_by_reason_and_strict_makes_them_errors(run_command, words):
    with words[4].open("a", encoding="utf-8") as file:
        file.write('{"prompt": "Q", "completion": ""}\n{"prompt": "Q2", "completion": " "}\n')
    result = run_command(*words, "--dry-run")
    assert f"left out: 2 with empty answer, first at {words[4]}, line 41" in result.out
    result = run_command(*words, "--strict")
    assert result.code == 1
    assert f"{words[4]}, line 41: empty answer" in result.err


def test_resume_without_a_name_takes_the_newest_unfinished_run(run_command, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    without_folder = [word for word in words if word not in ("--output-dir", tmp_path / "run")]
    result = run_command(*without_folder, "--resume")
    assert result.code == 1
    assert "no unfinished run in outputs" in result.err
    assert run_command(*without_folder, "--quiet").code == 0
    (run_dir,) = (tmp_path / "outputs").iterdir()
    run = json.loads((run_dir / "run.json").read_text(encoding="utf-8"))
    (run_dir / "run.json").write_text(json.dumps({**run, "status": "running"}), encoding="utf-8")
    result = run_command(*without_folder, "--resume", "--json")
    assert json.loads(result.out)["resumed_from"] == str(run_dir.relative_to(tmp_path) / "checkpoint-3")


@pytest.mark.parametrize(
    ("more", "code", "message"),
    [
        (["--train-data", "none.jsonl"], 1, "File not found: none.jsonl"),
        (["--model", "./no-folder"], 1, "no model folder at no-folder"),
        (["--target-modules", "q_prj"], 2, "no module 'q_prj'"),
        (["--max-length", "1000000"], 1, "reads at most 512 tokens"),
        (["--lora-r", "0"], 2, "--lora-r: transfer_learning.lora.lora_r is '0'"),
        (["--preset", "tiny_cpus"], 2, "no preset 'tiny_cpus'"),
        (["--chat-template", "chatmll"], 2, "no chat template 'chatmll'"),
        (["--resume", "no-checkpoint"], 1, "no checkpoint at no-checkpoint"),
        (["--output-dir", "/dev/null/x"], 2, "cannot be written"),
        (["--bf16", "--fp16"], 2, "not allowed with"),
    ],
)
def test_what_cannot_be_done_is_one_line_with_a_hint(run_command, words, more, code, message):
    result = run_command(*words, *more)
    assert result.code == code, result.err
    lines = result.err.splitlines()
    assert lines[-2].startswith("error: ")
    assert message in lines[-2]
    assert lines[-1].startswith("hint: ")


def test_a_hub_name_without_a_network_is_an_error_before_anything_is_loaded(run_command, words, monkeypatch):
    import shared_utils.model_names as names

    monkeypatch.setattr(names, "HUB_ADDRESS", ("127.0.0.1", 9))
    result = run_command(*words, "--model", "nobody/nothing-here")
    assert result.code == 1
    assert "the model hub cannot be reached" in result.err


def test_a_resumed_mixture_is_the_same_mixture_and_another_one_is_refused(run_command, words, tmp_path):
    other = tmp_path / "other.jsonl"
    other.write_text("".join(f'{{"prompt": "Q{n}", "completion": "A{n}"}}\n' for n in range(50)), encoding="utf-8")
    mixed = [*words[:4], words[4], other, *words[5:], "--weights", "1", "3"]
    result = run_command(*mixed)
    assert result.code == 0, result.err
    assert "24%" in result.out
    run = json.loads((tmp_path / "run" / "run.json").read_text(encoding="utf-8"))
    assert [source["taken"] for source in run["sources"]] == [16, 50]
    assert "--weights 1 3" in run["command"]
    assert run["memory_bytes"]["total"] > run["memory_bytes"]["weights"] > 0
    (tmp_path / "run" / "run.json").write_text(json.dumps({**run, "status": "running"}), encoding="utf-8")
    again = run_command(*mixed, "--resume", "--json")
    assert again.code == 0, again.err
    result = run_command(*mixed[:-1], "2", "--resume")
    assert result.code == 1


def test_examples_are_shown_in_a_dry_run_too(run_command, words):
    result = run_command(*words, "--dry-run", "--json", "--show-example", "2")
    assert result.code == 0, result.err
    assert json.loads(result.out)["fits"]
    assert result.err.count("⟦It is") == 2
    result = run_command(*words, "--dry-run", "--show-example", "0")
    assert result.code == 2
    assert "--show-example: '0' is not a whole number above 0" in result.err
