"""What a run will need, before it starts."""

from __future__ import annotations

import time
from dataclasses import dataclass

from training_methods.transfer_learning.dataset import Collator, EncodedDataset
from training_methods.transfer_learning.fine_tuner import FineTuner
from training_methods.transfer_learning.run_trainer import peak_memory_bytes
from training_methods.transfer_learning.settings import TrainingSettings


@dataclass(frozen=True)
class Estimate:
    """Memory in bytes and wall time in seconds."""

    memory_bytes: int
    seconds: float


def estimate(tuner: FineTuner, dataset: EncodedDataset, training: TrainingSettings, steps: int) -> Estimate:
    """Run the longest batch once for the memory, and one of middle length for the time."""
    collator = Collator(tuner.tokenizer.pad_token_id)
    order = sorted(range(len(dataset)), key=lambda index: len(dataset.rows[index].input_ids))
    size = training.per_device_train_batch_size
    longest = order[-size:]
    middle = order[max(0, len(order) // 2 - size // 2) :][:size]
    tuner.model.train()
    _pass(tuner, collator, dataset, longest)
    memory = peak_memory_bytes() + tuner.memory()["optimizer"]
    started = time.monotonic()
    _pass(tuner, collator, dataset, middle)
    seconds = (time.monotonic() - started) * steps * training.gradient_accumulation_steps
    tuner.model.zero_grad()
    return Estimate(memory, seconds)


def _pass(tuner: FineTuner, collator: Collator, dataset: EncodedDataset, indices: list[int]) -> None:
    batch = collator([dataset[index] for index in indices])
    batch.pop("record_index")
    tuner.model(**{name: tensor.to(tuner.device) for name, tensor in batch.items()}).loss.backward()
