"""Callbacks that write the metrics of a run for other tools: TensorBoard and Weights & Biases."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path

from transformers import TrainerCallback

from shared_utils.errors import missing_package
from training_methods.transfer_learning.checkpoints import step_of
from training_methods.transfer_learning.settings import LoggingSettings


def recorders(run_dir: Path, logging: LoggingSettings, resume_from: Path | None) -> list[TrainerCallback]:
    """The callbacks that write a run's metrics for TensorBoard and Weights & Biases, as the settings ask."""
    callbacks: list[TrainerCallback] = []
    if logging.use_tensorboard:
        from torch.utils.tensorboard import SummaryWriter
        from transformers.integrations import TensorBoardCallback

        folder = Path(logging.log_dir) / run_dir.name if logging.log_dir else run_dir / "tensorboard"
        purge = step_of(resume_from) + 1 if resume_from else None
        callbacks.append(TensorBoardCallback(SummaryWriter(str(folder), purge_step=purge)))
    if logging.use_wandb:
        callbacks.append(_wandb(logging.wandb_project))
    return callbacks


def _wandb(project: str) -> TrainerCallback:
    if find_spec("wandb") is None:
        raise missing_package("wandb", "logging.use_wandb")
    from transformers.integrations import WandbCallback

    os.environ.setdefault("WANDB_MODE", "offline")  # nothing leaves the machine unless asked to
    os.environ.setdefault("WANDB_PROJECT", project)
    os.environ.setdefault("WANDB_DISABLE_CODE", "true")
    return WandbCallback()
