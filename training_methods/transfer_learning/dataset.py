"""Records as token ids: what is trained on, what was cut or dropped and why, and batches of it."""

from __future__ import annotations

import hashlib
import json
import random
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from itertools import chain
from pathlib import Path

import tokenizers
import torch
import transformers
from torch.utils.data import Dataset, Sampler
from transformers import PreTrainedTokenizerBase

from shared_utils.batches import Collator
from shared_utils.errors import DataValidationError
from shared_utils.processes import gathered, process_count, process_index
from shared_utils.prompt_formats import IGNORED, EncodedRecord, RecordEncoder
from shared_utils.records import Record
from training_methods.transfer_learning.encoded_rows import EncodedRows, RowWriter, open_rows
from training_methods.transfer_learning.fast_step.output_layer import find_output_layer
from training_methods.transfer_learning.fast_step.supervised_loss import supervised_loss

ENCODING_VERSION = 1  # raised when the same records would give other rows
RECORDS_TOGETHER = 1000  # handed to the tokenizer in one call


@dataclass(frozen=True)
class DatasetSummary:
    """What became of the records."""

    records: int
    tokens: int
    supervised_tokens: int
    truncated: int
    dropped: dict[str, int] = field(default_factory=dict)  # reason -> records
    rewritten: int = 0  # conversations that are several rows, as the template rewrites earlier turns

    @property
    def supervised_share(self) -> float:
        """Supervised tokens among all tokens, 0 to 1."""
        return self.supervised_tokens / self.tokens if self.tokens else 0.0


class EncodedDataset(Dataset[dict[str, object]]):
    """Encoded records with the ids of the records they come from."""

    def __init__(self, rows: Sequence[EncodedRecord], record_ids: Sequence[str], summary: DatasetSummary) -> None:
        self.rows = rows
        self.record_ids = list(record_ids)
        self.summary = summary

    @property
    def lengths(self) -> list[int]:
        """Tokens of each row."""
        return self.rows.lengths if isinstance(self.rows, EncodedRows) else [len(row.input_ids) for row in self.rows]

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> dict[str, object]:
        row = self.rows[index]
        return {"input_ids": row.input_ids, "labels": row.labels, "record_index": index}

    def examples(self, index: int) -> list[tuple[str, EncodedRecord]]:
        """What a person is shown of a record: its rows, each with a name."""
        return [(self.record_ids[index], self.rows[index])]


def encode_dataset(
    records: Sequence[Record],
    tokenizer: PreTrainedTokenizerBase,
    *,
    max_length: int,
    train_on_prompt: bool = False,
    strict: bool = False,
    cache_dir: Path | None = None,
    advance: Callable[[int], None] | None = None,
) -> EncodedDataset:
    """Encode records; what cannot take part is counted with its reason, or refused when `strict`.

    Args:
        records: conversations and texts.
        tokenizer: with a chat template.
        max_length: longer conversations are cut there, longer texts are several rows.
        train_on_prompt: take the loss on prompts too.
        strict: refuse the first record that cannot take part.
        cache_dir: what was encoded once from the same records in the same way is read from files here.
        advance: called with the number of records done.

    Raises:
        DataValidationError: no record is left, or `strict` and one cannot take part.
    """
    folder = None
    if cache_dir is not None:
        options = {"max_length": max_length, "train_on_prompt": train_on_prompt, "strict": strict}
        folder = cache_dir / f"encoded-{encoding_fingerprint(records, tokenizer, options)}"
        cached = open_rows(folder)
        if cached is not None:
            rows, ids, manifest = cached
            return EncodedDataset(rows, ids, DatasetSummary(**manifest["summary"]))
    writer = RowWriter(folder)
    counts = _Counts(max_length, strict)
    try:
        encoder = RecordEncoder(tokenizer, max_length, train_on_prompt)
        for record, encoded in encoded_records(records, encoder):
            writer.add(counts.usable(record, encoded))
            if advance and counts.seen % RECORDS_TOGETHER == 0:
                advance(RECORDS_TOGETHER)
        summary = counts.summary()
        rows = writer.finish(counts.ids, {"summary": asdict(summary)})
    finally:
        writer.close()
    return EncodedDataset(rows, counts.ids, summary)


