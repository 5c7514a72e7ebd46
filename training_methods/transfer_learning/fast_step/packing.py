"""The records of one optimizer step, laid end to end without gaps and cut into passes that fit the memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

IGNORED = -100  # the label that takes no loss


@dataclass(frozen=True)
class PackedRecords:
    """Records that go through the model together; none sees another.

    Attributes:
        input_ids: (1, tokens).
        position_ids: (1, tokens), from 0 in each record.
        targets: (1, tokens), the token that follows each one, or `IGNORED`.
        lengths: tokens of each record.
        members: which records of the step they are.
    """

    input_ids: Tensor
    position_ids: Tensor
    targets: Tensor
    lengths: tuple[int, ...]
    members: tuple[int, ...] = ()


class StepCollator:
    """Puts the records of one optimizer step into one row; `micro_passes` divides it again."""

    def __call__(self, rows: Sequence[dict[str, object]]) -> dict[str, Tensor]:
        """`input_ids` and `labels` of shape (1, tokens), `lengths` and `record_index` of shape (records,).

        The first label of each record is ignored: nothing comes before it that could foretell it. No rows at
        all, the share of a process for which none was left, give empty tensors.
        """
        if not rows:
            nothing = torch.zeros(1, 0, dtype=torch.long)
            return {"input_ids": nothing, "labels": nothing, "lengths": nothing[0], "record_index": nothing[0]}
        inputs = [torch.as_tensor(row["input_ids"], dtype=torch.long) for row in rows]
        labels = [torch.as_tensor(row["labels"], dtype=torch.long).clone() for row in rows]
        for label in labels:
            label[:1] = IGNORED
        return {
            "input_ids": torch.cat(inputs)[None],
            "labels": torch.cat(labels)[None],
            "lengths": torch.tensor([len(row) for row in inputs]),
            "record_index": torch.tensor([row["record_index"] for row in rows]),
        }


def without_records(device: torch.device) -> dict[str, Tensor]:
    """A step of one token without a loss: what a process goes through that must take part but has no record."""
    token = torch.zeros(1, 1, dtype=torch.long, device=device)
    return {"input_ids": token, "labels": token + IGNORED, "lengths": torch.ones(1, dtype=torch.long)}


def micro_passes(step: dict[str, Tensor], most_tokens: int, rows_together: int = 1) -> list[PackedRecords]:
    """The records of a step in passes of at most `most_tokens` tokens; a longer record goes alone.

    Best fit, longest first (D. S. Johnson, Near-optimal bin packing algorithms, 1973): each record goes where
    it leaves the least room. A record is `rows_together` rows, which share a pass.
    """
    inputs, labels = _split(step)
    lengths = [sum(map(len, inputs[start : start + rows_together])) for start in range(0, len(inputs), rows_together)]
    bins: list[list[int]] = []
    room: list[int] = []
    for index in sorted(range(len(lengths)), key=lambda each: (-lengths[each], each)):
        length = lengths[index]
        fitting = [number for number, left in enumerate(room) if left >= length]
        if fitting:
            best = min(fitting, key=lambda number: room[number])
            bins[best].append(index)
            room[best] -= length
        else:
            bins.append([index])
            room.append(most_tokens - length)
    return [
        pack([inputs[row] for row in rows], [labels[row] for row in rows], tuple(members))
        for members, rows in ((members, _rows_of(members, rows_together)) for members in bins)
    ]


def padded_passes(
    step: dict[str, Tensor], most_tokens: int, most_records: int, pad_token_id: int, rows_together: int = 1
) -> list[dict[str, Tensor]]:
    """The records of a step in padded batches, about equally long ones together.

    Each has `input_ids`, `attention_mask` and `targets` (the token that follows each one, or `IGNORED`) of shape
    (rows, longest), and `members`, which records of the step they are.
    """
    inputs, labels = _split(step)
    longest_rows = [
        max(map(len, inputs[start : start + rows_together])) for start in range(0, len(inputs), rows_together)
    ]
    batches: list[list[int]] = []
    for index in sorted(range(len(longest_rows)), key=lambda each: (-longest_rows[each], each)):
        longest = longest_rows[batches[-1][0]] * rows_together if batches else 0
        if batches and len(batches[-1]) < most_records and longest * (len(batches[-1]) + 1) <= most_tokens:
            batches[-1].append(index)
        else:
            batches.append([index])
    pad = torch.nn.utils.rnn.pad_sequence
    return [
        {
            "input_ids": pad([inputs[i] for i in rows], batch_first=True, padding_value=pad_token_id),
            "attention_mask": pad([torch.ones_like(inputs[i]) for i in rows], batch_first=True),
            "targets": pad([_next_tokens(labels[i]) for i in rows], batch_first=True, padding_value=IGNORED),
            "members": torch.tensor(batch),
        }
        for batch, rows in ((batch, _rows_of(batch, rows_together)) for batch in batches)
    ]


def pack(inputs: Sequence[Tensor], labels: Sequence[Tensor], members: tuple[int, ...] = ()) -> PackedRecords:
    """Records end to end; `labels` are those of the tokens themselves, `targets` those of the next ones."""
    return PackedRecords(
        input_ids=torch.cat(list(inputs))[None],
        position_ids=torch.cat([torch.arange(len(row), device=row.device) for row in inputs])[None],
        targets=torch.cat([_next_tokens(row) for row in labels])[None],
        lengths=tuple(len(row) for row in inputs),
        members=members,
    )


def _rows_of(members: Sequence[int], rows_together: int) -> list[int]:
    return [member * rows_together + row for member in members for row in range(rows_together)]


def _next_tokens(labels: Tensor) -> Tensor:
    return torch.cat([labels[1:], labels.new_tensor([IGNORED])])


def _split(step: dict[str, Tensor]) -> tuple[list[Tensor], list[Tensor]]:
    lengths = step["lengths"].tolist()
    return list(step["input_ids"][0].split(lengths)), list(step["labels"][0].split(lengths))
