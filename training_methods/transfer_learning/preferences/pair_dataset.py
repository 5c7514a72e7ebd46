"""Preference pairs as token ids: one prompt, the answer that was chosen and the one that was rejected."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path
from typing import cast

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from shared_utils.errors import DataValidationError
from shared_utils.prompt_formats import IGNORED, EncodedRecord, RecordEncoder
from shared_utils.records import Message, PreferencePair, Record
from training_methods.transfer_learning.dataset import (
    RECORDS_TOGETHER,
    DatasetSummary,
    EncodedDataset,
    encoded_records,
    encoding_fingerprint,
)
from training_methods.transfer_learning.encoded_rows import RowWriter, open_rows
from training_methods.transfer_learning.fast_step.packing import StepCollator

ALIKE = "equal answers, as the chat template writes them"
REWRITTEN = "several turns in one answer, which this chat template rewrites"


class PairDataset(EncodedDataset):
    """Encoded pairs; `rows` holds a chosen and a rejected answer in turn, each with its prompt.

    Attributes:
        reference: (pairs, 2), log-likelihoods of both answers under the reference; not a number where
            `preferences/reference.py` has not been asked yet, which stops a run.
        reference_of: the base that was asked; empty before.
        folder: where the rows are kept, and the log-likelihoods can be; None: in memory alone.
    """

    def __init__(
        self,
        rows: Sequence[EncodedRecord],
        record_ids: Sequence[str],
        summary: DatasetSummary,
        folder: Path | None = None,
    ) -> None:
        super().__init__(rows, record_ids, summary)
        self.reference = torch.full((len(self), 2), float("nan"))
        self.reference_of = ""
        self.folder = folder

    @property
    def lengths(self) -> list[int]:
        """Tokens of each pair, prompts counted twice."""
        rows = super().lengths
        return [chosen + rejected for chosen, rejected in zip(rows[::2], rows[1::2], strict=True)]

    def __len__(self) -> int:
        return len(self.rows) // 2

    def __getitem__(self, index: int) -> dict[str, object]:
        chosen, rejected = self.rows[2 * index], self.rows[2 * index + 1]
        return {"chosen": chosen, "rejected": rejected, "reference": self.reference[index], "record_index": index}

    def examples(self, index: int) -> list[tuple[str, EncodedRecord]]:
        """Both answers with their names, as they are shown to a person."""
        name = self.record_ids[index]
        return [(f"{name}, chosen", self.rows[2 * index]), (f"{name}, rejected", self.rows[2 * index + 1])]


class PairCollator:
    """Puts the pairs of one optimizer step into one row, as `StepCollator` does with records."""

    def __init__(self) -> None:
        self._collate = StepCollator()

    def __call__(self, pairs: Sequence[dict[str, object]]) -> dict[str, Tensor]:
        """`input_ids` and `labels` of shape (1, tokens), `lengths` of the rows, chosen and rejected in turn, of shape
        (2 x pairs,), `record_index` (pairs,) and `reference` (pairs, 2).
        """
        rows = [cast(EncodedRecord, pair[name]) for pair in pairs for name in ("chosen", "rejected")]
        batch = self._collate(
            [
                {"input_ids": row.input_ids, "labels": row.labels, "record_index": number}
                for number, row in enumerate(rows)
            ]
        )
        reference = torch.stack([cast(Tensor, pair["reference"]) for pair in pairs])
        return {**batch, "record_index": torch.tensor([pair["record_index"] for pair in pairs]), "reference": reference}


def encode_pairs(
    pairs: Sequence[PreferencePair],
    tokenizer: PreTrainedTokenizerBase,
    *,
    max_length: int,
    strict: bool = False,
    cache_dir: Path | None = None,
    advance: Callable[[int], None] | None = None,
) -> PairDataset:
    """Encode pairs; what cannot take part is counted with its reason, or refused when `strict`.

    A pair of which one answer with its prompt is longer than `max_length` is left out: cut off, the answers would
    no longer be those that were compared, and a prompt without its beginning is none that the model will see.

    Args:
        pairs: prompts with two answers each.
        tokenizer: with a chat template.
        max_length: tokens of a prompt with one of its answers.
        strict: refuse the first pair that cannot take part.
        cache_dir: what was encoded once from the same pairs in the same way is read from files here.
        advance: called with the number of pairs done.

    Raises:
        DataValidationError: no pair is left, or `strict` and one cannot take part.
    """
    folder = None
    if cache_dir is not None:
        options = {"max_length": max_length, "strict": strict, "pairs": 1}
        folder = cache_dir / f"encoded-{encoding_fingerprint(pairs, tokenizer, options)}"
        cached = open_rows(folder)
        if cached is not None:
            rows, ids, manifest = cached
            return PairDataset(rows, ids, DatasetSummary(**manifest["summary"]), folder)
    writer = RowWriter(folder)
    counts = _PairCounts(max_length, strict)
    encoder = RecordEncoder(tokenizer, _NO_LIMIT)
    try:
        for number, (pair, found) in enumerate(_encoded_pairs(pairs, encoder), start=1):
            writer.add(counts.usable(pair, found))
            if advance and number % RECORDS_TOGETHER == 0:
                advance(RECORDS_TOGETHER)
        summary = counts.summary()
        rows = writer.finish(counts.ids, {"summary": asdict(summary)})
    finally:
        writer.close()
    return PairDataset(rows, counts.ids, summary, folder)


_NO_LIMIT = 2**31
Both = tuple[EncodedRecord, EncodedRecord]


class _PairCounts:
    """Counts what is trained on and what is left out."""

    def __init__(self, max_length: int, strict: bool) -> None:
        self._max_length = max_length
        self._strict = strict
        self._dropped: Counter[str] = Counter()
        self._tokens = self._supervised = 0
        self.ids: list[str] = []

    def usable(self, pair: PreferencePair, found: Both | str) -> Sequence[EncodedRecord]:
        """The two rows of a pair that teaches something, counted; none for what is left out."""
        if not isinstance(found, str) and max(len(row.input_ids) for row in found) > self._max_length:
            found = f"more than {self._max_length} tokens"
        if isinstance(found, str):
            if self._strict:
                raise DataValidationError(f"{pair['source']}: {found}", hint="raise --max-length, or leave it out")
            self._dropped[found] += 1
            return ()
        self._tokens += sum(len(row.input_ids) for row in found)
        self._supervised += sum(row.supervised_tokens for row in found)
        self.ids.append(pair["id"])
        return found

    def summary(self) -> DatasetSummary:
        """The sums; an error when nothing is left."""
        if not self.ids:
            reasons = ", ".join(f"{count} with {reason}" for reason, count in self._dropped.items())
            raise DataValidationError(
                f"no pair can be trained on: {reasons or 'no pairs given'}", hint="check the data, or --max-length"
            )
        return DatasetSummary(len(self.ids), self._tokens, self._supervised, 0, dict(self._dropped))


def _encoded_pairs(
    pairs: Sequence[PreferencePair], encoder: RecordEncoder
) -> Iterator[tuple[PreferencePair, Both | str]]:
    """Each pair with the rows of its answers, or why it cannot take part."""
    conversations = [_conversation(pair, answer) for pair in pairs for answer in (pair["chosen"], pair["rejected"])]
    rows = (rows for _, rows in encoded_records(conversations, encoder))
    for pair in pairs:
        chosen, rejected = next(rows), next(rows)
        whole = _answers_in(chosen) >= _turns(pair["chosen"]) and _answers_in(rejected) >= _turns(pair["rejected"])
        # Where the template rewrites earlier turns, the last row is the history as the model sees it.
        yield pair, _answers_alone(chosen[-1], rejected[-1]) if whole else REWRITTEN


def _conversation(pair: PreferencePair, answer: list[Message]) -> Record:
    conversation: Record = {"id": pair["id"], "source": pair["source"], "messages": [*pair["messages"], *answer]}
    if "tools" in pair:
        conversation["tools"] = pair["tools"]
    return conversation


def _turns(answer: Sequence[Message]) -> int:
    return sum(message["role"] == "assistant" for message in answer)


def _answers_in(rows: Sequence[EncodedRecord]) -> int:
    """How many answers the last row holds."""
    labels = rows[-1].labels
    return sum(label != IGNORED and before == IGNORED for before, label in pairwise([IGNORED, *labels]))


def _answers_alone(chosen: EncodedRecord, rejected: EncodedRecord) -> Both | str:
    """Both rows with the loss on the turns in which they differ, and not on earlier answers, which they share.

    What is shared would weigh the same on both sides of the loss and fall out of it.
    """
    ids = zip(chosen.input_ids, rejected.input_ids, strict=False)
    start = next((place for place, (one, other) in enumerate(ids) if one != other), None)
    if start is None:
        return ALIKE  # or one only goes on from the other, which then has nothing to be compared with
    while start > 0 and chosen.labels[start - 1] != IGNORED:
        start -= 1
    both = _from(chosen, start), _from(rejected, start)
    return both if all(row.supervised_tokens for row in both) else ALIKE


def _from(row: EncodedRecord, start: int) -> EncodedRecord:
    return EncodedRecord(row.input_ids, [IGNORED] * start + row.labels[start:], row.truncated)
