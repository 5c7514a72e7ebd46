"""The time that a run will need, before it starts."""

from __future__ import annotations

import time

from training_methods.transfer_learning.dataset import Collator, EncodedDataset
from training_methods.transfer_learning.fine_tuner import FineTuner
from training_methods.transfer_learning.settings import TrainingSettings


def estimate_seconds(tuner: FineTuner, dataset: EncodedDataset, training: TrainingSettings, steps: int) -> float:
    """Wall time of all steps, from one batch of middle length."""
    collator = Collator(tuner.tokenizer.pad_token_id)
    lengths = dataset.lengths
    order = sorted(range(len(dataset)), key=lengths.__getitem__)
    size = training.per_device_train_batch_size
    middle = order[max(0, len(order) // 2 - size // 2) :][:size]
    tuner.model.train()
    _pass(tuner, collator, dataset, middle[:1])  # the first pass also pays for what is set up once
    started = time.monotonic()
    _pass(tuner, collator, dataset, middle)
    seconds = (time.monotonic() - started) * steps * training.gradient_accumulation_steps
    tuner.model.zero_grad()
    return seconds


def _pass(tuner: FineTuner, collator: Collator, dataset: EncodedDataset, indices: list[int]) -> None:
    batch = collator([dataset[index] for index in indices])
    batch.pop("record_index")
    tuner.model(**{name: tensor.to(tuner.device) for name, tensor in batch.items()}).loss.backward()
