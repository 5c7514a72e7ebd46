"""Attention of records laid end to end: each sees itself alone, without a mask over all of them.

Registered with transformers' `AttentionInterface`, so every architecture that asks it for its attention
takes part. One call a record: on a processor that is faster than one call with a block-diagonal mask, whose
work grows with the square of all tokens. On GPUs, where each call costs, see `gpu_attention.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from itertools import pairwise
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

from training_methods.transfer_learning.fast_step import gpu_attention

NAME = "packed_records"
LONGEST_EXPLICIT = 2048  # tokens of a record; beyond, the library is as fast
QUERIES_TOGETHER = 128  # measured: half of it and twice as many are slower

# The forward pass of a model hands no lengths down to its layers, and recomputed layers run when it is over.
_lengths: list[int] = []


def register() -> None:
    """Make the attention known to transformers; may be called any number of times."""
    from transformers import AttentionInterface
    from transformers.masking_utils import AttentionMaskInterface

    AttentionInterface.register(NAME, packed_attention)
    AttentionMaskInterface.register(NAME, _no_mask)


@contextmanager
def records_of_lengths(config: Any, lengths: tuple[int, ...]) -> Iterator[None]:
    """While this lasts, the model with this configuration attends within records of these lengths."""
    before = config._attn_implementation
    config._attn_implementation = NAME
    _lengths[:] = lengths
    try:
        yield
    finally:
        config._attn_implementation = before
        _lengths.clear()


def packed_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    sliding_window: int | None = None,
    softcap: float | None = None,
    **_: Any,
) -> tuple[Tensor, None]:
    """Causal attention within each record.

    Args:
        module: the layer; only asked whether it trains.
        query: (1, heads, tokens, size); key and value may have fewer heads (grouped-query attention).
        sliding_window: how far back a token sees; None: to the beginning of its record.
        softcap: not known here.

    Returns:
        (1, tokens, heads, size), and None for the weights.

    Raises:
        ValueError: the model caps its attention.
    """
    if softcap is not None:
        raise ValueError("attention with a cap is not known here")
    scale = scaling if scaling is not None else query.shape[-1] ** -0.5
    query, key, value = (_in_autocast_format(one) for one in (query, key, value))
    with torch.autocast(query.device.type, enabled=False):
        return _attend(query, key, value, scale, dropout, sliding_window), None


def _in_autocast_format(tensor: Tensor) -> Tensor:
    """Autocast leaves queries and keys in float32 where they were turned, beside values in 16 bits."""
    device = tensor.device.type
    return tensor.to(torch.get_autocast_dtype(device)) if torch.is_autocast_enabled(device) else tensor


def _attend(
    query: Tensor, key: Tensor, value: Tensor, scale: float, dropout: float, sliding_window: int | None
) -> Tensor:
    if query.device.type != "cpu":
        return gpu_attention.attend(query, key, value, tuple(_lengths), scale, dropout, sliding_window)
    parts = zip(query.split(_lengths, dim=2), key.split(_lengths, dim=2), value.split(_lengths, dim=2), strict=True)
    outputs: list[Tensor] = []
    for queries, keys, values in parts:
        if queries.shape[2] <= LONGEST_EXPLICIT and not dropout:
            outputs.append(_RecordAttention.apply(queries[0], keys[0], values[0], scale, sliding_window)[None])
        else:
            outputs.append(_library_attention(queries, keys, values, scale, dropout, sliding_window))
    return torch.cat(outputs, dim=1)


class _RecordAttention(torch.autograd.Function):
    """Attention of one short record as matrix products; the weights are computed again in the backward pass.

    The queries of all heads that share keys stand in the rows of one product. They are taken in blocks, and each
    block meets only the keys that it may see: almost half of the work of a long record. On a processor the backward
    pass of the library's attention takes several times as long.
    """

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor, scale: float, window: int | None) -> Tensor:
        heads, length, size = query.shape
        output = query.new_empty(length, heads, size)
        for block in _blocks(query, key, scale, window):
            attended = torch.bmm(block.weights, value[:, block.keys])
            output[block.rows] = attended.view(heads, -1, size).transpose(0, 1)
        ctx.save_for_backward(query, key, value)
        ctx.scale, ctx.window = scale, window
        return output

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor, None, None]:
        query, key, value = ctx.saved_tensors
        heads, _, size = query.shape
        outer = gradients[0].transpose(0, 1)
        to_query = torch.empty_like(query)
        to_key, to_value = torch.zeros_like(key), torch.zeros_like(value)
        for block in _blocks(query, key, ctx.scale, ctx.window):
            rows, keys = block.rows, block.keys
            upper = outer[:, rows].reshape(block.queries.shape)
            to_value[:, keys].baddbmm_(block.weights.transpose(1, 2), upper)
            slope = torch.bmm(upper, value[:, keys].transpose(1, 2))
            to_scores = torch.ops.aten._softmax_backward_data(slope, block.weights, -1, slope.dtype)
            to_query[:, rows] = torch.bmm(to_scores, key[:, keys]).view(heads, -1, size)
            to_key[:, keys].baddbmm_(to_scores.transpose(1, 2), block.queries)
        return to_query.mul_(ctx.scale), to_key.mul_(ctx.scale), to_value, None, None


class _Block(NamedTuple):
    """Queries that are taken together, the keys that they see, and the weights of these."""

    rows: slice
    keys: slice
    queries: Tensor  # (key heads, heads per key head * rows, size)
    weights: Tensor  # (key heads, heads per key head * rows, keys)


def _blocks(query: Tensor, key: Tensor, scale: float, window: int | None) -> Iterator[_Block]:
    heads, length, size = query.shape
    groups = heads // key.shape[0]
    # The last block takes what would be less than half a block with it.
    starts = range(0, max(1, length - QUERIES_TOGETHER // 2), QUERIES_TOGETHER)
    for start, stop in pairwise([*starts, length]):
        rows = slice(start, stop)
        keys = slice(max(0, start - window + 1) if window else 0, stop)
        queries = query[:, rows].reshape(key.shape[0], -1, size)
        mask = _causal_mask(stop - start, start - keys.start, groups, window, query.dtype, query.device)
        scores = torch.baddbmm(mask, queries, key[:, keys].transpose(1, 2), alpha=scale)
        yield _Block(rows, keys, queries, torch.softmax(scores, -1))


@lru_cache(maxsize=256)  # a pass holds few lengths, and every layer asks for all of them
def _causal_mask(
    rows: int, before: int, groups: int, window: int | None, dtype: torch.dtype, device: torch.device
) -> Tensor:
    """(1, groups * rows, before + rows): 0 where a token may look, else minus infinity.

    Args:
        rows: tokens that look; they are the last of those that are looked at.
        before: tokens that come before the first of them.
    """
    distance = before + torch.arange(rows, device=device)[:, None] - torch.arange(before + rows, device=device)
    allowed = (distance >= 0) & (distance < (window or before + rows))
    mask = torch.zeros(rows, before + rows, dtype=dtype, device=device).masked_fill_(~allowed, float("-inf"))
    return mask.repeat(groups, 1)[None]


def _library_attention(
    query: Tensor, key: Tensor, value: Tensor, scale: float, dropout: float, sliding_window: int | None
) -> Tensor:
    """The same by PyTorch's own function, which keeps no weights: for long records, and for dropout."""
    groups, length = query.shape[1] // key.shape[1], query.shape[2]
    if groups > 1:
        key, value = key.repeat_interleave(groups, dim=1), value.repeat_interleave(groups, dim=1)
    window = _window_mask(length, sliding_window, query) if sliding_window and sliding_window < length else None
    attended = functional.scaled_dot_product_attention(
        query, key, value, attn_mask=window, dropout_p=dropout, is_causal=window is None, scale=scale
    )
    return attended.transpose(1, 2)


def _window_mask(length: int, window: int, like: Tensor) -> Tensor:
    """(length, length), true where a token may look: at itself and the `window - 1` before it."""
    distance = torch.arange(length, device=like.device)[:, None] - torch.arange(length, device=like.device)
    return (distance >= 0) & (distance < window)


def _no_mask(*_: Any, **__: Any) -> None:
    return None
