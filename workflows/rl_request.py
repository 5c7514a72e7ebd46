"""What one training of an agent is asked to do."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shared_utils.file_utils import to_json
from training_methods.reinforcement_learning.settings import (
    Algorithm,
    DQNSettings,
    EnvironmentSettings,
    PPOSettings,
)
from training_methods.transfer_learning.settings import CheckpointSettings, EarlyStoppingSettings, LoggingSettings
from workflows.fine_tuning_request import flat_settings

# What may differ between a run and its continuation: it changes how long and how well watched, not what is learnt.
FREE_TO_CHANGE = {
    "training.total_timesteps",
    "training.max_episodes",
    "training.save_frequency",
    "training.step_timeout",
    "training.patience",
    "training.solve_at",
}


@dataclass(frozen=True)
class AgentRequest:
    """Everything one training needs; `config_yaml` and the command are kept in the run folder."""

    run_dir: Path
    algorithm: Algorithm
    environment: EnvironmentSettings
    settings: PPOSettings | DQNSettings
    checkpoint: CheckpointSettings
    early_stopping: EarlyStoppingSettings
    logging: LoggingSettings
    seed: int
    device: str
    config_yaml: str
    resume: str | None = None  # None: a new run; "": the newest whole checkpoint; else a checkpoint folder
    record_video: bool = False
    onnx: bool = False

    @property
    def identity(self) -> dict[str, object]:
        """What decides what is learnt."""
        settings = flat_settings(self.settings.model_dump(mode="json"))
        free = FREE_TO_CHANGE - ({"training.total_timesteps"} if settings.get("anneal_lr") else set())
        return {
            "algorithm": self.algorithm,
            "environment": self.environment.id,
            "environment arguments": to_json(self.environment.kwargs),
            "seed": self.seed,
            **{key: value for key, value in settings.items() if key not in free},
        }


def resume_command(request: AgentRequest) -> str:
    """The command line that goes on with this run."""
    words = ["python", "main.py", "train-rl", "--algorithm", request.algorithm]
    words += ["--config", str(request.run_dir / "config.yaml")]
    words += ["--record-video"] if request.record_video else []
    words += ["--onnx"] if request.onnx else []
    return shlex.join([*words, "--output-dir", str(request.run_dir), "--resume"])


def steps_and_episodes(settings: PPOSettings | DQNSettings) -> tuple[int | None, int | None]:
    """How long a run trains: steps, or episodes where no steps are set."""
    training: Any = settings.training
    if training.total_timesteps is not None:
        return training.total_timesteps, None
    return None, training.max_episodes
