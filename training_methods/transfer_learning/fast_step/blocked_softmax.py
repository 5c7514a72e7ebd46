"""Logits of a few hundred positions at a time, turned into losses and gradients in place, and forgotten."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

CHUNK_BYTES = 64 * 2**20  # of logits held at a time: what a processor's caches can follow
CHUNK_BYTES_GPU = 256 * 2**20  # a GPU is idle in products of few rows
ROWS_IN_CACHE = 32  # of logits that are worked on at a time
ROWS_ON_GPU = 512


def chunk_bytes(device: torch.device) -> int:
    """Bytes of logits that are held at a time."""
    return CHUNK_BYTES if device.type == "cpu" else CHUNK_BYTES_GPU


class BlockedSoftmax:
    """Losses of targets, and their gradients by the logits, which are held once and for a part of the positions.

    Of these, a few rows at a time are worked on in float32: they stay in the processor's cache, where all of
    them would go through the memory five times.

    Args:
        positions: how many there are in all.
        matrix: (vocabulary, size) of the output layer.
        bias: (vocabulary,) of the output layer, where it has one.
        like: hidden states; the logits have their format and device.
    """

    def __init__(self, positions: int, matrix: Tensor, bias: Tensor | None, like: Tensor) -> None:
        vocabulary = matrix.shape[0]
        most = chunk_bytes(like.device) // (like.element_size() * vocabulary)
        self._positions = positions
        self._chunk = max(1, min(positions, most))
        self._rows = min(self._chunk, ROWS_IN_CACHE if like.device.type == "cpu" else ROWS_ON_GPU)
        self._matrix, self._bias = matrix, bias
        self._logits = like.new_empty(self._chunk, vocabulary)
        self._wide = torch.empty(self._rows, vocabulary, dtype=torch.float32, device=like.device)
        self._chances = torch.empty_like(self._wide)

    def chunks(self) -> Iterator[slice]:
        """The positions to ask for at a time."""
        for start in range(0, self._positions, self._chunk):
            yield slice(start, start + self._chunk)

    def losses_and_gradient(self, states: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """The loss of each target, float32, and the gradients by the logits: the softmax, less one at the target.

        The gradients stand in memory that the next call uses again.

        Args:
            states: (rows, size), the hidden states of one chunk.
            targets: (rows,) token ids.
        """
        logits = torch.mm(states, self._matrix.T, out=self._logits[: len(states)])
        losses = torch.empty(len(states), dtype=torch.float32, device=states.device)
        blocks = zip(logits.split(self._rows), targets.split(self._rows), losses.split(self._rows), strict=True)
        for block, goals, losses_here in blocks:
            wide, chances = self._wide[: len(block)].copy_(block), self._chances[: len(block)]
            if self._bias is not None:
                wide += self._bias
            torch.softmax(wide, 1, out=chances)
            # The largest chance is e^(largest logit - norm), so it gives the norm without another pass.
            norm = wide.amax(1) - chances.amax(1).log()
            places = goals[:, None]
            torch.sub(norm, wide.gather(1, places)[:, 0], out=losses_here)
            chances.scatter_add_(1, places, chances.new_full(places.shape, -1.0))
            block.copy_(chances)
        return losses, logits
