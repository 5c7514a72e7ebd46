"""What bitsandbytes 0.50.2 needs set right before 4-bit layers can be trained on a processor."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from functools import cache
from math import prod

import torch
from torch import nn

OPERATOR = "bitsandbytes::dequantize_4bit"


def keep_differentiable(model: nn.Module) -> None:
    """Keep 4-bit layers from repacking their weights when they are first evaluated on a processor.

    bitsandbytes 0.50 repacks them for processors with AVX512-BF16, and what is packed passes no gradient on,
    without an error: everything below the last layer would stop learning after the first evaluation.
    """
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False


@cache
def correct_scales() -> torch.library.Library:
    """Let 4-bit matrices of any width come back with the scales that they were stored with.

    Weights are stored in blocks of 64 that run on from row to row. For processors with AVX-512, bitsandbytes
    0.50.2 takes the scale of row r, column c from block `r * (width // 64) + c // 64`, which is the right one only
    where 64 divides the width: at a width of 32 it scales the whole matrix by its first block. Without an error,
    adapters are then trained on another base than the one they are used with. To see it: dequantise
    `quantize_4bit(torch.linspace(0.01, 1, 64)[:, None] * torch.randn(64, 96))`.

    The same kernel is asked for the same numbers as rows of one block, which it gets right. Holds for the whole
    process, and is done once.
    """
    import bitsandbytes  # noqa: F401  # registers the operator

    kernel = torch.library.get_kernel(OPERATOR, "CPU")

    def dequantize(
        keys: torch._C.DispatchKeySet,
        packed: torch.Tensor,
        scales: torch.Tensor,
        block: int,
        kind: str,
        shape: Sequence[int],
        dtype: torch.dtype,
    ) -> torch.Tensor:
        size = prod(shape)
        rows = list(shape)
        if shape[-1] % block and size % 2 == 0:
            rows = [size // block, block] if size % block == 0 else [1, size]
        values: torch.Tensor = kernel.call_boxed(keys, packed, scales, block, kind, rows, dtype)
        return values.view(list(shape))

    library = torch.library.Library("bitsandbytes", "IMPL")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # that a kernel is replaced, which is what is meant
        library.impl("dequantize_4bit", dequantize, "CPU", with_keyset=True, allow_override=True)
    return library  # the replacement lasts as long as this object
