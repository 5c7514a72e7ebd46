"""Attention of records laid end to end on a GPU: one kernel over all of them, not one after another.

Which kernel is decided from facts alone (`choose_kernel`). `masked` was run on processors, where it gives the
losses and gradients of the other ways; `varlen` and `flash_attn` are written from the documentation of PyTorch
2.13 and flash-attn 2.8 and were never run on a GPU here. A try on the model itself (`FastStep`) decides whether
they are used.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

Kernel = Literal["varlen", "flash_attn", "masked"]
LARGEST_HEAD = 256  # of FlashAttention 2
FIRST_CAPABILITY = (8, 0)  # Ampere: the first GPUs with bfloat16, and those that FlashAttention 2 knows

_kernels_are_used = True


@dataclass(frozen=True)
class AttentionFacts:
    """What the choice of a kernel depends on.

    Attributes:
        is_cuda: whether the tensors lie on a CUDA device.
        is_half: whether they are bfloat16 or float16.
        capability: of the device.
        head_size: numbers in one head.
        has_dropout: whether attention weights are dropped.
        has_varlen, has_flash_attn: whether PyTorch brings the kernel, and whether flash-attn is installed.
    """

    is_cuda: bool
    is_half: bool
    capability: tuple[int, int]
    head_size: int
    has_dropout: bool
    has_varlen: bool
    has_flash_attn: bool


def choose_kernel(facts: AttentionFacts) -> Kernel:
    """The fastest kernel that computes the same: PyTorch's own FlashAttention, the package, or a mask."""
    fits = facts.is_cuda and facts.is_half and facts.capability >= FIRST_CAPABILITY
    if not fits or facts.head_size > LARGEST_HEAD or facts.head_size % 8:
        return "masked"
    if facts.has_varlen and not facts.has_dropout:  # which PyTorch's kernel does not know
        return "varlen"
    return "flash_attn" if facts.has_flash_attn else "masked"


def use_kernels(wanted: bool) -> None:
    """Allow or forbid everything but the mask, after a try on a model."""
    global _kernels_are_used
    _kernels_are_used = wanted


def attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    lengths: tuple[int, ...],
    scale: float,
    dropout: float = 0.0,
    window: int | None = None,
) -> Tensor:
    """Causal attention within each record.

    Args:
        query: (1, heads, tokens, size); key and value may have fewer heads.
        lengths: tokens of each record.
        scale: what scores are multiplied with.
        dropout: share of attention weights that are dropped.
        window: how far back a token sees, itself included; None: to the beginning of its record.

    Returns:
        (1, tokens, heads, size).
    """
    window = window if window and window < max(lengths) else None
    kernel = choose_kernel(_facts(query, dropout)) if _kernels_are_used else "masked"
    if kernel == "masked":
        mask = _block_mask(lengths, window, query.device)
        grouped = query.shape[1] != key.shape[1]
        attended = functional.scaled_dot_product_attention(
            query, key, value, attn_mask=mask, dropout_p=dropout, scale=scale, enable_gqa=grouped
        )
        return attended.transpose(1, 2)
    parts = [tensor[0].transpose(0, 1).contiguous() for tensor in (query, key, value)]  # (tokens, heads, size)
    borders, longest = _borders(lengths, query.device), max(lengths)
    # Both count the tokens before the one that looks.
    behind = -1 if window is None else window - 1
    if kernel == "varlen":
        return _varlen(parts, borders, longest, scale, behind)
    return _flash_attn(parts, borders, longest, scale, behind, dropout)


def _varlen(parts: list[Tensor], borders: Tensor, longest: int, scale: float, behind: int) -> Tensor:
    from torch.nn.attention.varlen import varlen_attn

    query, key, value = parts
    attended: Tensor = varlen_attn(
        query,
        key,
        value,
        borders,
        borders,
        longest,
        longest,
        scale=scale,
        window_size=(behind, 0),
        enable_gqa=query.shape[1] != key.shape[1],
    )
    return attended[None]


def _flash_attn(
    parts: list[Tensor], borders: Tensor, longest: int, scale: float, behind: int, dropout: float
) -> Tensor:
    from flash_attn import flash_attn_varlen_func

    attended: Tensor = flash_attn_varlen_func(
        *parts,
        borders,
        borders,
        longest,
        longest,
        dropout_p=dropout,
        softmax_scale=scale,
        causal=True,
        window_size=(behind, 0 if behind >= 0 else -1),
    )
    return attended[None]


def _facts(query: Tensor, dropout: float) -> AttentionFacts:
    is_cuda = query.device.type == "cuda"
    return AttentionFacts(
        is_cuda=is_cuda,
        is_half=query.dtype in (torch.bfloat16, torch.float16),
        capability=_capability(query.device) if is_cuda else (0, 0),
        head_size=query.shape[-1],
        has_dropout=dropout > 0,
        has_varlen=_is_there("torch.nn.attention.varlen"),
        has_flash_attn=_is_there("flash_attn"),
    )


@lru_cache
def _capability(device: torch.device) -> tuple[int, int]:
    return torch.cuda.get_device_capability(device)


@lru_cache
def _is_there(package: str) -> bool:
    return find_spec(package) is not None


@lru_cache(maxsize=2)  # of the pass that runs; every layer asks for it
def _borders(lengths: tuple[int, ...], device: torch.device) -> Tensor:
    """(records + 1,): where each record begins, and where the last one ends."""
    ends = torch.tensor([0, *lengths], dtype=torch.int32).cumsum(0, dtype=torch.int32)
    return ends.to(device)


@lru_cache(maxsize=4)  # a model may have layers with a window and layers without
def _block_mask(lengths: tuple[int, ...], window: int | None, device: torch.device) -> Tensor:
    """(tokens, tokens), true where a token may look."""
    record = torch.repeat_interleave(torch.arange(len(lengths)), torch.tensor(lengths)).to(device)
    place = torch.arange(len(record), device=device)
    distance = place[:, None] - place
    mask = (record[:, None] == record) & (distance >= 0)
    return mask if window is None else mask & (distance < window)
