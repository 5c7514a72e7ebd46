"""The loss of each supervised token by itself, without ever holding the logits of all tokens.

For objectives that weigh one answer against another: what each token's gradient counts is known only once
the losses of whole answers are.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from training_methods.transfer_learning.fast_step.blocked_softmax import BlockedSoftmax


def token_losses(hidden: Tensor, weight: Tensor, bias: Tensor | None, targets: Tensor) -> Tensor:
    """The negative log-likelihood of each target, in nats, float32 of shape (positions,).

    Args:
        hidden: (positions, size), the last hidden states that foretell the targets.
        weight: (vocabulary, size) of the output layer.
        bias: (vocabulary,) of the output layer, where it has one.
        targets: (positions,) token ids; none is ignored.
    """
    losses: Tensor = _TokenLosses.apply(hidden, weight, bias, targets)
    return losses


class _TokenLosses(torch.autograd.Function):
    """Gradients by the hidden states are taken in the forward pass: each row has one factor, known later.

    Those of a trained output layer mix the rows, so its logits are computed again in the backward pass.
    """

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, bias: Tensor | None, targets: Tensor) -> Tensor:
        needs_hidden = ctx.needs_input_grad[0]
        gradient = torch.empty_like(hidden) if needs_hidden else None
        losses = torch.empty(len(targets), dtype=torch.float32, device=hidden.device)
        matrix = weight.to(hidden.dtype)
        softmax = BlockedSoftmax(len(targets), matrix, bias, hidden)
        for rows in softmax.chunks():
            losses[rows], slope = softmax.losses_and_gradient(hidden[rows], targets[rows])
            if gradient is not None:
                torch.mm(slope, matrix, out=gradient[rows])
        needs_layer = any(ctx.needs_input_grad[1:3])
        ctx.save_for_backward(gradient, targets, weight, bias, hidden if needs_layer else None)
        return losses

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None, None]:
        (factors,) = gradients  # (positions,)
        gradient, targets, weight, bias, hidden = ctx.saved_tensors
        to_hidden = None if gradient is None else gradient * factors[:, None].to(gradient.dtype)
        if hidden is None:
            return to_hidden, None, None, None
        to_weight = torch.zeros_like(weight, dtype=torch.float32)
        to_bias = None if bias is None else torch.zeros_like(bias, dtype=torch.float32)
        softmax = BlockedSoftmax(len(targets), weight.to(hidden.dtype), bias, hidden)
        for rows in softmax.chunks():
            _, slope = softmax.losses_and_gradient(hidden[rows], targets[rows])
            weighed = hidden[rows] * factors[rows, None].to(hidden.dtype)
            to_weight += (slope.T @ weighed).float()
            if to_bias is not None:
                to_bias += factors[rows] @ slope.float()
        return to_hidden, to_weight.to(weight.dtype), None if to_bias is None else to_bias.to(bias.dtype), None
