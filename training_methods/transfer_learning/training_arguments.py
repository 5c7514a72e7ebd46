"""Our settings as the arguments of transformers' Trainer, and what follows from them: steps, warm-up, saving."""

from __future__ import annotations

import logging
import math
import os
from dataclasses import dataclass, field
from pathlib import Path

import torch
from transformers import TrainingArguments

from shared_utils.processes import process_count
from training_methods.transfer_learning.dataset import RandomOrderSampler
from training_methods.transfer_learning.precision import Precision
from training_methods.transfer_learning.settings import (
    CheckpointSettings,
    EarlyStoppingSettings,
    InRunEvaluationSettings,
    LoggingSettings,
    TrainingSettings,
)

LONG_RUN = 1000  # steps that repay a minute of compiling
WARMUP_SHARE = 0.1  # a fixed number of warm-up steps would eat a short run whole
EVALUATIONS_PER_RUN = 10
LOG_LINES_PER_RUN = 10


@dataclass(frozen=True)
class RunSettings:
    """The sections of the settings that one training follows."""

    training: TrainingSettings = field(default_factory=TrainingSettings)
    checkpoint: CheckpointSettings = field(default_factory=CheckpointSettings)
    early_stopping: EarlyStoppingSettings = field(default_factory=EarlyStoppingSettings)
    evaluation: InRunEvaluationSettings = field(default_factory=InRunEvaluationSettings)
    logging: LoggingSettings = field(default_factory=LoggingSettings)


def training_arguments(
    run_dir: Path,
    settings: RunSettings,
    precision: Precision,
    steps: int,
    evaluates: bool,
    device: torch.device,
    seed: int,
    has_frozen_base: bool,
    may_skip_weights: bool,
) -> TrainingArguments:
    """What the library's Trainer is told.

    Args:
        run_dir: the run folder.
        settings: what was asked for.
        precision: the number format that was chosen.
        steps: optimizer steps of the whole run.
        evaluates: whether there are held-out records.
        has_frozen_base: most weights are not trained; they are in the chosen format already.
        may_skip_weights: a pass may leave trained weights out, as with experts; DDP then looks for them each time.
    """
    training = settings.training
    evaluation_steps = min(settings.evaluation.eval_frequency, max(1, math.ceil(steps / EVALUATIONS_PER_RUN)))
    return TrainingArguments(
        output_dir=str(run_dir),
        num_train_epochs=training.num_train_epochs,
        max_steps=training.max_steps or -1,
        # All records of an optimizer step come at once; `FastStep` divides them into passes.
        per_device_train_batch_size=training.per_device_train_batch_size * training.gradient_accumulation_steps,
        per_device_eval_batch_size=training.per_device_train_batch_size * 2,
        learning_rate=training.learning_rate,
        lr_scheduler_type=training.lr_scheduler_type,
        warmup_steps=warmup_steps(training, steps),
        optim=optimizer_on(device, training.optim),
        tf32=True if training.tf32 and has_tf32(device) else None,
        torch_compile=compiles(training.torch_compile, device.type, steps, training.packing),
        neftune_noise_alpha=training.neftune_noise_alpha,
        weight_decay=training.weight_decay,
        max_grad_norm=training.max_grad_norm,
        logging_steps=log_interval(training, steps),
        logging_nan_inf_filter=False,
        logging_first_step=True,
        save_strategy="steps",
        save_steps=save_interval(training, settings.checkpoint, steps),
        eval_strategy="steps" if evaluates else "no",
        eval_steps=evaluation_steps,
        metric_for_best_model="eval_loss" if evaluates else None,
        greater_is_better=False,
        restore_callback_states_from_checkpoint=True,
        activation_checkpointing=training.gradient_checkpointing,
        bf16=precision == "bf16" and not has_frozen_base,
        fp16=precision == "fp16",
        use_cpu=device.type == "cpu",
        seed=seed,
        data_seed=seed,
        remove_unused_columns=False,
        report_to=[],
        disable_tqdm=True,
        dataloader_pin_memory=device.type == "cuda",
        ddp_find_unused_parameters=may_skip_weights,
        log_level_replica="error",
    )


def compiles(setting: str, device: str, steps: int, packing: bool) -> bool:
    """Whether the model is compiled.

    Never by itself on a processor, where compiling took 16 to 55 seconds and the lean layers are as fast; nor
    where records are packed: each pass has another length, and the kernels are chosen by hand.
    """
    if setting != "auto":
        return setting == "on"
    return device == "cuda" and not packing and steps >= LONG_RUN


def has_tf32(device: torch.device) -> bool:
    """Whether a device has the shorter float32: NVIDIA GPUs since Ampere."""
    return device.type == "cuda" and torch.cuda.get_device_capability(device) >= (8, 0)


def optimizer_on(device: torch.device, name: str) -> str:
    """The optimizer to use: paged ones move their state between GPU and RAM, so without CUDA they are plain."""
    if not name.startswith("paged_") or device.type == "cuda":
        return name
    plain = name.removeprefix("paged_")
    logging.getLogger(__name__).warning("%s needs a CUDA device; %s is used", name, plain)
    return plain


def total_steps(rows: int, training: TrainingSettings) -> int:
    """Optimizer steps of a run, counted as the library counts them, over all its processes."""
    if training.max_steps:
        return training.max_steps
    together = training.per_device_train_batch_size * training.gradient_accumulation_steps * process_count()
    per_epoch = max(1, math.ceil(rows / together))
    return math.ceil(training.num_train_epochs * per_epoch)


def records_of_run(rows: int, training: TrainingSettings, seed: int) -> list[int]:
    """The records that a run will see: all of them, unless it stops before the end of its first pass."""
    size = training.per_device_train_batch_size * training.gradient_accumulation_steps
    seen = total_steps(rows, training) * size * int(os.environ.get("WORLD_SIZE", "1"))
    return sorted(list(RandomOrderSampler(rows, seed))[:seen])


def warmup_steps(training: TrainingSettings, steps: int) -> int:
    """Warm-up steps: the setting, but at most a tenth of the run."""
    return min(training.warmup_steps, math.ceil(steps * WARMUP_SHARE))


def save_interval(training: TrainingSettings, checkpoint: CheckpointSettings, steps: int) -> int:
    """Steps between checkpoints: the training section's value wins; a run has at least two."""
    return min(training.save_steps or checkpoint.save_frequency, max(1, math.ceil(steps / 2)))


def log_interval(training: TrainingSettings, steps: int) -> int:
    """Steps between lines of the log: the setting, but a run has about ten of them."""
    return min(training.logging_steps, max(1, math.ceil(steps / LOG_LINES_PER_RUN)))
