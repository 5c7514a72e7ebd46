"""The memory that a run needs, by part, and whether this machine has it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import psutil
import torch

from training_methods.transfer_learning.dataset import EncodedDataset
from training_methods.transfer_learning.fast_step.blocked_softmax import chunk_bytes
from training_methods.transfer_learning.fast_step.training_step import FastStep
from training_methods.transfer_learning.fine_tuner import FineTuner
from training_methods.transfer_learning.memory_needs import free_memory
from training_methods.transfer_learning.settings import TrainingSettings

PROBE_TOKENS = 64  # activations grow with the tokens, so a short row tells those of a full pass
# Measured with `benchmarks/memory_plan.py`: gradients of activations and what the allocator holds back.
ON_THE_WAY_BACK = 1.5
LOGITS_IN_CHUNKS = 2  # the logits of a chunk, which become their gradient, and some of their rows in float32
LOADED_LATER = 140_000_000  # libraries that only training itself loads, and what they keep


@dataclass(frozen=True)
class MemoryPlan:
    """Bytes by part at the peak of a run, and the bytes that it may take."""

    parts: dict[str, int]
    available: int
    batch_size: int
    longest: int  # tokens of the longest row
    tokens: int  # in the largest forward pass
    tokens_of_a_record: int  # that one record of the batch size allows a pass

    @property
    def total(self) -> int:
        """All parts together."""
        return sum(self.parts.values())

    @property
    def fits(self) -> bool:
        """Whether the machine has that much."""
        return self.total <= self.available

    def batch_size_that_fits(self) -> int | None:
        """The largest batch that does; None when one row alone is too much."""
        fixed = self.total - self.parts["activations"] - self.parts["logits"]
        of_a_token = (self.parts["activations"] + self.parts["logits"]) / self.tokens
        fitting = (self.available - fixed) / max(of_a_token, 1e-9)
        size = math.floor(fitting / self.tokens_of_a_record + 1e-9)
        return size if size >= 1 and fitting >= self.longest else None


def largest_pass(lengths: Sequence[int], training: TrainingSettings, is_packed: bool) -> int:
    """Tokens of the largest forward pass that a run can come to.

    A packed one is filled from the records of its optimizer step; a padded one is as wide as its longest record.
    """
    size = training.per_device_train_batch_size
    longest = sorted(lengths, reverse=True)[: size * training.gradient_accumulation_steps]
    if is_packed:
        return max(longest[0], min(sum(longest), size * training.max_length))
    return longest[0] * min(size, len(longest))


def plan_memory(tuner: FineTuner, dataset: EncodedDataset, training: TrainingSettings) -> MemoryPlan:
    """The need of a loaded model, with activations taken from a short row and scaled to the largest pass."""
    longest = max(dataset.lengths)
    step = tuner.step_for(training, tuner.use_precision(training.precision))
    tokens = largest_pass(dataset.lengths, training, step.is_packed)
    probe = min(PROBE_TOKENS, longest)
    kept, logits = _saved_by(tuner, step, probe)
    if step.takes_logits_in_chunks:
        logits = min(logits, LOGITS_IN_CHUNKS * chunk_bytes(tuner.device) * probe // tokens)
    activations = int(kept * tokens / probe * ON_THE_WAY_BACK)
    if training.gradient_checkpointing:
        config = tuner.model.config.get_text_config()
        inputs = config.num_hidden_layers * tokens * config.hidden_size * 4
        activations = inputs + activations // config.num_hidden_layers
    memory = tuner.memory()
    on_gpu = tuner.device.type == "cuda"
    held = torch.cuda.memory_allocated() if on_gpu else psutil.Process().memory_info().rss
    parts = {
        **memory,
        "activations": activations,
        "logits": logits * tokens // probe,
        "program": max(0, held - memory["weights"]) + LOADED_LATER,
    }
    free = free_memory(tuner.device)
    a_record = training.max_length if step.is_packed else longest
    return MemoryPlan(parts, free + held, training.per_device_train_batch_size, longest, tokens, a_record)


def _saved_by(tuner: FineTuner, step: FastStep, tokens: int) -> tuple[int, int]:
    """Bytes that a forward pass over so many tokens keeps for the backward pass: within the model, at its logits."""
    model = tuner.model
    vocabulary = int(model.config.get_text_config().vocab_size)
    weights = {weight.untyped_storage().data_ptr() for weight in model.parameters()}
    kept: dict[int, tuple[torch.Tensor, bool]] = {}  # holding the tensors keeps their addresses apart

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        address = tensor.untyped_storage().data_ptr()
        if address not in weights:
            kept[address] = tensor, tensor.ndim > 0 and tensor.shape[-1] == vocabulary
        return tensor

    ids = torch.zeros(1, tokens, dtype=torch.long, device=tuner.device)
    parts = tokens // step.rows_together
    lengths = [parts] * (step.rows_together - 1) + [tokens - parts * (step.rows_together - 1)]
    batch = {"input_ids": ids, "labels": ids, "lengths": torch.tensor(lengths)}
    was_training = model.training
    with torch.random.fork_rng(), torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        model.train()
        with step.active():
            for records in step.passes(batch):
                with step.keeping_apart(records):
                    step.loss(model, records)
    model.train(was_training)
    at_logits = sum(tensor.untyped_storage().nbytes() for tensor, is_logits in kept.values() if is_logits)
    within = sum(tensor.untyped_storage().nbytes() for tensor, is_logits in kept.values() if not is_logits)
    # The logits themselves stand beside their float32 copy and its gradient.
    return within, at_logits + 2 * 4 * tokens * vocabulary