class _Counts:
    """Counts what is trained on and what is left out."""

    def __init__(self, max_length: int, strict: bool) -> None:
        self._max_length = max_length
        self._strict = strict
        self._dropped: Counter[str] = Counter()
        self._tokens = self._supervised = self._truncated = self._rewritten = 0
        self.seen = 0
        self.ids: list[str] = []

    def usable(self, record: Record, encoded: Sequence[EncodedRecord]) -> list[EncodedRecord]:
        """The rows that teach something, counted."""
        self.seen += 1
        counted = [(row, row.supervised_tokens) for row in encoded]
        usable = [row for row, count in counted if count]
        if not usable:
            is_cut = any(row.truncated for row in encoded)
            reason = f"answer beyond {self._max_length} tokens" if is_cut else "nothing to learn"
            if self._strict:
                raise DataValidationError(f"{record['source']}: {reason}", hint="raise --max-length, or leave it out")
            self._dropped[reason] += 1
            return []
        self._tokens += sum(len(row.input_ids) for row in usable)
        self._supervised += sum(count for _, count in counted)
        self._truncated += any(row.truncated for row in usable)
        self._rewritten += "messages" in record and len(encoded) > 1
        self.ids += [record["id"]] * len(usable)
        return usable

    def summary(self) -> DatasetSummary:
        """The sums; an error when nothing is left."""
        if not self.ids:
            reasons = ", ".join(f"{count} {reason}" for reason, count in self._dropped.items()) or "no records given"
            raise DataValidationError(f"no record can be trained on: {reasons}", hint="check the data, or --max-length")
        return DatasetSummary(
            records=self.seen - sum(self._dropped.values()),
            tokens=self._tokens,
            supervised_tokens=self._supervised,
            truncated=self._truncated,
            dropped=dict(self._dropped),
            rewritten=self._rewritten,
        )


def encoded_records(records: Sequence[Record], encoder: RecordEncoder) -> Iterator[tuple[Record, list[EncodedRecord]]]:
    """Each record with its rows; templates run here while the tokenizer works in a thread."""
    batches = [records[start : start + RECORDS_TOGETHER] for start in range(0, len(records), RECORDS_TOGETHER)]
    with ThreadPoolExecutor(1) as pool:
        before: tuple[Sequence[Record], Future[list[list[EncodedRecord]]]] | None = None
        for batch in batches:
            task = encoder.prepare(batch)
            if before:
                yield from zip(before[0], before[1].result(), strict=True)
            before = batch, pool.submit(encoder.encode, task)
        if before:
            yield from zip(before[0], before[1].result(), strict=True)


def encoding_fingerprint(
    records: Sequence[Record], tokenizer: PreTrainedTokenizerBase, options: Mapping[str, object]
) -> str:
    """Names what the rows depend on: the records, the tokenizer, the template, the options and the code."""
    total = hashlib.sha256()
    vocabulary: object = tokenizer.backend_tokenizer.to_str() if tokenizer.is_fast else sorted(tokenizer.get_vocab())
    versions = [ENCODING_VERSION, transformers.__version__, tokenizers.__version__]
    facts = [vocabulary, tokenizer.chat_template, dict(tokenizer.special_tokens_map), options, versions]
    to_json = json.JSONEncoder(sort_keys=True, default=str).encode
    for part in chain(facts, records):
        total.update(to_json(part).encode())
    return total.hexdigest()[:16]


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


@torch.inference_mode()
def held_out_loss(
    model: torch.nn.Module,
    dataset: EncodedDataset,
    collator: Collator,
    batch_size: int,
    max_batches: int | None = None,
    *,
    shared: bool = False,
    is_sharded: bool = False,
) -> float:
    """Mean negative log-likelihood over the supervised tokens, in nats.

    Weighted by token, so neither batch size nor padding changes it.

    Args:
        model: the model, or what wraps it when its weights are divided over processes.
        dataset, collator, batch_size: the records and how they become batches.
        max_batches: the most batches; None takes all.
        shared: every process of the run calls this and takes a part of the batches; all get the same result.
        is_sharded: the weights are divided over the processes, so all must go forward equally often.
    """
    was_training = model.training
    model.eval()
    output = None if is_sharded else find_output_layer(model)
    device = next(model.parameters()).device
    processes, index = (process_count(), process_index()) if shared else (1, 0)
    sums: list[tuple[int, float, int]] = []  # number, loss and tokens of each batch
    # Neighbours in length share a batch; the mean over tokens does not depend on the order.
    lengths = dataset.lengths
    order = sorted(range(len(dataset)), key=lambda each: (lengths[each], each))
    chosen = _batch_starts(len(order), batch_size, max_batches)
    for number in range(index, -(-len(chosen) // processes) * processes, processes):
        if number >= len(chosen) and not is_sharded:
            break
        start = chosen[min(number, len(chosen) - 1)]
        batch = collator([dataset[each] for each in order[start : start + batch_size]])
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
        if number < len(chosen):
            sums.append((number, float(losses), int(supervised.sum())))
    model.train(was_training)
    # Added up in the order of the batches, so that the sum does not depend on the number of processes.
    everywhere = sorted(one for part in (gathered(sums) if shared else [sums]) for one in part)
    tokens = sum(count for _, _, count in everywhere)
    return sum(loss for _, loss, _ in everywhere) / tokens if tokens else float("nan")


def _batch_starts(records: int, batch_size: int, max_batches: int | None) -> list[int]:
    """Where the batches of an evaluation begin, spread evenly when there are too many."""
    starts = range(0, records, batch_size)
    if max_batches is None or len(starts) <= max_batches:
        return list(starts)
    return [starts[int(number * len(starts) / max_batches)] for number in range(max_batches)]
