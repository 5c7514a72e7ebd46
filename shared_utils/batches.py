"""Encoded records as batches of tensors."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from shared_utils.prompt_formats import IGNORED


class Collator:
    """Rows of different lengths as one batch; gaps are masked and take no loss."""

    def __init__(self, pad_token_id: int) -> None:
        self.pad_token_id = pad_token_id

    def __call__(self, rows: Sequence[dict[str, object]]) -> dict[str, Tensor]:
        """Tensors `input_ids`, `labels`, `attention_mask` of shape (batch, longest).

        Where the rows say which record they are, also `record_index` of shape (batch,).
        """
        inputs = [torch.tensor(row["input_ids"]) for row in rows]
        labels = [torch.tensor(row["labels"]) for row in rows]
        pad = torch.nn.utils.rnn.pad_sequence
        batch = {
            "input_ids": pad(inputs, batch_first=True, padding_value=self.pad_token_id),
            "labels": pad(labels, batch_first=True, padding_value=IGNORED),
            "attention_mask": pad([torch.ones_like(row) for row in inputs], batch_first=True),
        }
        if "record_index" in rows[0]:
            batch["record_index"] = torch.tensor([row["record_index"] for row in rows])
        return batch
