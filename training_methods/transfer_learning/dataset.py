"""Records as token ids: what is trained on, what was cut or dropped and why, and batches of it."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.utils.data import Dataset, Sampler
from transformers import PreTrainedTokenizerBase

from shared_utils.errors import DataValidationError
from shared_utils.prompt_formats import IGNORED, EncodedRecord, encode_record, encode_text
from shared_utils.records import Record
from training_methods.transfer_learning.fast_step.output_layer import find_output_layer
from training_methods.transfer_learning.fast_step.supervised_loss import supervised_loss


@dataclass(frozen=True)
class DatasetSummary:
    """What became of the records."""

    records: int
    tokens: int
    supervised_tokens: int
    truncated: int
    dropped: dict[str, int] = field(default_factory=dict)  # reason -> records

    @property
    def supervised_share(self) -> float:
        """Supervised tokens among all tokens, 0 to 1."""
        return self.supervised_tokens / self.tokens if self.tokens else 0.0


class EncodedDataset(Dataset[dict[str, object]]):
    """Encoded records with the ids of the records they come from."""

    def __init__(self, rows: Sequence[EncodedRecord], record_ids: Sequence[str], summary: DatasetSummary) -> None:
        self.rows = list(rows)
        self.record_ids = list(record_ids)
        self.summary = summary

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> dict[str, object]:
        row = self.rows[index]
        return {"input_ids": row.input_ids, "labels": row.labels, "record_index": index}


def encode_dataset(
    records: Sequence[Record],
    tokenizer: PreTrainedTokenizerBase,
    *,
    max_length: int,
    train_on_prompt: bool = False,
    strict: bool = False,
) -> EncodedDataset:
    """Encode records; what cannot take part is counted with its reason, or refused when `strict`.

    Raises:
        DataValidationError: no record is left, or `strict` and one cannot take part.
    """
    rows: list[EncodedRecord] = []
    ids: list[str] = []
    dropped: Counter[str] = Counter()
    truncated = 0
    for record in records:
        encoded = _encode(record, tokenizer, max_length, train_on_prompt)
        usable = [row for row in encoded if row.supervised_tokens]
        if not usable:
            reason = f"answer beyond {max_length} tokens" if encoded and encoded[0].truncated else "nothing to learn"
            if strict:
                raise DataValidationError(f"{record['source']}: {reason}", hint="raise --max-length, or leave it out")
            dropped[reason] += 1
        truncated += any(row.truncated for row in usable)
        rows += usable
        ids += [record["id"]] * len(usable)
    if not rows:
        reasons = ", ".join(f"{count} {reason}" for reason, count in dropped.items()) or "no records given"
        raise DataValidationError(f"no record can be trained on: {reasons}", hint="check the data, or --max-length")
    summary = DatasetSummary(
        records=len(records) - sum(dropped.values()),
        tokens=sum(len(row.input_ids) for row in rows),
        supervised_tokens=sum(row.supervised_tokens for row in rows),
        truncated=truncated,
        dropped=dict(dropped),
    )
    return EncodedDataset(rows, ids, summary)


def _encode(
    record: Record, tokenizer: PreTrainedTokenizerBase, max_length: int, train_on_prompt: bool
) -> list[EncodedRecord]:
    if "text" in record:
        return encode_text(tokenizer, record["text"], max_length)
    try:
        return [encode_record(tokenizer, record, max_length, train_on_prompt)]
    except DataValidationError as error:
        raise DataValidationError(f"{record['source']}: {error.message}", hint=error.hint) from error


class RandomOrderSampler(Sampler[int]):
    """Records in a random order that depends on seed and epoch alone.

    So a continued run sees the steps of one never stopped.

    Args:
        size: the number of records.
        seed: start of the random order; `epoch` is added to it.
    """

    def __init__(self, size: int, seed: int) -> None:
        self.epoch = 0
        self._size = size
        self._seed = seed

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[int]:
        order = list(range(self._size))
        random.Random(self._seed + self.epoch).shuffle(order)
        return iter(order)


class Collator:
    """Rows of different lengths as one batch; gaps are masked and take no loss."""

    def __init__(self, pad_token_id: int) -> None:
        self.pad_token_id = pad_token_id

    def __call__(self, rows: Sequence[dict[str, object]]) -> dict[str, Tensor]:
        """Tensors `input_ids`, `labels`, `attention_mask` of shape (batch, longest) and `record_index` (batch,)."""
        inputs = [torch.tensor(row["input_ids"]) for row in rows]
        labels = [torch.tensor(row["labels"]) for row in rows]
        pad = torch.nn.utils.rnn.pad_sequence
        return {
            "input_ids": pad(inputs, batch_first=True, padding_value=self.pad_token_id),
            "labels": pad(labels, batch_first=True, padding_value=IGNORED),
            "attention_mask": pad([torch.ones_like(row) for row in inputs], batch_first=True),
            "record_index": torch.tensor([row["record_index"] for row in rows]),
        }


@torch.inference_mode()
def held_out_loss(
    model: torch.nn.Module, dataset: EncodedDataset, collator: Collator, batch_size: int, max_batches: int | None = None
) -> float:
    """Mean negative log-likelihood over the supervised tokens, in nats.

    Weighted by token, so neither batch size nor padding changes it.
    """
    was_training = model.training
    model.eval()
    output = find_output_layer(model)
    device = next(model.parameters()).device
    total, tokens = 0.0, 0
    for batch in _batches(dataset, collator, batch_size, max_batches):
        inputs = {name: batch[name].to(device) for name in ("input_ids", "attention_mask")}
        labels = batch["labels"][:, 1:].to(device)  # (batch, tokens - 1)
        supervised = labels != IGNORED
        if output is not None:
            # Logits of a large vocabulary would take more memory than all the rest.
            hidden = output.decoder(**inputs, use_cache=False).last_hidden_state[:, :-1]
            losses = supervised_loss(hidden[supervised], output.weight, output.bias, labels[supervised])
        else:
            logits = model(**inputs, use_cache=False).logits[:, :-1]
            losses = torch.nn.functional.cross_entropy(logits[supervised].float(), labels[supervised], reduction="sum")
        total += float(losses)
        tokens += int(supervised.sum())
    model.train(was_training)
    return total / tokens if tokens else float("nan")


def _batches(
    dataset: EncodedDataset, collator: Collator, batch_size: int, max_batches: int | None
) -> Iterator[dict[str, Tensor]]:
    # Neighbours in length share a batch; the mean over tokens does not depend on the order.
    order = sorted(range(len(dataset)), key=lambda index: (len(dataset.rows[index].input_ids), index))
    starts = range(0, len(order), batch_size)
    if max_batches is not None and len(starts) > max_batches:
        stride = len(starts) / max_batches
        starts_used = [starts[int(number * stride)] for number in range(max_batches)]
    else:
        starts_used = list(starts)
    for start in starts_used:
        yield collator([dataset[index] for index in order[start : start + batch_size]])
