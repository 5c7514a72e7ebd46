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

CHUNK_BYTES = 64 * 2**20  # of logits held at a time: what a processor's caches can follow
CHUNK_BYTES_GPU = 256 * 2**20  # a GPU is idle in products of few rows
ROWS_IN_CACHE = 32  # of logits that are worked on at a time
ROWS_ON_GPU = 512


def chunk_bytes(device: torch.device) -> int:
    """Bytes of logits that are held at a time."""
    return CHUNK_BYTES if device.type == "cpu" else CHUNK_BYTES_GPU


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
        most = chunk_bytes(hidden.device) // (hidden.element_size() * weight.shape[0])
        chunk = max(1, min(len(targets), most))
        loss = torch.zeros((), dtype=torch.float32, device=hidden.device)
        matrix = weight.to(hidden.dtype)
        softmax = _BlockedSoftmax(chunk, weight.shape[0], hidden)
        for start in range(0, len(targets), chunk):
            states, goals = hidden[start : start + chunk], targets[start : start + chunk]
            # `logits` becomes the gradient of the loss by the logits.
            loss_here, logits = softmax.loss_and_gradient(states, matrix, bias, goals)
            loss += loss_here
            if hidden_gradient is not None:
                torch.mm(logits, matrix, out=hidden_gradient[start : start + chunk])
            if weight_gradient is not None:
                weight_gradient += (logits.T @ states).float()
            if bias_gradient is not None:
                bias_gradient += logits.sum(0, dtype=torch.float32)
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


class _BlockedSoftmax:
    """Loss and gradient of logits that are held once; a few rows at a time are worked on in float32.

    A few rows stay in the processor's cache; all of them would go through the memory five times.

    Args:
        rows: the most positions at a time.
        vocabulary: logits of a position.
        like: the hidden states; the logits have their format and device.
    """

    def __init__(self, rows: int, vocabulary: int, like: Tensor) -> None:
        self._rows = min(rows, ROWS_IN_CACHE if like.device.type == "cpu" else ROWS_ON_GPU)
        self._logits = like.new_empty(rows, vocabulary)
        self._wide = torch.empty(self._rows, vocabulary, dtype=torch.float32, device=like.device)
        self._chances = torch.empty_like(self._wide)

    def loss_and_gradient(
        self, states: Tensor, matrix: Tensor, bias: Tensor | None, targets: Tensor
    ) -> tuple[Tensor, Tensor]:
        """The summed loss, and its gradient by the logits: the softmax, less one at the target.

        The gradient stands in memory that the next call uses again.
        """
        logits = torch.mm(states, matrix.T, out=self._logits[: len(states)])
        loss = torch.zeros((), dtype=torch.float32, device=states.device)
        for block, goals in zip(logits.split(self._rows), targets.split(self._rows), strict=True):
            wide, chances = self._wide[: len(block)].copy_(block), self._chances[: len(block)]
            if bias is not None:
                wide += bias
            torch.softmax(wide, 1, out=chances)
            # The largest chance is e^(largest logit - norm), so it gives the norm without another pass.
            norm = wide.amax(1) - chances.amax(1).log()
            places = goals[:, None]
            loss += (norm - wide.gather(1, places)[:, 0]).sum()
            chances.scatter_add_(1, places, chances.new_full(places.shape, -1.0))
            block.copy_(chances)
        return loss, logits
