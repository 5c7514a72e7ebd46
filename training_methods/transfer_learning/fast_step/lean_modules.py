"""Norms and gated activations that keep less for the backward pass, put in where they give the same values."""

from __future__ import annotations

import types
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

SAME = 1e-5  # largest difference that counts as equal, in float32


class _RMSNorm(torch.autograd.Function):
    """B. Zhang, R. Sennrich, Root Mean Square Layer Normalization, 2019; keeps its input and one number a token."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, epsilon: float) -> Tensor:
        wide = x.float()
        scale = torch.rsqrt(wide.square().mean(-1, keepdim=True) + epsilon)
        ctx.save_for_backward(x, weight, scale)
        return (wide * scale * weight.float()).to(x.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        x, weight, scale = ctx.saved_tensors
        gradient = gradients[0].float() * weight.float()
        normal = x.float() * scale
        return (scale * (gradient - normal * (gradient * normal).mean(-1, keepdim=True))).to(x.dtype), None, None


class _GatedSiLU(torch.autograd.Function):
    """silu(gate) * up (N. Shazeer, GLU Variants Improve Transformer, 2020); keeps its two inputs alone."""

    @staticmethod
    def forward(ctx: Any, gate: Tensor, up: Tensor) -> Tensor:
        ctx.save_for_backward(gate, up)
        return functional.silu(gate).mul_(up)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor]:
        gate, up = ctx.saved_tensors
        to_gate = torch.ops.aten.silu_backward(gradients[0] * up, gate)
        return to_gate, functional.silu(gate).mul_(gradients[0])


def lean_modules(model: nn.Module) -> Callable[[], None]:
    """Put the lean forms into a model where they fit; the call that takes them out again."""
    changed: list[nn.Module] = []
    verdicts: dict[type[nn.Module], bool] = {}
    for module in model.modules():
        forward = _lean_form(module)
        if forward is None:
            continue
        kind = type(module)
        if kind not in verdicts:
            verdicts[kind] = _gives_the_same(module, forward)
        if verdicts[kind]:
            module.forward = types.MethodType(forward, module)
            changed.append(module)

    def restore() -> None:
        for module in changed:
            del module.__dict__["forward"]

    return restore


def _lean_form(module: nn.Module) -> Callable[..., Tensor] | None:
    weight = getattr(module, "weight", None)
    if type(module).__name__.endswith("RMSNorm") and hasattr(module, "variance_epsilon"):
        return _norm_forward if isinstance(weight, Tensor) and not weight.requires_grad else None
    if all(hasattr(module, name) for name in ("gate_proj", "up_proj", "down_proj", "act_fn")):
        return _mlp_forward
    return None


def _norm_forward(self: Any, hidden_states: Tensor) -> Tensor:
    output: Tensor = _RMSNorm.apply(hidden_states, self.weight, self.variance_epsilon)
    return output


def _mlp_forward(self: Any, x: Tensor) -> Tensor:
    output: Tensor = self.down_proj(_GatedSiLU.apply(self.gate_proj(x), self.up_proj(x)))
    return output


@torch.no_grad()
def _gives_the_same(module: nn.Module, forward: Callable[..., Tensor]) -> bool:
    """Whether the lean form computes what the module computes, by trying: other models name other things so."""
    weight = getattr(module, "weight", None)
    if weight is None:
        weight = next(module.parameters())
        size = getattr(module, "hidden_size", weight.shape[-1])
    else:
        size = weight.shape[-1]
    if not all(each.is_floating_point() for each in module.parameters()):
        return False  # quantised weights
    was_training = module.training
    module.eval()
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(3, size, generator=generator).to(weight.device, weight.dtype)
    try:
        expected, found = module(x), forward(module, x)
    except (RuntimeError, TypeError, AttributeError):
        return False
    finally:
        module.train(was_training)
    tolerance = SAME if weight.dtype == torch.float32 else 0.02
    return bool((expected.float() - found.float()).abs().max() <= tolerance * (1 + expected.float().abs().max()))
