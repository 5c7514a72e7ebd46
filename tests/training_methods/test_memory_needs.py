"""A model that cannot fit is refused before it is loaded, with what would fit."""

from __future__ import annotations

import pytest
import torch

from shared_utils.errors import TrainingError
from shared_utils.model_utils import load_model
from training_methods.transfer_learning.memory_needs import count_parameters, refuse_too_large
from training_methods.transfer_learning.settings import FullSettings, LoRASettings, QLoRASettings

CPU = torch.device("cpu")


def test_parameters_are_counted_without_loading_the_model(tiny_model):
    outside, inside = count_parameters(tiny_model)
    assert outside + inside == sum(weight.numel() for weight in load_model(str(tiny_model), "cpu").parameters())
    assert inside == 2 * (4 * 32 * 32 + 3 * 32 * 64)


def test_what_would_fit_is_named(tiny_model):
    outside, inside = count_parameters(tiny_model)
    room = 4 * (outside + inside)
    with pytest.raises(TrainingError, match=r"train-full needs at least .* for its 0.00 billion parameters") as caught:
        refuse_too_large(FullSettings(model_name=str(tiny_model)), CPU, room)
    assert "train-lora (about" in caught.value.hint
    assert "train-qlora (about" in caught.value.hint
    refuse_too_large(LoRASettings(model_name=str(tiny_model)), CPU, room)
    with pytest.raises(TrainingError) as caught:
        refuse_too_large(LoRASettings(model_name=str(tiny_model)), CPU, room - 1)
    assert "train-full" not in caught.value.hint
    refuse_too_large(QLoRASettings(model_name=str(tiny_model)), CPU, room - 1)
    with pytest.raises(TrainingError) as caught:
        refuse_too_large(QLoRASettings(model_name=str(tiny_model)), CPU, 1000)
    assert caught.value.hint == "use a smaller model or a larger machine"


def test_this_machine_has_room_for_a_tiny_model(tiny_model):
    refuse_too_large(FullSettings(model_name=str(tiny_model)), CPU)
