"""Checkpoints are whole or not used."""

from __future__ import annotations

import json

import pytest

from shared_utils.errors import DataValidationError
from training_methods.transfer_learning import checkpoints


def sealed(run_dir, step):
    draft = run_dir / f"draft-{step}"
    draft.mkdir(parents=True)
    for name in (*checkpoints.REQUIRED_FILES, "adapter_model.safetensors"):
        (draft / name).write_bytes(f"{name} {step}".encode())
    final = run_dir / f"checkpoint-{step}"
    checkpoints.seal(draft, final)
    return final


def test_the_newest_whole_checkpoint_is_chosen_by_number_not_by_name(tmp_path):
    for step in (9, 10, 100):
        sealed(tmp_path, step)
    assert checkpoints.newest_valid(tmp_path) == (tmp_path / "checkpoint-100", [])


@pytest.mark.parametrize("name", [*checkpoints.REQUIRED_FILES, "adapter_model.safetensors"])
@pytest.mark.parametrize("harm", ["missing", "truncated", "flipped"])
def test_a_damaged_newest_checkpoint_is_passed_over_and_named(tmp_path, name, harm):
    good, bad = sealed(tmp_path, 5), sealed(tmp_path, 6)
    path = bad / name
    content = path.read_bytes()
    if harm == "missing":
        path.unlink()
    else:
        path.write_bytes(content[:-1] if harm == "truncated" else bytes([content[0] ^ 1]) + content[1:])
    found, skipped = checkpoints.newest_valid(tmp_path)
    assert found == good
    assert [skip.path for skip in skipped] == [bad]
    assert name in skipped[0].reason


@pytest.mark.parametrize("text", ["", "{", "[]", '{"files": {}}', '{"files": {"optimizer.pt": 3}}'])
def test_a_damaged_manifest_makes_the_checkpoint_unusable(tmp_path, text):
    checkpoint = sealed(tmp_path, 3)
    (checkpoint / checkpoints.MANIFEST_NAME).write_text(text, encoding="utf-8")
    with pytest.raises(DataValidationError, match="cannot be used"):
        checkpoints.require_valid(checkpoint)


def test_old_checkpoints_go_but_the_best_and_the_newest_stay(tmp_path):
    for step in (1, 2, 3, 4, 5):
        sealed(tmp_path, step)
    checkpoints.remove_old(tmp_path, keep=3, best_step=1)
    assert sorted(path.name for path in tmp_path.glob("checkpoint-*")) == [
        "checkpoint-1",
        "checkpoint-4",
        "checkpoint-5",
    ]


def test_the_manifest_lists_every_file_with_size_and_sum(tmp_path):
    checkpoint = sealed(tmp_path, 2)
    files = json.loads((checkpoint / checkpoints.MANIFEST_NAME).read_text(encoding="utf-8"))["files"]
    assert set(files) == {path.name for path in checkpoint.iterdir()} - {checkpoints.MANIFEST_NAME}
