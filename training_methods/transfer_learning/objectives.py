"""What a run minimises, and what is measured on records held out: the part in which ways of training differ.

`RunTrainer` has the loop, checkpoints and log; an objective has the rows of a record, the loss of a pass and the
figures. `AnswerLikelihood` is fine-tuning on answers; `preferences/objective.py` has preference pairs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from shared_utils.batches import Collator
from shared_utils.records import Record
from training_methods.transfer_learning.dataset import EncodedDataset, encode_dataset, held_out_loss
from training_methods.transfer_learning.fast_step.packing import StepCollator
from training_methods.transfer_learning.fast_step.training_step import FastStep, Pass
from training_methods.transfer_learning.settings import TrainingSettings


class Objective(Protocol):
    """What a run minimises.

    Attributes:
        rows_per_record: sequences that a record is; they share a pass.
        preparation: what `prepare` does, in words; empty where it has nothing to do.
        loss_unit: what the loss is counted in, for the axis of the curves.
        data_words, result_words: sentences for the model card; the second has `{base}` and `{tuned}`.
    """

    rows_per_record: int
    preparation: str
    loss_unit: str
    data_words: str
    result_words: str

    def encode(
        self,
        records: Sequence[Record],
        tokenizer: PreTrainedTokenizerBase,
        training: TrainingSettings,
        cache_dir: Path | None,
        advance: Callable[[int], None] | None,
    ) -> EncodedDataset:
        """Records as token ids; what cannot take part is counted, or refused under `training.strict`."""

    def collate(self, rows: Sequence[dict[str, object]]) -> dict[str, Tensor]:
        """The records of one optimizer step as one batch."""

    def prepare(
        self,
        step: FastStep,
        dataset: EncodedDataset,
        indices: Sequence[int] | None = None,
        advance: Callable[[int], None] | None = None,
    ) -> None:
        """What has to be known of records before training begins; done once for a data set.

        Args:
            step: of the model before it is trained.
            dataset: from `encode`.
            indices: the records that will be asked for; None: all.
            advance: called with the number of records done.
        """

    def count(self, batch: Mapping[str, Tensor]) -> Tensor:
        """By what the summed loss of a step is divided."""

    def loss(self, step: FastStep, model: torch.nn.Module, records: Pass, batch: Mapping[str, Tensor]) -> Tensor:
        """The summed loss of one pass of a batch."""

    def held_out(
        self,
        step: FastStep,
        dataset: EncodedDataset,
        batch_size: int,
        max_batches: int | None = None,
        *,
        divided: torch.nn.Module | None = None,
    ) -> dict[str, float]:
        """Figures of held-out records with the weights as they are; `eval_loss` decides which are best.

        Every process of a run calls this; where its weights are divided over them, `divided` is what holds them.
        """

    def take_metrics(self) -> dict[str, float]:
        """Figures of the steps since they were last taken, for a line of the log."""

    def state(self) -> dict[str, float]:
        """What `take_metrics` will answer from, for a checkpoint."""

    def restore(self, state: Mapping[str, float]) -> None:
        """Go on from such a state; an empty one is the beginning."""


class AnswerLikelihood:
    """The negative log-likelihood of answers, a mean over their tokens."""

    rows_per_record = 1
    preparation = ""
    loss_unit = "nats per token"
    data_words = "The loss was taken on answers only, unless the settings say `train_on_prompt: True`."
    result_words = "Held-out loss per answer token: base {base:.4f}, fine-tuned {tuned:.4f}."

    def __init__(self) -> None:
        self.collate = StepCollator()

    def encode(
        self,
        records: Sequence[Record],
        tokenizer: PreTrainedTokenizerBase,
        training: TrainingSettings,
        cache_dir: Path | None = None,
        advance: Callable[[int], None] | None = None,
    ) -> EncodedDataset:
        """As `encode_dataset`, which tells what is raised."""
        return encode_dataset(
            records,
            tokenizer,
            max_length=training.max_length,
            train_on_prompt=training.train_on_prompt,
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
        """Nothing has to be known."""

    def count(self, batch: Mapping[str, Tensor]) -> Tensor:
        """The supervised tokens."""
        return (batch["labels"] >= 0).sum()

    def loss(self, step: FastStep, model: torch.nn.Module, records: Pass, batch: Mapping[str, Tensor]) -> Tensor:
        """Summed over the supervised tokens, in nats."""
        return step.loss(model, records)

    def held_out(
        self,
        step: FastStep,
        dataset: EncodedDataset,
        batch_size: int,
        max_batches: int | None = None,
        *,
        divided: torch.nn.Module | None = None,
    ) -> dict[str, float]:
        """The loss per supervised token and its perplexity."""
        loss = held_out_loss(
            step.model if divided is None else divided,
            dataset,
            Collator(step.pad_token_id),
            batch_size,
            max_batches,
            shared=True,
            is_sharded=divided is not None,
        )
        return {"eval_loss": loss, "eval_perplexity": math.exp(min(loss, 700.0))}

    def take_metrics(self) -> dict[str, float]:
        """None besides the loss."""
        return {}

    def state(self) -> dict[str, float]:
        """None."""
        return {}

    def restore(self, state: Mapping[str, float]) -> None:
        """Nothing to do."""
