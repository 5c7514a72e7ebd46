"""ToolkitConfig: the settings of all packages, put together."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from deployment.settings import SamplingSettings
from document_processing.settings import DocumentProcessingSettings
from evaluation.settings import ComparisonSettings
from shared_utils.settings import Settings
from snake_game.settings import SnakeSettings
from training_methods.reinforcement_learning.settings import ReinforcementLearningSettings
from training_methods.transfer_learning.settings import (
    CheckpointSettings,
    EarlyStoppingSettings,
    InRunEvaluationSettings,
    LoggingSettings,
    TransferLearningSettings,
)


class CommonSettings(Settings):
    """What every command shares."""

    device: Literal["auto", "cpu", "cuda", "mps"] = Field("auto", description="where models run")
    seed: int = Field(42, ge=0, lt=2**32, description="start of every random choice")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="least important log shown")
    output_dir: str = Field("./outputs", min_length=1, description="folder of the run folders")
    data_dir: str = Field("./data", min_length=1, description="folder of samples and data sets")
    registry_dir: str = Field("./registry", min_length=1, description="folder of the registry of finished models")


class EvaluationSettings(InRunEvaluationSettings, ComparisonSettings):
    """What is measured: while a model trains, and of the finished one."""


class ToolkitConfig(Settings):
    """Every setting of the toolkit."""

    common: CommonSettings = Field(default_factory=CommonSettings, description="what every command shares")
    document_processing: DocumentProcessingSettings = Field(
        default_factory=DocumentProcessingSettings, description="from documents to chunks"
    )
    transfer_learning: TransferLearningSettings = Field(
        default_factory=TransferLearningSettings, description="fine-tuning of language models"
    )
    reinforcement_learning: ReinforcementLearningSettings = Field(
        default_factory=ReinforcementLearningSettings, description="agents that learn by acting"
    )
    logging: LoggingSettings = Field(
        default_factory=LoggingSettings, description="where the course of a run is recorded"
    )
    evaluation: EvaluationSettings = Field(default_factory=EvaluationSettings, description="what is measured")
    checkpoint: CheckpointSettings = Field(
        default_factory=CheckpointSettings, description="which states of a run are kept"
    )
    early_stopping: EarlyStoppingSettings = Field(
        default_factory=EarlyStoppingSettings, description="when to stop because the held-out loss no longer falls"
    )
    snake: SnakeSettings = Field(default_factory=SnakeSettings, description="games of Snake")
    chat: SamplingSettings = Field(default_factory=SamplingSettings, description="how a model answers")
