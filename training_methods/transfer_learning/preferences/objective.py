"""PreferencePairs: the objective of `train-dpo`, which learns which of two answers is preferred."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import cast

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from shared_utils.records import PreferencePair, Record
from training_methods.transfer_learning.dataset import EncodedDataset
from training_methods.transfer_learning.fast_step.training_step import FastStep, Pass
from training_methods.transfer_learning.preferences.losses import pair_losses
from training_methods.transfer_learning.preferences.pair_dataset import PairCollator, PairDataset, encode_pairs
from training_methods.transfer_learning.preferences.reference import (
    answer_log_likelihoods,
    ask_reference,
    log_likelihoods,
    members_of,
)
from training_methods.transfer_learning.settings import PreferenceLoss, TrainingSettings

PAIRS = "pairs"  # the key under which a state counts them


class PreferencePairs:
    """Direct Preference Optimization (Rafailov et al. 2023, arXiv:2305.18290) and its relatives.

    The reference is the model with its adapter switched off, so the tuner must be one that trains an adapter.

    Args:
        beta: how strongly the model is held to its reference.
        loss_type: sigmoid, ipo or hinge; see `losses.py`.
        label_smoothing: share of pairs labelled the wrong way round.
    """

    rows_per_record = 2
    preparation = "asking the reference"
    loss_unit = "a pair"
    data_words = (
        "Each record is a prompt with a chosen and a rejected answer. The loss compares how much likelier than its "
        "base the model finds the one and the other (Rafailov et al. 2023); prompts take no loss."
    )
    result_words = "Held-out loss of a pair: base {base:.4f}, fine-tuned {tuned:.4f}."

    def __init__(self, beta: float = 0.1, loss_type: PreferenceLoss = "sigmoid", label_smoothing: float = 0.0) -> None:
        self._beta = beta
        self._loss_type = loss_type
        self._label_smoothing = label_smoothing
        self._sums: dict[str, float] = {}
        self.collate = PairCollator()

    def encode(
        self,
        records: Sequence[Record],
        tokenizer: PreTrainedTokenizerBase,
        training: TrainingSettings,
        cache_dir: Path | None = None,
        advance: Callable[[int], None] | None = None,
    ) -> EncodedDataset:
        """As `encode_pairs`, which tells what is raised; the records are `PreferencePair`s."""
        return encode_pairs(
            cast(Sequence[PreferencePair], records),
            tokenizer,
            max_length=training.max_length,
            strict=training.strict,
            cache_dir=cache_dir,
            advance=advance,
        )

    def prepare(
        self,
        step: FastStep,
        dataset: EncodedDataset,
        indices: Sequence[int] | None = None,
        advance: Callable[[int], None] | None = None,
    ) -> None:
        """Ask the reference how likely it finds the answers."""
        ask_reference(step, cast(PairDataset, dataset), indices, advance)

    def count(self, batch: Mapping[str, Tensor]) -> Tensor:
        """The pairs."""
        return torch.tensor(len(batch["reference"]), device=batch["reference"].device)

    def loss(self, step: FastStep, model: torch.nn.Module, records: Pass, batch: Mapping[str, Tensor]) -> Tensor:
        """Summed over the pairs of the pass."""
        found, tokens = answer_log_likelihoods(step, model, records)
        reference = batch["reference"][members_of(records)]
        losses = self._losses(found, reference, tokens)
        _add(self._sums, self._figures(found.detach(), reference))
        return losses.sum()

    def held_out(
        self,
        step: FastStep,
        dataset: EncodedDataset,
        batch_size: int,
        max_batches: int | None = None,
        *,
        divided: torch.nn.Module | None = None,
    ) -> dict[str, float]:
        """Mean loss and rewards of held-out pairs, and how often the chosen answer is ahead.

        `eval_rewards/accuracies` is the share of pairs in which the chosen answer has gained more on the reference;
        `eval_preference_accuracy` that in which it is the likelier one per token (whole answers: the shorter one
        would mostly win), which can be asked of the base, too.
        """
        pairs = cast(PairDataset, dataset)
        indices = _spread(len(pairs), batch_size * max_batches if max_batches else len(pairs))
        ask_reference(step, pairs)  # all of them, so that they are asked for once
        sums: dict[str, float] = {}
        for members, found, tokens in log_likelihoods(step, pairs, indices):
            figures = self._figures(found, pairs.reference[members])
            figures["loss"] = self._losses(found, pairs.reference[members], tokens)
            means = found / tokens
            figures["preference_accuracy"] = means[:, 0] > means[:, 1]
            _add(sums, figures)
        means = _means(sums)
        ordered = {"loss": means.pop("loss"), **means, PAIRS: sums[PAIRS]}
        return {f"eval_{name}": value for name, value in ordered.items()}

    def take_metrics(self) -> dict[str, float]:
        """Rewards and log-likelihoods, by the names that are usual: means over the pairs."""
        taken, self._sums = _means(self._sums), {}
        return taken

    def state(self) -> dict[str, float]:
        """The sums behind the next line of the log."""
        return dict(self._sums)

    def restore(self, state: Mapping[str, float]) -> None:
        """Go on from such sums."""
        self._sums = dict(state)

    def _losses(self, found: Tensor, reference: Tensor, tokens: Tensor) -> Tensor:
        return pair_losses(
            found - reference,
            tokens,
            kind=self._loss_type,
            beta=self._beta,
            label_smoothing=self._label_smoothing,
        )

    def _figures(self, found: Tensor, reference: Tensor) -> dict[str, Tensor]:
        rewards = self._beta * (found - reference)  # (pairs, 2)
        return {
            "rewards/chosen": rewards[:, 0],
            "rewards/rejected": rewards[:, 1],
            "rewards/margins": rewards[:, 0] - rewards[:, 1],
            "rewards/accuracies": rewards[:, 0] > rewards[:, 1],
            "logps/chosen": found[:, 0],
            "logps/rejected": found[:, 1],
        }


def _add(sums: dict[str, float], figures: Mapping[str, Tensor]) -> None:
    for name, values in figures.items():
        sums[name] = sums.get(name, 0.0) + float(values.sum())
    sums[PAIRS] = sums.get(PAIRS, 0) + len(next(iter(figures.values())))


def _means(sums: Mapping[str, float]) -> dict[str, float]:
    return {name: value / sums[PAIRS] for name, value in sums.items() if name != PAIRS}


def _spread(total: int, most: int) -> list[int]:
    """At most so many of the numbers below `total`, evenly spread."""
    if most >= total:
        return list(range(total))
    return [int(number * total / most) for number in range(most)]
