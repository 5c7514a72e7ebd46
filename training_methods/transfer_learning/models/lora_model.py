"""LoRAFineTuner: low-rank adapters on a full-precision model (Hu et al. 2021, arXiv:2106.09685)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from peft import LoraConfig, TaskType, get_peft_model
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from shared_utils.errors import ConfigurationError
from shared_utils.model_utils import load_model
from shared_utils.settings import nearest
from training_methods.transfer_learning.fine_tuner import FineTuner

ALL_LINEAR = "all-linear"


class LoRAFineTuner(FineTuner):
    """Trains adapters of rank `lora_r` and leaves the model under them as it is.

    Args:
        model_name: hub name, model folder or `starter`.
        lora_r: rank of the adapters.
        lora_alpha: the update is scaled by `lora_alpha / lora_r`.
        lora_dropout: dropout before each adapter.
        target_modules: `all-linear`, or names of modules; unknown names are an error.
        device, seed, chat_template: as for `FineTuner`.
    """

    method = "lora"

    def __init__(
        self,
        model_name: str = "starter",
        lora_r: int = 16,
        lora_alpha: int = 32,
        lora_dropout: float = 0.1,
        target_modules: str | Sequence[str] = ALL_LINEAR,
        *,
        device: str = "auto",
        seed: int = 42,
        chat_template: str | None = None,
    ) -> None:
        self.lora_r = lora_r
        self.lora_alpha = lora_alpha
        self.lora_dropout = lora_dropout
        self.target_modules = target_modules
        super().__init__(model_name, device=device, seed=seed, chat_template=chat_template)

    def _build_model(self) -> PreTrainedModel:
        base = load_model(self.model_name, str(self.device.type))
        targets = self.target_modules
        if targets != ALL_LINEAR:
            targets = [targets] if isinstance(targets, str) else list(targets)
            check_target_modules(base, targets)
        config = LoraConfig(
            task_type=TaskType.CAUSAL_LM,
            r=self.lora_r,
            lora_alpha=self.lora_alpha,
            lora_dropout=self.lora_dropout,
            target_modules=targets,
            # GPT-2 keeps its weights transposed.
            fan_in_fan_out=any(isinstance(module, Conv1D) for module in base.modules()),
        )
        return get_peft_model(base, config)


def check_target_modules(model: torch.nn.Module, names: Sequence[str]) -> None:
    """Refuse names that match no linear layer of the model.

    Raises:
        ConfigurationError: lists the names that are present.
    """
    present = sorted(
        {
            name.rsplit(".", 1)[-1]
            for name, module in model.named_modules()
            if isinstance(module, (torch.nn.Linear, Conv1D)) and not name.endswith("lm_head")
        }
    )
    unknown = [name for name in names if name not in present and not _is_path_of(model, name)]
    if unknown:
        guess = nearest(unknown[0], present)
        raise ConfigurationError(
            f"target_modules: this model has no module '{unknown[0]}'; it has {', '.join(present)}",
            hint=f"did you mean {guess}?" if guess else "use all-linear",
        )


def _is_path_of(model: torch.nn.Module, name: str) -> bool:
    return "." in name and any(full.endswith(name) for full, _ in model.named_modules())
