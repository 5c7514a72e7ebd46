"""DataLoaderFactory: training records as batches of tensors. MemoryEfficientDataLoader: large files in pieces."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shared_utils.data_loader import iter_rows, usable_record
from shared_utils.errors import ConfigurationError, DataValidationError

if TYPE_CHECKING:
    from torch.utils.data import DataLoader
    from transformers import PreTrainedTokenizerBase


class DataLoaderFactory:
    """Makes torch `DataLoader`s for training loops of your own."""

    @staticmethod
    def create_instruction_dataloader(
        instructions: Iterable[Mapping[str, Any]] | str | Path,
        tokenizer: PreTrainedTokenizerBase,
        batch_size: int = 4,
        max_length: int = 512,
        *,
        shuffle: bool = False,
        seed: int = 42,
        train_on_prompt: bool = False,
    ) -> DataLoader[dict[str, Any]]:
        """Batches of `input_ids`, `labels` and `attention_mask`, each of shape (batch, longest of the batch).

        The loss is on answers with their end-of-turn token; prompts and padding have the label -100. A tokenizer
        without a chat template is given one, so that it puts questions to the model as they were trained.

        Args:
            instructions: records of any accepted kind, a data set of Hugging Face, or a file or folder of records.
            tokenizer: of the model.
            batch_size: records in a batch.
            max_length: tokens; what is longer is cut there.
            shuffle: another order in every pass, from `seed`.
            seed: start of the random orders.
            train_on_prompt: take the loss on prompts too.

        Raises:
            DataValidationError: a record is of no known kind, or nothing of it can be learnt; names it.
        """
        import torch
        from torch.utils.data import DataLoader

        from shared_utils.batches import Collator
        from shared_utils.prompt_formats import RecordEncoder, attach_chat_template

        attach_chat_template(tokenizer, None, str(tokenizer.name_or_path or "the tokenizer"))
        records = [usable_record(row, where) for where, row in _placed(instructions)]
        if not records:
            raise DataValidationError("there are no records to make batches of", hint="give at least one")
        encoder = RecordEncoder(tokenizer, max_length, train_on_prompt)
        rows = []
        for record, encoded in zip(records, encoder.encode(encoder.prepare(records)), strict=True):
            usable = [row for row in encoded if row.supervised_tokens]
            if not usable:
                raise DataValidationError(
                    f"{record['source']}: no answer within {max_length} tokens",
                    hint="raise max_length",
                )
            rows += [{"input_ids": row.input_ids, "labels": row.labels} for row in usable]
        pad_token_id = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id
        return DataLoader(
            rows,
            batch_size=batch_size,
            shuffle=shuffle,
            generator=torch.Generator().manual_seed(seed),
            collate_fn=Collator(pad_token_id or 0),  # masked and without loss, so any token will do
        )


class MemoryEfficientDataLoader:
    """Reads files of records in pieces; memory grows with the piece, not with the file.

    Args:
        chunk_size: records in a piece (not characters of a document, which `extract` calls so).

    Raises:
        ConfigurationError: less than one record.
    """

    def __init__(self, chunk_size: int = 1000) -> None:
        if chunk_size < 1:
            raise ConfigurationError(f"chunk_size is {chunk_size}", hint="it must be 1 record or more")
        self.chunk_size = chunk_size

    def load_in_chunks(self, data_path: str | Path) -> Iterator[list[dict[str, Any]]]:
        """Lists of records as they stand in a `.jsonl`, `.json`, `.csv` or `.parquet` file, or a folder of these.

        Raises:
            DataValidationError: the file is missing or broken; names the line.
        """
        rows = (row for _, row in iter_rows([data_path]))
        while chunk := list(islice(rows, self.chunk_size)):
            yield chunk


def _placed(instructions: Iterable[Mapping[str, Any]] | str | Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    if isinstance(instructions, str | Path):
        yield from iter_rows([instructions])
        return
    for number, row in enumerate(instructions, start=1):
        if not isinstance(row, Mapping):
            raise DataValidationError(f"record {number}: not an object", hint="each record is a dict")
        yield str(row.get("source") or f"record {number}"), row
