"""The number format of a run: bfloat16 where this machine is faster with it, else float32."""

from __future__ import annotations

import time
from typing import Literal

import torch

from shared_utils.errors import ConfigurationError

Precision = Literal["auto", "float32", "bf16", "fp16"]
SMALLEST_SIZE = 512  # of hidden states; smaller models gain nothing, and stay the same on every machine
CLEARLY_FASTER = 1.5
TRIED_TOKENS, ROUNDS = 512, 3


def check_precision(precision: Precision, device: torch.device) -> None:
    """Refuse a number format that a device does not train in.

    Raises:
        ConfigurationError: fp16 was asked for without a CUDA device.
    """
    if precision == "fp16" and device.type != "cuda":
        raise ConfigurationError("fp16 needs a CUDA device", hint="use --bf16, or leave the precision at auto")


def resolved_precision(precision: Precision, device: torch.device, hidden_size: int) -> Precision:
    """`auto` decided for a device: on a processor by a short race of matrix products of the model's size."""
    if precision != "auto":
        return precision
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported() else "float32"
    if device.type != "cpu" or hidden_size < SMALLEST_SIZE:
        return "float32"
    wide = _seconds(torch.float32, hidden_size)
    return "bf16" if wide > CLEARLY_FASTER * _seconds(torch.bfloat16, hidden_size) else "float32"


def _seconds(dtype: torch.dtype, size: int) -> float:
    """The best of a few products as a feed-forward layer has them."""
    states, weight = torch.randn(TRIED_TOKENS, size).to(dtype), torch.randn(size, 4 * size).to(dtype)
    states @ weight  # the first one prepares
    best = float("inf")
    for _ in range(ROUNDS):
        started = time.perf_counter()
        states @ weight
        best = min(best, time.perf_counter() - started)
    return best
