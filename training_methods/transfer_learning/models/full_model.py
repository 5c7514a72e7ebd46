"""FullFineTuner: every weight of a model is trained."""

from __future__ import annotations

from pathlib import Path

from transformers import PreTrainedModel

from shared_utils.model_utils import load_base_model, save_whole_model
from training_methods.transfer_learning.fine_tuner import FineTuner


class FullFineTuner(FineTuner):
    """Trains all weights; what is saved is a model of its own that needs no base.

    Args:
        model_name: hub name, model folder or `starter`.
        device, seed, chat_template: as for `FineTuner`.
    """

    method = "full"

    def __init__(
        self,
        model_name: str = "starter",
        *,
        device: str = "auto",
        seed: int = 42,
        chat_template: str | None = None,
    ) -> None:
        super().__init__(model_name, device=device, seed=seed, chat_template=chat_template)

    def _build_model(self) -> PreTrainedModel:
        return load_base_model(self.model_name, self.device.type)

    def _save_weights(self, folder: Path) -> None:
        save_whole_model(self.model, self.tokenizer, folder, self.whole_weights)
