"""Settings of a fine-tuning, put together step by step in a program and checked like those of a file.

config = (TrainingConfigBuilder().with_strategy("qlora").with_model("starter", max_length=256)
          .with_qlora(rank=32, alpha=64, dropout=0.1).with_training(epochs=5, learning_rate=1e-4, batch_size=2)
          .with_output("output", "experiment_1").build())
tuner = config.create_tuner()
tuner.train(tuner.prepare_instruction_dataset(records), config.run_dir, training=config.settings.training)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, get_args

from shared_utils.errors import ConfigurationError
from shared_utils.file_utils import write_text_atomic
from shared_utils.model_names import STARTER, STARTER_DIR, read_json_file
from shared_utils.settings import checked, nearest
from training_methods.transfer_learning.settings import (
    CheckpointSettings,
    EarlyStoppingSettings,
    InRunEvaluationSettings,
    LoggingSettings,
    Method,
    MethodSettings,
    TransferLearningSettings,
)

if TYPE_CHECKING:
    from training_methods.transfer_learning.fine_tuner import FineTuner


@dataclass(frozen=True)
class TrainingConfig:
    """A checked fine-tuning: `settings` is the section of its strategy, `run_dir` where it writes."""

    strategy: Method
    settings: MethodSettings
    run_dir: Path
    checkpoint: CheckpointSettings = field(default_factory=CheckpointSettings)
    early_stopping: EarlyStoppingSettings = field(default_factory=EarlyStoppingSettings)
    evaluation: InRunEvaluationSettings = field(default_factory=InRunEvaluationSettings)
    logging: LoggingSettings = field(default_factory=LoggingSettings)

    def create_tuner(self, *, device: str = "auto", seed: int = 42) -> FineTuner:
        """The tuner of this strategy, with its model loaded."""
        from training_methods.transfer_learning.methods import build_tuner

        return build_tuner(self.settings, device=device, seed=seed)

    def as_dict(self) -> dict[str, Any]:
        """The settings as sections of a configuration file."""
        sections = ("checkpoint", "early_stopping", "evaluation", "logging")
        return {
            "transfer_learning": {self.strategy: self.settings.model_dump(mode="json")},
            **{name: getattr(self, name).model_dump(mode="json") for name in sections},
        }

    def save(self, path: str | Path) -> None:
        """Write a YAML file that every command takes as `--config`."""
        import yaml

        write_text_atomic(Path(path), yaml.safe_dump(self.as_dict(), sort_keys=False, allow_unicode=True))


class TrainingConfigBuilder:
    """Collects settings; `build` checks them. What is not named keeps the default of its strategy."""

    def __init__(self) -> None:
        self._strategy: str | None = None
        self._adapter_of: str | None = None
        self._values: dict[str, Any] = {}
        self._training: dict[str, Any] = {}
        self._run_dir = Path("outputs") / "experiment"
        self._sections: dict[str, dict[str, Any]] = {
            name: {} for name in ("checkpoint", "early_stopping", "evaluation", "logging")
        }

    def with_strategy(self, strategy: str) -> Self:
        """How to train: lora, qlora or full."""
        known = get_args(Method)
        if strategy not in known:
            guess = nearest(strategy, known)
            hint = f"did you mean {guess}? known: " if guess else "known: "
            raise ConfigurationError(f"no strategy '{strategy}'", hint=hint + ", ".join(known))
        self._strategy = strategy
        return self

    def with_model(self, model_name: str, max_length: int | None = None) -> Self:
        """Which model, and how many tokens of a record it sees."""
        self._values["model_name"] = model_name
        if max_length is not None:
            self._training["max_length"] = max_length
        return self

    def with_lora(
        self,
        rank: int | None = None,
        alpha: int | None = None,
        dropout: float | None = None,
        target_modules: str | Sequence[str] | None = None,
    ) -> Self:
        """The adapters of the strategy lora."""
        return self._with_adapter("lora", rank, alpha, dropout, target_modules)

    def with_qlora(
        self,
        rank: int | None = None,
        alpha: int | None = None,
        dropout: float | None = None,
        target_modules: str | Sequence[str] | None = None,
    ) -> Self:
        """The adapters of the strategy qlora."""
        return self._with_adapter("qlora", rank, alpha, dropout, target_modules)

    def with_training(
        self,
        epochs: float | None = None,
        learning_rate: float | None = None,
        batch_size: int | None = None,
        gradient_accumulation_steps: int | None = None,
        max_steps: int | None = None,
    ) -> Self:
        """How long, how fast and on what batches."""
        given = {
            "num_train_epochs": epochs,
            "learning_rate": learning_rate,
            "per_device_train_batch_size": batch_size,
            "gradient_accumulation_steps": gradient_accumulation_steps,
            "max_steps": max_steps,
        }
        self._training |= {name: value for name, value in given.items() if value is not None}
        return self

    def with_output(self, output_dir: str | Path, experiment_name: str) -> Self:
        """The run folder is `output_dir/experiment_name`."""
        if not experiment_name or Path(experiment_name).name != experiment_name:
            raise ConfigurationError(
                f"'{experiment_name}' is no name of a folder", hint="an experiment's name holds no slash"
            )
        self._run_dir = Path(output_dir) / experiment_name
        return self

    def with_setting(self, key: str, value: Any) -> Self:
        """Any other key: of the strategy's section, `training.KEY`, or `checkpoint.KEY`, `logging.KEY` and the like."""
        section, _, name = key.rpartition(".")
        if section == "training":
            self._training[name] = value
        elif section in self._sections:
            self._sections[section][name] = value
        elif section == "quantization":
            self._values.setdefault(section, {})[name] = value
        else:
            self._values[key] = value
        return self

    def build(self) -> TrainingConfig:
        """Check all of it.

        Raises:
            ConfigurationError: a setting is unknown, out of range, or does not go with another.
        """
        strategy = self._strategy or self._adapter_of or "lora"
        if self._adapter_of not in (None, strategy):
            raise ConfigurationError(
                f"with_{self._adapter_of} does not go with the strategy {strategy}",
                hint=f"use with_strategy('{self._adapter_of}')",
            )
        values = {strategy: {**self._values, "training": self._training}}
        settings = checked(TransferLearningSettings, values).of(strategy)  # type: ignore[arg-type]
        _check_context(settings.model_name, settings.training.max_length)
        return TrainingConfig(
            strategy=strategy,  # type: ignore[arg-type]  # checked by with_strategy
            settings=settings,
            run_dir=self._run_dir,
            checkpoint=checked(CheckpointSettings, self._sections["checkpoint"]),
            early_stopping=checked(EarlyStoppingSettings, self._sections["early_stopping"]),
            evaluation=checked(InRunEvaluationSettings, self._sections["evaluation"]),
            logging=checked(LoggingSettings, self._sections["logging"]),
        )

    def _with_adapter(
        self,
        strategy: str,
        rank: int | None,
        alpha: int | None,
        dropout: float | None,
        target_modules: str | Sequence[str] | None,
    ) -> Self:
        self._adapter_of = strategy
        targets = target_modules if isinstance(target_modules, str | None) else list(target_modules)
        given = {"lora_r": rank, "lora_alpha": alpha, "lora_dropout": dropout, "target_modules": targets}
        self._values |= {name: value for name, value in given.items() if value is not None}
        return self


