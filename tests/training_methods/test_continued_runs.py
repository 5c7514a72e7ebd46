"""A continued run is the run never stopped, wherever it was stopped: also behind its last step."""

from __future__ import annotations

import json
import shutil

import pytest
import torch

from training_methods import FullFineTuner, LoRAFineTuner
from training_methods.transfer_learning.settings import (
    EarlyStoppingSettings,
    InRunEvaluationSettings,
    LoggingSettings,
    TrainingSettings,
)

PAIRS = [{"prompt": f"What is in box {number}?", "completion": f"{number} pears."} for number in range(10)]
MAKERS = {
    "lora": lambda model: LoRAFineTuner(str(model), lora_r=4, device="cpu"),
    "full": lambda model: FullFineTuner(str(model), device="cpu"),
}


def train(make, model, folder, resume_from=None, *, steps=5, save_steps=2, held_out=None, patience=0, rate=1e-2):
    """Weights and log of a short run, and its trainer."""
    tuner = make(model)
    data = tuner.prepare_instruction_dataset(PAIRS, max_length=64)
    trainer = tuner.train(
        data, folder, resume_from=resume_from,
        eval_dataset=tuner.prepare_instruction_dataset(held_out, max_length=64) if held_out else None,
        training=TrainingSettings(
            max_steps=steps, save_steps=save_steps, logging_steps=2, learning_rate=rate, per_device_train_batch_size=2,
            gradient_accumulation_steps=2, max_length=64,
        ),
        early_stopping=EarlyStoppingSettings(patience=patience, min_delta=0.0),
        evaluation=InRunEvaluationSettings(eval_frequency=1, num_samples=1),
        logging=LoggingSettings(use_tensorboard=False),
    )  # fmt: skip
    weights = {name: weight.detach().clone() for name, weight in tuner.model.named_parameters() if weight.requires_grad}
    return weights, log_of(folder), trainer


def log_of(folder):
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    return [
        {key: row[key] for key in row if key in ("step", "loss", "eval_loss", "tokens", "grad_norm")} for row in rows
    ]


def assert_same(one, other):
    assert one[1] == other[1]
    assert all(torch.equal(one[0][name], other[0][name]) for name in one[0])
    assert one[2].mean_train_loss == other[2].mean_train_loss


@pytest.mark.parametrize("method", MAKERS)
@pytest.mark.parametrize("step", [2, 4, 5])
def test_from_any_checkpoint_weights_and_log_are_the_same(tiny_model, tmp_path, method, step):
    """The last one is that of a run killed while it wrote its model: nothing is left to train."""
    whole = train(MAKERS[method], tiny_model, tmp_path / "run")
    again = train(MAKERS[method], tiny_model, tmp_path / "run", tmp_path / "run" / f"checkpoint-{step}")
    assert_same(whole, again)
    assert [row["step"] for row in again[1]] == [1, 2, 3, 4, 5]


def test_a_run_that_has_lost_its_patience_does_not_go_on(tiny_model, tmp_path):
    options = {
        "steps": 60, "held_out": [{"prompt": "Who?", "completion": "Nobody, never."}], "patience": 2, "rate": 5e-2,
        "save_steps": 1,
    }  # fmt: skip
    whole = train(MAKERS["lora"], tiny_model, tmp_path / "run", **options)
    last = whole[2].state.global_step
    assert last < 60
    assert (tmp_path / "run" / f"checkpoint-{last}").is_dir()
    shutil.copytree(tmp_path / "run", tmp_path / "moved")
    shutil.rmtree(tmp_path / "run")
    again = train(MAKERS["lora"], tiny_model, tmp_path / "moved", tmp_path / "moved" / f"checkpoint-{last}", **options)
    assert_same(whole, again)


def test_sample_replies_are_written_once(tiny_model, tmp_path):
    held_out = [{"prompt": "Who?", "completion": "Nobody."}]
    train(MAKERS["lora"], tiny_model, tmp_path, held_out=held_out)
    before = (tmp_path / "samples.jsonl").read_text(encoding="utf-8")
    with (tmp_path / "samples.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"step": 5, "pro')
    train(MAKERS["lora"], tiny_model, tmp_path, tmp_path / "checkpoint-2", held_out=held_out)
    assert (tmp_path / "samples.jsonl").read_text(encoding="utf-8") == before
    assert [json.loads(line)["step"] for line in before.splitlines()] == [1, 2, 3, 4, 5]
