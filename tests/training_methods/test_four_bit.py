"""What keeps 4-bit training on a processor right: the scales of narrow matrices."""

from __future__ import annotations

import pytest
import torch

from tests.training_methods.test_methods import qlora


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
