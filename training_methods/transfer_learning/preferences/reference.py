"""Log-likelihoods of whole answers: of the model as it is, and of the reference, which is its adapter switched off.

The reference does not change while the adapter is trained, so it is asked once, before training, and its answers
are kept beside the encoded pairs; a continued run reads the very same numbers.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from shared_utils.file_utils import TEMPORARY_PREFIX
from training_methods.transfer_learning.fast_step.packing import IGNORED, PackedRecords
from training_methods.transfer_learning.fast_step.training_step import FastStep, Pass
from training_methods.transfer_learning.preferences.pair_dataset import PairCollator, PairDataset

PAIRS_TOGETHER = 16  # sorted by length and handed to the step at once; it divides them into passes


def answer_log_likelihoods(step: FastStep, model: torch.nn.Module, records: Pass) -> tuple[Tensor, Tensor]:
    """Summed log-probabilities of the answers of a pass, in nats, and their tokens; both of shape (pairs, 2).

    To be called within `step.active()` and `step.keeping_apart(records)`.
    """
    if isinstance(records, PackedRecords):
        lengths = torch.tensor(records.lengths, device=records.targets.device)
        row_of_place = torch.arange(len(lengths), device=lengths.device).repeat_interleave(lengths)
        row_of_token = row_of_place[records.targets[0] != IGNORED]
        rows = len(lengths)
    else:
        row_of_token = (records["targets"] != IGNORED).nonzero()[:, 0]
        rows = len(records["targets"])
    losses = step.token_losses(model, records)
    sums = torch.zeros(rows, device=losses.device, dtype=losses.dtype).index_add(0, row_of_token, losses)
    tokens = torch.bincount(row_of_token, minlength=rows)
    return -sums.view(-1, 2), tokens.view(-1, 2)


def ask_reference(
    step: FastStep,
    dataset: PairDataset,
    indices: Sequence[int] | None = None,
    advance: Callable[[int], None] | None = None,
) -> None:
    """Fill in `dataset.reference` for these pairs (None: all), from the file of an earlier time or by asking.

    Which pairs share a pass depends on the pairs alone, so asking again gives the same numbers.
    """
    wanted = sorted(range(len(dataset)) if indices is None else set(indices))
    if dataset.reference_of != _base_of(step):  # pairs may be learnt from on another base, too
        dataset.reference = torch.full_like(dataset.reference, float("nan"))
        dataset.reference_of = _base_of(step)
    if not dataset.reference[wanted].isnan().any():
        return
    path = dataset.folder and dataset.folder.with_name(f"reference-{_fingerprint(step, dataset, wanted)}.safetensors")
    if path and path.is_file():
        try:
            kept = load_file(path)["reference"]
        except (SafetensorError, KeyError, OSError):
            kept = torch.empty(0)  # damaged; it is written again
        if kept.shape == dataset.reference.shape and not kept[wanted].isnan().any():
            dataset.reference = kept
            return
    with adapter_off(step.model):
        for members, found, _ in log_likelihoods(step, dataset, wanted):
            dataset.reference[members] = found
            if advance:
                advance(len(members))
    if path:
        draft = path.with_name(f"{TEMPORARY_PREFIX}{os.getpid()}-{path.name}")  # processes of one run write the same
        save_file({"reference": dataset.reference}, draft)
        draft.replace(path)


@torch.no_grad()
def log_likelihoods(
    step: FastStep, dataset: PairDataset, indices: Sequence[int]
) -> Iterator[tuple[list[int], Tensor, Tensor]]:
    """For some pairs at a time their indices, the log-likelihoods of both answers, and their tokens, on the CPU."""
    collate = PairCollator()
    lengths = dataset.lengths
    order = sorted(indices, key=lambda index: (lengths[index], index))
    was_training = step.model.training
    step.model.eval()
    device = next(step.model.parameters()).device
    with step.active():
        for start in range(0, len(order), PAIRS_TOGETHER):
            members = order[start : start + PAIRS_TOGETHER]
            batch = {name: each.to(device) for name, each in collate([dataset[index] for index in members]).items()}
            for records in step.passes(batch):
                with step.keeping_apart(records):
                    found, tokens = answer_log_likelihoods(step, step.model, records)
                yield [members[place] for place in members_of(records)], found.cpu(), tokens.cpu()
    step.model.train(was_training)


def members_of(records: Pass) -> list[int]:
    """Which pairs of the batch a pass holds."""
    return list(records.members) if isinstance(records, PackedRecords) else records["members"].tolist()


def adapter_off(model: Any) -> AbstractContextManager[None]:
    """While this lasts, the model is what it was before it got its adapter."""
    switched: AbstractContextManager[None] = model.disable_adapter()
    return switched


def _fingerprint(step: FastStep, dataset: PairDataset, wanted: Sequence[int]) -> str:
    """Names what the numbers depend on: the rows, which of them, the base and its number formats."""
    facts = [dataset.folder and dataset.folder.name, list(wanted), _base_of(step)]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]


def _base_of(step: FastStep) -> str:
    formats = sorted({str(weight.dtype) for weight in step.model.parameters()})
    return f"{step.model.config.name_or_path} in {', '.join(formats)}"
