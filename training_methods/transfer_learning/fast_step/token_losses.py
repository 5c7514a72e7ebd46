"""The loss of each supervised token by itself, without ever holding the logits of all tokens.

For objectives that weigh one answer against another: what each token's gradient counts is known only once
the losses of whole answers are.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from training_methods.transfer_learning.fast_step import supervised_loss


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
        for rows in _chunks(len(targets), weight):
            logits = _logits(hidden[rows], matrix, bias)
            norm = logits.logsumexp(1)
            losses[rows] = norm - logits.gather(1, targets[rows, None])[:, 0]
            if gradient is not None:
                torch.mm(_slope(logits, norm, targets[rows]).to(hidden.dtype), matrix, out=gradient[rows])
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
        matrix = weight.to(hidden.dtype)
        for rows in _chunks(len(targets), weight):
            logits = _logits(hidden[rows], matrix, bias)
            slope = _slope(logits, logits.logsumexp(1), targets[rows]).mul_(factors[rows, None])
            to_weight += (slope.to(hidden.dtype).T @ hidden[rows]).float()
            if to_bias is not None:
                to_bias += slope.sum(0)
        return to_hidden, to_weight.to(weight.dtype), None if to_bias is None else to_bias.to(bias.dtype), None


def _chunks(positions: int, weight: Tensor) -> list[slice]:
    size = max(1, supervised_loss.CHUNK_BYTES // (4 * weight.shape[0]))
    return [slice(start, start + size) for start in range(0, positions, size)]


def _logits(hidden: Tensor, matrix: Tensor, bias: Tensor | None) -> Tensor:
    logits = (hidden @ matrix.T).float()
    return logits if bias is None else logits + bias


def _slope(logits: Tensor, norm: Tensor, targets: Tensor) -> Tensor:
    """The gradient of the losses by the logits, in their place: the softmax, less one at the target."""
    logits.sub_(norm[:, None]).exp_()
    logits[torch.arange(len(targets), device=targets.device), targets] -= 1
    return logits
