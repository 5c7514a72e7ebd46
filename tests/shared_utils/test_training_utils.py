"""What follows a training, and the step for loops of one's own."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from shared_utils import MetricsLogger, OptimizedTrainer, TrainingMetrics
from shared_utils.errors import ConfigurationError, TrainingError

# ---- metrics ------------------------------------------------------------------------------------------


def test_what_was_not_measured_has_no_key_and_what_is_no_number_is_null():
    metrics = TrainingMetrics(step=3, loss=float("nan"), learning_rate=2e-4, others={"entropy": float("inf")})
    assert metrics.as_dict() == {"step": 3, "loss": None, "learning_rate": 2e-4, "entropy": None}


def test_figures_of_unknown_name_are_kept_beside_the_known_ones():
    metrics = TrainingMetrics.from_figures(7, {"loss": 1.5, "episode_return": 20.0})
    assert (metrics.step, metrics.loss, metrics.others) == (7, 1.5, {"episode_return": 20.0})


def test_everybody_who_follows_is_told_the_same(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    shown, seen = [], []
    with MetricsLogger(
        tmp_path / "new" / "metrics.jsonl",
        tensorboard_dir=tmp_path / "events",
        progress=lambda step, note: shown.append((step, note)),
        observers=[seen.append],
    ) as logger:
        logger.log_metrics(TrainingMetrics(1, loss=2.0))
        logger.add_observer(lambda metrics: seen.append(metrics.step))
        logger.log_metrics(TrainingMetrics(2, eval_loss=1.5))
    lines = (tmp_path / "new" / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line) for line in lines] == [{"step": 1, "loss": 2.0}, {"step": 2, "eval_loss": 1.5}]
    events = EventAccumulator(str(tmp_path / "events")).Reload()
    assert [(event.step, event.value) for event in events.Scalars("train/loss")] == [(1, 2.0)]
    assert [(event.step, event.value) for event in events.Scalars("eval/loss")] == [(2, 1.5)]
    assert shown == [(1, "loss 2.000"), (2, "")]
    assert seen == [TrainingMetrics(1, loss=2.0), TrainingMetrics(2, eval_loss=1.5), 2]


def test_a_logger_that_is_told_nothing_leaves_nothing(tmp_path):
    with MetricsLogger(tmp_path / "metrics.jsonl", tensorboard_dir=tmp_path / "events"):
        pass
    assert not list(tmp_path.iterdir())


def test_a_missing_tensorboard_is_told_once_and_stops_nothing(tmp_path, monkeypatch, caplog):
    import shared_utils.training_utils as module

    monkeypatch.setattr(module, "find_spec", lambda name: None)
    with MetricsLogger(tmp_path / "metrics.jsonl", tensorboard_dir=tmp_path / "events") as logger:
        logger.log_metrics(TrainingMetrics(1, loss=2.0))
        logger.log_metrics(TrainingMetrics(2, loss=1.0))
    assert len((tmp_path / "metrics.jsonl").read_text(encoding="utf-8").splitlines()) == 2
    assert [record.message for record in caplog.records] == [
        "no TensorBoard event files are written: pip install tensorboard"
    ]


def test_a_missing_wandb_is_told_before_anything_is_trained(monkeypatch):
    import shared_utils.training_utils as module

    monkeypatch.setattr(module, "find_spec", lambda name: None)
    with pytest.raises(ConfigurationError) as caught:
        MetricsLogger(wandb_project="p")
    assert caught.value.hint == "pip install wandb"


# ---- the step -----------------------------------------------------------------------------------------


class TinyLanguageModel(torch.nn.Module):
    """Predicts the next of eight tokens from the last one; the mean loss over supervised tokens, as transformers."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.table = torch.nn.Embedding(8, 8)

    def forward(self, input_ids, labels):
        logits = self.table(input_ids)[:, :-1]
        return {"loss": torch.nn.functional.cross_entropy(logits.transpose(1, 2), labels[:, 1:])}


def random_batch(supervised: list[int]) -> dict[str, torch.Tensor]:
    """Rows of twelve tokens, each with loss on so many of the last ones."""
    input_ids = torch.randint(0, 8, (len(supervised), 12), generator=torch.Generator().manual_seed(sum(supervised)))
    labels = input_ids.clone()
    for row, count in enumerate(supervised):
        labels[row, : 12 - count] = -100
    return {"input_ids": input_ids, "labels": labels}


