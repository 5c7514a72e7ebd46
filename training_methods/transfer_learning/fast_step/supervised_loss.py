"""Cross-entropy where there is something to learn, without ever holding the logits of all tokens.

The logits of a few hundred tokens at a time are computed, turned into loss and gradient in place, and
forgotten. The idea of taking the gradient in the forward pass is that of Liger Kernel (P.-L. Hsu et al. 2024,
arXiv:2410.10989, section 3.3), here in plain PyTorch for any device.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from training_methods.transfer_learning.fast_step.blocked_softmax import BlockedSoftmax


def supervised_loss(hidden: Tensor, weight: Tensor, bias: Tensor | None, targets: Tensor) -> Tensor:
    """The summed negative log-likelihood of `targets`, in nats, as a float32 scalar.

    Args:
        hidden: (positions, size), the last hidden states that foretell the targets.
        weight: (vocabulary, size) of the output layer.
        bias: (vocabulary,) of the output layer, where it has one.
        targets: (positions,) token ids; none is ignored.
    """
    loss: Tensor = _SupervisedLoss.apply(hidden, weight, bias, targets)
    return loss


class _SupervisedLoss(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, bias: Tensor | None, targets: Tensor) -> Tensor:
        needs_hidden, needs_weight, needs_bias, _ = ctx.needs_input_grad
        hidden_gradient = torch.empty_like(hidden) if needs_hidden else None
        weight_gradient = torch.zeros_like(weight, dtype=torch.float32) if needs_weight else None
        bias_gradient = torch.zeros_like(bias, dtype=torch.float32) if needs_bias and bias is not None else None
        loss = torch.zeros((), dtype=torch.float32, device=hidden.device)
        matrix = weight.to(hidden.dtype)
        softmax = BlockedSoftmax(len(targets), matrix, bias, hidden)
        for rows in softmax.chunks():
            losses, slope = softmax.losses_and_gradient(hidden[rows], targets[rows])
            loss += losses.sum()
            if hidden_gradient is not None:
                torch.mm(slope, matrix, out=hidden_gradient[rows])
            if weight_gradient is not None:
                weight_gradient += (slope.T @ hidden[rows]).float()
            if bias_gradient is not None:
                bias_gradient += slope.sum(0, dtype=torch.float32)
        ctx.save_for_backward(hidden_gradient, weight_gradient, bias_gradient)
        ctx.dtypes = (weight.dtype, None if bias is None else bias.dtype)
        return loss

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None, None]:
        (scale,) = gradients
        hidden, weight, bias = ctx.saved_tensors
        weight_type, bias_type = ctx.dtypes
        return (
            None if hidden is None else hidden * scale.to(hidden.dtype),
            None if weight is None else (weight * scale).to(weight_type),
            None if bias is None else (bias * scale).to(bias_type),
            None,
        )
