"""The last layer of a language model, where hidden states become logits."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

SAME = {torch.float32: 1e-3, torch.bfloat16: 0.1, torch.float16: 0.05}  # largest difference of two logits


# Settings of models that cap or scale their logits; what they do to small numbers may be too little to be seen.
_CHANGED_BY = ("final_logit_softcapping", "logits_scaling", "logit_scale", "output_multiplier")


class OutputLayer(NamedTuple):
    """A model in two parts: `decoder(input_ids, ...)` gives hidden states, weight and bias turn them into logits."""

    causal: Any
    decoder: nn.Module
    weight: Tensor
    bias: Tensor | None


def output_weight(head: Any) -> Tensor:
    """What a head multiplies with now; peft keeps the rows of new tokens apart, and they are put in."""
    rows = getattr(head, "token_adapter", None)
    if rows is None or rows.disable_adapters:
        weight: Tensor = head.weight
    else:
        weight = rows.get_merged_weights(rows.active_adapters)
    return weight


def find_output_layer(model: nn.Module) -> OutputLayer | None:
    """The parts of a model, or None where its logits are more than a product with the last hidden states.

    Some models scale, cap or shift their logits, so a short text is tried both ways.
    """
    causal: Any = model.get_base_model() if hasattr(model, "get_base_model") else model
    try:
        head = causal.get_output_embeddings()
        decoder = causal.get_decoder()
        found = OutputLayer(causal, decoder, output_weight(head), getattr(head, "bias", None))
    except (AttributeError, NotImplementedError):
        return None
    if not isinstance(found.weight, Tensor) or decoder is causal or found.weight.ndim != 2:
        return None
    config = causal.config.get_text_config()
    if any(getattr(config, name, None) not in (None, 1, 1.0) for name in _CHANGED_BY):
        return None
    return found if _is_product(model, found) else None


@torch.no_grad()
def _is_product(model: nn.Module, found: OutputLayer) -> bool:
    was_training = model.training
    model.eval()
    ids = torch.arange(2, 8, device=found.weight.device)[None] % found.weight.shape[0]
    try:
        expected = found.causal(input_ids=ids, use_cache=False).logits.float()
        hidden = found.decoder(input_ids=ids, use_cache=False).last_hidden_state
        logits = (hidden @ found.weight.T.to(hidden.dtype)).float()
        if found.bias is not None:
            logits = logits + found.bias.float()
    except (RuntimeError, TypeError, ValueError, AttributeError):
        return False
    finally:
        model.train(was_training)
    tolerance = SAME.get(found.weight.dtype, 1e-3) * (1 + float(expected.abs().max()))
    return logits.shape == expected.shape and float((logits - expected).abs().max()) <= tolerance