@settings(max_examples=40)
@given(st.lists(st.lists(st.integers(1, 11), min_size=2, max_size=2), min_size=1, max_size=4))
def test_accumulated_batches_move_the_weights_as_one_batch_of_all_records_does(rows):
    batches = [random_batch(row) for row in rows]
    parts, whole = TinyLanguageModel(), TinyLanguageModel()
    trainer = OptimizedTrainer(parts, torch.optim.SGD(parts.parameters(), lr=1.0), len(batches), max_grad_norm=0.1)
    for step, batch in enumerate(batches):
        trainer.training_step(batch, step)
    joined = {name: torch.cat([batch[name] for batch in batches]) for name in batches[0]}
    once = OptimizedTrainer(whole, torch.optim.SGD(whole.parameters(), lr=1.0), 1, max_grad_norm=0.1)
    once.training_step(joined, 0)
    assert trainer.optimizer_steps == once.optimizer_steps == 1
    torch.testing.assert_close(parts.table.weight, whole.table.weight, atol=1e-6, rtol=1e-5)


def test_the_optimizer_waits_for_its_batches_and_finish_moves_it_by_the_rest():
    model = TinyLanguageModel()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 1, gamma=0.5)
    trainer = OptimizedTrainer(model, optimizer, 2, scheduler=scheduler)
    moved = []
    for step in range(3):
        before = model.table.weight.detach().clone()
        trainer.training_step(random_batch([4, 5]), step)
        moved.append(not torch.equal(before, model.table.weight))
    assert moved == [False, True, False]
    trainer.finish()
    assert (trainer.optimizer_steps, scheduler.get_last_lr()) == (2, [0.025])
    trainer.finish()
    assert trainer.optimizer_steps == 2


def test_bf16_computes_in_bf16_and_keeps_float32_weights():
    seen = []

    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = torch.nn.Linear(3, 1)

        def forward(self, x):
            out = self.layer(x)
            seen.append(out.dtype)
            return SimpleNamespace(loss=out.float().mean()).loss

    model = Model()
    trainer = OptimizedTrainer(model, torch.optim.SGD(model.parameters(), lr=0.1), 1, precision="bf16")
    trainer.training_step({"x": torch.ones(2, 3)}, 0)
    assert seen == [torch.bfloat16]
    assert model.layer.weight.dtype == torch.float32


def test_fp16_is_refused_without_cuda_and_auto_is_float32():
    model = TinyLanguageModel()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    assert OptimizedTrainer(model, optimizer).precision == "float32"
    with pytest.raises(ConfigurationError, match="fp16 needs a CUDA device"):
        OptimizedTrainer(model, optimizer, precision="fp16")


def test_a_loss_that_is_no_number_stops_and_names_the_step():
    model = TinyLanguageModel()
    with torch.no_grad():
        model.table.weight.fill_(float("nan"))
    trainer = OptimizedTrainer(model, torch.optim.SGD(model.parameters(), lr=0.1))
    with pytest.raises(TrainingError, match="became nan at step 5"):
        trainer.training_step(random_batch([3]), 5)


def scaled(model, batches, lr=1.0):
    """A trainer that scales its loss as it does for fp16, on the processor."""
    trainer = OptimizedTrainer(model, torch.optim.SGD(model.parameters(), lr=lr), batches)
    trainer._scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    return trainer


def test_scaling_the_loss_moves_the_weights_as_without():
    batches = [random_batch([3, 9]), random_batch([1, 2])]
    with_scale, without = TinyLanguageModel(), TinyLanguageModel()
    trainer = scaled(with_scale, 2)
    plain = OptimizedTrainer(without, torch.optim.SGD(without.parameters(), lr=1.0), 2)
    for step, batch in enumerate(batches):
        trainer.training_step(batch, step)
        plain.training_step(batch, step)
    torch.testing.assert_close(with_scale.table.weight, without.table.weight, atol=1e-6, rtol=1e-5)


def test_an_overflow_leaves_the_step_out_and_scales_the_next_one_less():
    model = TinyLanguageModel()
    before = model.table.weight.detach().clone()
    trainer = scaled(model, 1)
    scheduler = trainer.scheduler = torch.optim.lr_scheduler.StepLR(trainer.optimizer, 1, gamma=0.5)
    hook = model.table.weight.register_hook(lambda gradient: gradient * float("inf"))
    trainer.training_step(random_batch([4]), 0)
    hook.remove()
    assert torch.equal(model.table.weight, before)
    assert (trainer.optimizer_steps, trainer._scaler.get_scale(), scheduler.get_last_lr()) == (0, 512.0, [1.0])
    trainer.training_step(random_batch([4]), 1)
    assert trainer.optimizer_steps == 1
    assert not torch.equal(model.table.weight, before)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("precision", ["fp16", "bf16"])
def test_half_precision_learns_on_cuda(precision):
    model = TinyLanguageModel().cuda()
    trainer = OptimizedTrainer(model, torch.optim.AdamW(model.parameters(), lr=0.05), 2, precision=precision)
    losses = [trainer.training_step(random_batch([8, 8]), step) for step in range(80)]
    assert losses[-1] < losses[0] * 0.8
