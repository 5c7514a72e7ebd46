"""The time that a run will need, before it starts."""

from __future__ import annotations

import time

from training_methods.transfer_learning.dataset import EncodedDataset
from training_methods.transfer_learning.fast_step.training_step import FastStep
from training_methods.transfer_learning.fine_tuner import FineTuner
from training_methods.transfer_learning.settings import TrainingSettings


def estimate_seconds(tuner: FineTuner, dataset: EncodedDataset, training: TrainingSettings, steps: int) -> float:
    """Wall time of all steps, from one on records of middle length."""
    precision = tuner.use_precision(training.precision)
    step = tuner.step_for(training, precision)
    lengths = dataset.lengths
    order = sorted(range(len(dataset)), key=lengths.__getitem__)
    size = training.per_device_train_batch_size * training.gradient_accumulation_steps
    middle = order[max(0, len(order) // 2 - size // 2) :][:size]
    tuner.model.train()
    with step.active():
        _run(tuner, step, dataset, middle[:1])  # the first pass also pays for what is set up once
        started = time.monotonic()
        _run(tuner, step, dataset, middle)
        seconds = (time.monotonic() - started) * steps
    tuner.model.zero_grad()
    return seconds


def _run(tuner: FineTuner, step: FastStep, dataset: EncodedDataset, indices: list[int]) -> None:
    rows = tuner.objective.collate([dataset[index] for index in indices])
    batch = {name: each.to(tuner.device) for name, each in rows.items()}
    for records in step.passes(batch):
        with step.keeping_apart(records):
            tuner.objective.loss(step, tuner.model, records, batch).backward()