class ConfigurationTemplate:
    """Builders with a purpose; every call after them changes what it names.

    `ConfigurationTemplate.quick_lora().with_model("Qwen/Qwen2.5-0.5B-Instruct").build()`
    """

    @staticmethod
    def quick_lora() -> TrainingConfigBuilder:
        """One pass with small adapters: does the data teach anything?"""
        return (
            TrainingConfigBuilder()
            .with_strategy("lora")
            .with_lora(rank=8, alpha=16, dropout=0.0)
            .with_training(epochs=1, learning_rate=2e-4, batch_size=4, gradient_accumulation_steps=1)
            .with_output("outputs", "quick_lora")
        )

    @staticmethod
    def production_lora() -> TrainingConfigBuilder:
        """Three passes, evaluated often, ending with the best weights."""
        return (
            TrainingConfigBuilder()
            .with_strategy("lora")
            .with_lora(rank=16, alpha=32, dropout=0.05)
            .with_training(epochs=3, learning_rate=2e-4, batch_size=4, gradient_accumulation_steps=4)
            .with_setting("evaluation.eval_frequency", 100)
            .with_setting("early_stopping.patience", 5)
            .with_output("outputs", "production_lora")
        )

    @staticmethod
    def memory_efficient_qlora() -> TrainingConfigBuilder:
        """The least memory: 4 bits a weight, one record at a time, activations recomputed, 8-bit optimizer."""
        return (
            TrainingConfigBuilder()
            .with_strategy("qlora")
            .with_qlora(rank=16, alpha=32, dropout=0.05)
            .with_training(epochs=3, learning_rate=2e-4, batch_size=1, gradient_accumulation_steps=16)
            .with_setting("training.gradient_checkpointing", True)
            .with_setting("training.optim", "paged_adamw_8bit")
            .with_output("outputs", "memory_efficient_qlora")
        )

    @staticmethod
    def research_config() -> TrainingConfigBuilder:
        """Everything recorded: each step logged, evaluated often with replies, all checkpoints of the last stretch."""
        return (
            TrainingConfigBuilder()
            .with_strategy("lora")
            .with_lora(rank=32, alpha=64, dropout=0.1)
            .with_training(epochs=5, learning_rate=1e-4, batch_size=4, gradient_accumulation_steps=4)
            .with_setting("training.logging_steps", 1)
            .with_setting("evaluation.eval_frequency", 50)
            .with_setting("evaluation.num_samples", 20)
            .with_setting("checkpoint.max_checkpoints", 20)
            .with_setting("early_stopping.patience", 0)
            .with_output("outputs", "research")
        )


def _check_context(model_name: str, max_length: int) -> None:
    """Refuse records longer than a model on this disk reads; for a hub model that is known when it is loaded."""
    folder = STARTER_DIR if model_name == STARTER else Path(model_name)
    if not (folder / "config.json").is_file():
        return
    limit = read_json_file(folder / "config.json").get("max_position_embeddings")
    if isinstance(limit, int) and max_length > limit:
        raise ConfigurationError(
            f"max_length is {max_length}, but {model_name} reads at most {limit} tokens",
            hint=f"with_model('{model_name}', max_length={limit})",
        )
