"""Attention of records laid end to end: each sees itself alone, without a mask over all of them.

Registered with transformers' `AttentionInterface`, so every architecture that asks it for its attention
takes part. One call a record: on a processor that is faster than one call with a block-diagonal mask, whose
work grows with the square of all tokens.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

NAME = "packed_records"

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
    groups = query.shape[1] // key.shape[1]
    outputs: list[Tensor] = []
    parts = zip(query.split(_lengths, dim=2), key.split(_lengths, dim=2), value.split(_lengths, dim=2), strict=True)
    for queries, keys, values in parts:
        if groups > 1:
            keys, values = keys.repeat_interleave(groups, dim=1), values.repeat_interleave(groups, dim=1)
        length = queries.shape[2]
        window = _window_mask(length, sliding_window, queries) if sliding_window and sliding_window < length else None
        attended = functional.scaled_dot_product_attention(
            queries, keys, values, attn_mask=window, dropout_p=dropout, is_causal=window is None, scale=scaling
        )
        outputs.append(attended.transpose(1, 2))
    return torch.cat(outputs, dim=1), None


def _window_mask(length: int, window: int, like: Tensor) -> Tensor:
    """(length, length), true where a token may look: at itself and the `window - 1` before it."""
    distance = torch.arange(length, device=like.device)[:, None] - torch.arange(length, device=like.device)
    return (distance >= 0) & (distance < window)


def _no_mask(*_: Any, **__: Any) -> None:
    return None
