"""FullFineTuner: every weight of a model is trained."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from transformers import PreTrainedModel

from shared_utils.model_utils import load_base_model, save_whole_model
from shared_utils.vocabulary import make_room
from training_methods.transfer_learning.fine_tuner import FineTuner


class FullFineTuner(FineTuner):
    """Trains all weights; what is saved is a model of its own that needs no base.

    Args:
        model_name: hub name, model folder or `starter`.
        device, seed, chat_template, new_tokens: as for `FineTuner`.
    """

    method = "full"

    def __init__(
        self,
        model_name: str = "starter",
        *,
        device: str = "auto",
        seed: int = 42,
        chat_template: str | None = None,
        new_tokens: Sequence[str] = (),
    ) -> None:
        super().__init__(model_name, device=device, seed=seed, chat_template=chat_template, new_tokens=new_tokens)

    def _build_model(self) -> PreTrainedModel:
        model = load_base_model(self.model_name, self.device.type)
        if self.new_tokens:
            make_room(model, len(self.tokenizer))
        return model

    def _save_weights(self, folder: Path) -> None:
        save_whole_model(self.model, self.tokenizer, folder, self.whole_weights)
