"""Training methods: fine-tuning of language models, and agents that learn by acting."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from training_methods.llm_trainer import LLMTrainer as LLMTrainer
    from training_methods.reinforcement_learning.agents.dqn_agent import DQNAgent as DQNAgent
    from training_methods.reinforcement_learning.agents.ppo_agent import PPOAgent as PPOAgent
    from training_methods.training_config import ConfigurationTemplate as ConfigurationTemplate
    from training_methods.training_config import TrainingConfig as TrainingConfig
    from training_methods.training_config import TrainingConfigBuilder as TrainingConfigBuilder
    from training_methods.transfer_learning.adapter_merging import merge_adapter as merge_adapter
    from training_methods.transfer_learning.models.full_model import FullFineTuner as FullFineTuner
    from training_methods.transfer_learning.models.lora_model import LoRAFineTuner as LoRAFineTuner
    from training_methods.transfer_learning.models.qlora_model import QLoRAFineTuner as QLoRAFineTuner
    from training_methods.transfer_learning.preferences.objective import PreferencePairs as PreferencePairs

_MODULES = {
    "LoRAFineTuner": "training_methods.transfer_learning.models.lora_model",
    "QLoRAFineTuner": "training_methods.transfer_learning.models.qlora_model",
    "FullFineTuner": "training_methods.transfer_learning.models.full_model",
    "LLMTrainer": "training_methods.llm_trainer",
    "PPOAgent": "training_methods.reinforcement_learning.agents.ppo_agent",
    "DQNAgent": "training_methods.reinforcement_learning.agents.dqn_agent",
    "PreferencePairs": "training_methods.transfer_learning.preferences.objective",
    "merge_adapter": "training_methods.transfer_learning.adapter_merging",
    "TrainingConfig": "training_methods.training_config",
    "TrainingConfigBuilder": "training_methods.training_config",
    "ConfigurationTemplate": "training_methods.training_config",
}
__all__ = [
    "ConfigurationTemplate",
    "DQNAgent",
    "FullFineTuner",
    "LLMTrainer",
    "LoRAFineTuner",
    "PPOAgent",
    "PreferencePairs",
    "QLoRAFineTuner",
    "TrainingConfig",
    "TrainingConfigBuilder",
    "merge_adapter",
]


def __getattr__(name: str) -> object:
    """Load a public name on first use, so that the package itself costs nothing."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)
