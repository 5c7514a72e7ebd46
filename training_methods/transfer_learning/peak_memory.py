"""What the most memory that a run took was made of."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

from training_methods.transfer_learning.fine_tuner import FineTuner
from training_methods.transfer_learning.run_metrics import peak_memory_bytes


def peak_by_part(tuner: FineTuner, optimizer: Any, program: int) -> dict[str, int]:
    """Bytes by part at the peak of a run that has ended; together they are the peak.

    Weights and the optimizer's state are counted tensor by tensor. What can be measured in no other way is the
    rest: activations, logits and what is needed for a moment.

    Args:
        tuner: holds the trained model.
        optimizer: of the run, with its state.
        program: what interpreter and libraries took before training.
    """
    state = sum(tensor.numel() * tensor.element_size() for tensor in _tensors(getattr(optimizer, "state", {})))
    parts = {**tuner.memory(), "optimizer": state, "program": program}
    return {**parts, "activations": max(0, peak_memory_bytes() - sum(parts.values()))}


def _tensors(value: Any) -> Iterator[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, dict):
        for one in value.values():
            yield from _tensors(one)
