"""`create-samples`: something real to run every other command on."""

from __future__ import annotations

import json

from configs.loader import load_config
from shared_utils.data_loader import load_records
from shared_utils.model_names import locate_model
from shared_utils.preference_records import to_pair


def test_the_samples_are_what_the_other_commands_take(run_command, tmp_path):
    result = run_command("create-samples", "--output-dir", tmp_path / "data", "--json")
    assert result.code == 0, result.err
    files = json.loads(result.out)["files"]
    suffixes = {name.rsplit(".", 1)[-1] for name in files if "/documents/" in name}
    assert {"pdf", "md", "txt"} <= suffixes
    for name in ("train.jsonl", "evaluation.jsonl", "conversations.jsonl"):
        loaded = load_records([tmp_path / "data" / name])
        assert loaded.records
        assert not loaded.rejected
    pairs = load_records([tmp_path / "data" / "preferences.jsonl"], to_pair)
    assert len(pairs.records) > 100
    assert not pairs.rejected
    games = load_records([tmp_path / "data" / "snake_games.jsonl"])
    assert len(games.records) == 240
    assert not games.rejected
    load_config([tmp_path / "data" / "config.yaml"])
    assert locate_model(str(tmp_path / "data" / "starter")).kind == "model"


def test_a_changed_sample_is_kept_unless_asked_otherwise(run_command, tmp_path):
    run_command("create-samples", "--output-dir", tmp_path)
    config = tmp_path / "config.yaml"
    config.write_text("common: {seed: 1}", encoding="utf-8")
    result = run_command("create-samples", "--output-dir", tmp_path)
    assert "kept 1 changed files as they are" in result.err
    assert config.read_text(encoding="utf-8") == "common: {seed: 1}"
    run_command("create-samples", "--output-dir", tmp_path, "--overwrite")
    assert config.read_text(encoding="utf-8") != "common: {seed: 1}"


def test_a_folder_that_cannot_be_written_is_a_usage_error(run_command):
    assert run_command("create-samples", "--output-dir", "/dev/null/x").code == 2
