"""What one training of a language model by rewards is asked to do."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path

from shared_utils.file_utils import to_json
from training_methods.reinforcement_learning.grpo_settings import GRPOSettings
from training_methods.reinforcement_learning.settings import EnvironmentSettings
from training_methods.transfer_learning.settings import CheckpointSettings, LoggingSettings
from workflows.fine_tuning_request import flat_settings

# What may differ between a run and its continuation: it changes what is recorded, not what is learnt.
FREE_TO_CHANGE = {"training.save_steps"}


@dataclass(frozen=True)
class GRPORequest:
    """Everything one training needs; `config_yaml` and the command are kept in the run folder."""

    run_dir: Path
    settings: GRPOSettings
    environment: EnvironmentSettings | None  # where questions come from; None: from `train_data`
    train_data: tuple[str, ...]
    checkpoint: CheckpointSettings
    logging: LoggingSettings
    seed: int
    device: str
    config_yaml: str
    confidence: float = 0.95
    resume: str | None = None  # None: a new run; "": the newest whole checkpoint; else a checkpoint folder

    def identity(self, data: str) -> dict[str, object]:
        """What decides what is learnt; `data` stands for the questions of files."""
        settings = flat_settings(self.settings.model_dump(mode="json"))
        environment = self.environment
        return {
            "algorithm": "grpo",
            "environment": environment.id if environment else None,
            "environment arguments": to_json(environment.kwargs) if environment else None,
            "seed": self.seed,
            "data": data,
            **{key: value for key, value in settings.items() if key not in FREE_TO_CHANGE},
        }

    @property
    def source(self) -> str:
        """Where the questions come from, in words."""
        return self.environment.id if self.environment else ", ".join(self.train_data)


def resume_command(request: GRPORequest) -> str:
    """The command line that goes on with this run."""
    words = ["python", "main.py", "train-rl", "--algorithm", "grpo", "--config", str(request.run_dir / "config.yaml")]
    words += ["--train-data", *request.train_data] if request.train_data else ["--env", request.source]
    return shlex.join([*words, "--output-dir", str(request.run_dir), "--resume"])
