"""Who is told the metrics of a run: `metrics.jsonl`, TensorBoard and Weights & Biases."""

from __future__ import annotations

from pathlib import Path

from shared_utils.processes import is_main_process
from shared_utils.training_utils import MetricsLogger
from training_methods.transfer_learning.checkpoints import step_of
from training_methods.transfer_learning.run_metrics import METRICS_NAME
from training_methods.transfer_learning.settings import LoggingSettings


def metrics_logger(run_dir: Path, logging: LoggingSettings, resume_from: Path | None) -> MetricsLogger:
    """What writes a run's metrics where the settings ask for them; of several processes the main one does.

    Raises:
        ConfigurationError: Weights & Biases is asked for and not installed.
    """
    if not is_main_process():
        return MetricsLogger()
    events = Path(logging.log_dir) / run_dir.name if logging.log_dir else run_dir / "tensorboard"
    return MetricsLogger(
        run_dir / METRICS_NAME,
        tensorboard_dir=events if logging.use_tensorboard else None,
        wandb_project=logging.wandb_project if logging.use_wandb else None,
        run_name=run_dir.name,
        first_step=step_of(resume_from) + 1 if resume_from else None,
    )
