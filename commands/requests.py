"""From the settings to the requests that workflows take."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from commands.model_argument import resolve_model
from configs.loader import to_yaml
from configs.schema import ToolkitConfig
from shared_utils.console import Console
from training_methods.transfer_learning.settings import Method
from workflows.fine_tuning_request import FineTuneRequest


def fine_tune_request(
    config: ToolkitConfig,
    method: Method,
    run_dir: Path,
    console: Console,
    *,
    train_data: Sequence[str] = (),
    eval_data: str | None = None,
    resume: str | None = None,
    merge: bool = False,
    weights: Sequence[float] | None = None,
    max_samples_per_source: int | None = None,
    show_examples: int = 0,
    register: str | None = None,
) -> FineTuneRequest:
    """One fine-tuning, with the settings it needs and no others."""
    config = with_settled_model(config, method, console)
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
        register=register,
        registry_dir=config.common.registry_dir,
    )


def with_settled_model(config: ToolkitConfig, method: Method, console: Console) -> ToolkitConfig:
    """The settings with the folder in place of a registered name of a model.

    What a run folder keeps is the folder, so that the run stays the same when the name means another model later on.

    Raises:
        LLMToolkitError: there is no such model; names the nearest one.
    """
    section = config.transfer_learning.of(method)
    model = resolve_model(section.model_name, config, console)
    changed: dict[str, Any] = {method: section.model_copy(update={"model_name": model})}
    return config.model_copy(update={"transfer_learning": config.transfer_learning.model_copy(update=changed)})
