"""What keeps 4-bit training on a processor right: scales of narrow matrices, and a second try where a pass gave no number."""

from __future__ import annotations

import logging

import pytest
import torch

from shared_utils.errors import TrainingError
from tests.training_methods.test_methods import lora, qlora, train, trained
from training_methods.transfer_learning.models.qlora_model import QLoRAFineTuner, gives_numbers


@pytest.mark.parametrize("quant_type", ["nf4", "fp4"])
@pytest.mark.parametrize("shape", [(32, 32), (5, 48), (64, 80), (40, 96), (7, 64), (9, 192)])
def test_weights_in_four_bits_come_back_as_the_nearest_values_of_their_own_block(tiny_model, shape, quant_type):
    """By hand: each block of 64 is scaled to its largest weight, and each weight goes to the nearest of 16 values."""
    qlora(tiny_model)
    from bitsandbytes.functional import dequantize_4bit, get_4bit_type, quantize_4bit

    weight = torch.randn(shape, generator=torch.Generator().manual_seed(0)) * torch.linspace(0.01, 1, shape[0])[:, None]
    packed, state = quantize_4bit(weight, quant_type=quant_type)
    values = get_4bit_type(quant_type, device="cpu")
    expected = []
    for block in weight.flatten().split(64):
        scale = block.abs().max()
        nearest = (block[:, None] / scale - values).abs().argmin(1)
        expected.append(values[nearest] * scale)
    torch.testing.assert_close(dequantize_4bit(packed, state), torch.cat(expected).view(shape), rtol=1e-6, atol=1e-7)


def disturb(tuner, times: int) -> None:
    """The first passes through the last layer that training makes give no number."""
    left = [times]

    def spoil(module, inputs, output):
        if module.training and torch.is_grad_enabled() and left[0]:
            left[0] -= 1
            return output * float("nan")
        return None

    tuner.model.base_model.model.model.layers[-1].mlp.down_proj.register_forward_hook(spoil)


@pytest.mark.slow
def test_a_pass_that_gave_no_number_is_computed_again_and_told(tiny_model, tmp_path, caplog):
    plain, disturbed = qlora(tiny_model), qlora(tiny_model)
    train(plain, tmp_path / "a")
    disturb(disturbed, 1)
    with caplog.at_level(logging.WARNING):
        train(disturbed, tmp_path / "b")
    first, second = trained(plain), trained(disturbed)
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert [record.message for record in caplog.records if "computed again" in record.message] == [
        "step 1: the loss was not finite; computed again with the same records and the same random numbers "
        "everything is, and the run goes on with that"
    ]


@pytest.mark.slow
def test_a_gradient_that_is_no_number_counts_as_well(tiny_model, tmp_path, caplog):
    plain, disturbed = qlora(tiny_model), qlora(tiny_model)
    train(plain, tmp_path / "a")
    weight = next(
        weight for name, weight in disturbed.model.named_parameters() if "layers.0.mlp.up_proj.lora_B" in name
    )
    left = [1]

    def spoil(gradient):
        left[0] -= 1
        return gradient * float("nan") if left[0] == 0 else gradient

    weight.register_hook(spoil)
    with caplog.at_level(logging.WARNING):
        train(disturbed, tmp_path / "b")
    first, second = trained(plain), trained(disturbed)
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert "step 1: the gradient of base_model.model.model.layers.0.mlp.up_proj.lora_B" in caplog.text


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "times"), [(qlora, 2), (lora, 1)])
def test_a_loss_that_stays_no_number_stops_the_run(tiny_model, tmp_path, caplog, kind, times):
    """Twice in 4 bits; in full precision nothing is tried again."""
    tuner = kind(tiny_model)
    disturb(tuner, times)
    with pytest.raises(TrainingError, match="the loss became nan at step 1"):
        train(tuner, tmp_path)
    assert "computed again" not in caplog.text


def test_a_base_that_gives_no_numbers_is_loaded_once_more(tiny_model, monkeypatch, caplog):
    expected = qlora(tiny_model)
    build = QLoRAFineTuner._quantised_with_adapter
    left = [1]

    def spoilt(self):
        model = build(self)
        if left[0]:
            left[0] -= 1
            torch.nn.init.constant_(model.get_input_embeddings().weight, float("nan"))
        return model

    monkeypatch.setattr(QLoRAFineTuner, "_quantised_with_adapter", spoilt)
    found = qlora(tiny_model)
    assert "quantised once more" in caplog.text
    for (name, one), other in zip(found.model.named_parameters(), expected.model.parameters(), strict=True):
        assert torch.equal(one, other), name


def test_a_base_that_breaks_before_training_is_replaced(tiny_model):
    tuner = qlora(tiny_model)
    torch.nn.init.constant_(tuner.model.get_input_embeddings().weight, float("nan"))
    tuner._ensure_sound()
    assert gives_numbers(tuner.model)
