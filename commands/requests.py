"""From the settings to the requests that workflows take."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from configs.loader import to_yaml
from configs.schema import ToolkitConfig
from training_methods.transfer_learning.settings import Method
from workflows.fine_tuning_request import FineTuneRequest


def fine_tune_request(
    config: ToolkitConfig,
    method: Method,
    run_dir: Path,
    *,
    train_data: Sequence[str] = (),
    eval_data: str | None = None,
    resume: str | None = None,
    merge: bool = False,
    weights: Sequence[float] | None = None,
    max_samples_per_source: int | None = None,
    show_examples: int = 0,
) -> FineTuneRequest:
    """One fine-tuning, with the settings it needs and no others."""
    return FineTuneRequest(
        run_dir=run_dir,
        train_data=tuple(train_data),
        eval_data=eval_data,
        method=method,
        settings=config.transfer_learning.of(method),
        checkpoint=config.checkpoint,
        early_stopping=config.early_stopping,
        evaluation=config.evaluation,
        logging=config.logging,
        seed=config.common.seed,
        device=config.common.device,
        config_yaml=to_yaml(config),
        resume=resume,
        merge=merge,
        weights=tuple(weights) if weights is not None else None,
        max_samples_per_source=max_samples_per_source,
        show_examples=show_examples,
    )
