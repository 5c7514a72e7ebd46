"""A linear layer with its LoRA adapter as one function: fewer passes over memory, less kept for the backward pass.

The value and the gradients are those of peft's layer: y = x W' + b + s (d(x) A') B', where d is the dropout.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Iterator
from typing import Any

import torch
from peft.tuners.lora.layer import Linear as LoraLinear
from torch import Tensor, nn
from torch.autograd.function import once_differentiable


class _LoraFunction(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, dropped: Tensor | None, weight: Tensor, bias: Tensor | None, a: Tensor, b: Tensor, s: float
    ) -> Tensor:
        flat = x.reshape(-1, x.shape[-1])
        seen = flat if dropped is None else dropped.reshape(-1, x.shape[-1])
        low = seen @ a.T.to(flat.dtype)  # (tokens, rank)
        y = flat @ weight.T if bias is None else torch.addmm(bias, flat, weight.T)
        y.addmm_(low, b.T.to(flat.dtype), alpha=s)
        ctx.save_for_backward(seen, weight, a, b, low)
        ctx.scale, ctx.shape, ctx.has_dropout = s, x.shape, dropped is not None
        return y.view(*x.shape[:-1], -1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        seen, weight, a, b, low = ctx.saved_tensors
        dy = gradients[0].reshape(-1, gradients[0].shape[-1])
        through = dy @ (b.to(dy.dtype) * ctx.scale)  # (tokens, rank)
        gradient_b = (dy.T @ low).to(b.dtype) * ctx.scale
        gradient_a = (through.T @ seen).to(a.dtype)
        gradient_x = gradient_dropped = None
        if ctx.needs_input_grad[0]:
            gradient_x = dy @ weight
            if not ctx.has_dropout:
                gradient_x.addmm_(through, a.to(dy.dtype))
            gradient_x = gradient_x.view(ctx.shape)
        if ctx.has_dropout and ctx.needs_input_grad[1]:
            gradient_dropped = (through @ a.to(dy.dtype)).view(ctx.shape)
        return gradient_x, gradient_dropped, None, None, gradient_a, gradient_b, None


def fuse_lora_layers(model: nn.Module) -> Callable[[], None]:
    """Let the plain LoRA layers of a model run as one function; the call that puts them back."""
    layers = list(_plain_layers(model))
    for layer in layers:
        layer.forward = types.MethodType(_forward, layer)

    def restore() -> None:
        for layer in layers:
            del layer.__dict__["forward"]

    return restore


def _plain_layers(model: nn.Module) -> Iterator[LoraLinear]:
    for module in model.modules():
        if type(module) is LoraLinear and _is_plain(module):
            yield module


def _is_plain(layer: LoraLinear) -> bool:
    """Whether a layer is LoRA as first published: one adapter, no variant, no bias of its own, no quantisation."""
    base = layer.get_base_layer()
    adapters = layer.active_adapters
    if type(base) is not nn.Linear or len(adapters) != 1 or adapters[0] not in layer.lora_A:
        return False
    name = adapters[0]
    has_variant = bool(getattr(layer, "lora_variant", {})) or bool(getattr(layer, "use_dora", {}).get(name))
    has_bias = layer.lora_B[name].bias is not None or layer.lora_A[name].bias is not None
    return not (has_variant or has_bias or layer.merged or base.weight.requires_grad)


def _forward(self: LoraLinear, x: Tensor, *_: Any, **__: Any) -> Tensor:
    if self.disable_adapters or self.merged:
        return LoraLinear.forward(self, x)
    name = self.active_adapters[0]
    dropout = self.lora_dropout[name]
    dropped = dropout(x) if self.training and getattr(dropout, "p", 0.0) > 0 else None
    base = self.get_base_layer()
    output: Tensor = _LoraFunction.apply(
        x,
        dropped,
        base.weight,
        base.bias,
        self.lora_A[name].weight,
        self.lora_B[name].weight,
        float(self.scaling[name]),
    )
    return output
