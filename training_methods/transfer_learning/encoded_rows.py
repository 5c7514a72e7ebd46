"""Encoded records as plain arrays: in memory, or in files that are mapped, so memory stays flat."""

from __future__ import annotations

import hashlib
import json
import shutil
from array import array
from collections.abc import Iterable, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO, overload

import numpy

from shared_utils.file_utils import TEMPORARY_PREFIX, write_json_atomic
from shared_utils.prompt_formats import EncodedRecord

MANIFEST_NAME = "manifest.json"
IDS_NAME = "record_ids.json"
TOKENS_TOGETHER = 1 << 18  # written in one piece
ARRAYS = {"input_ids": "int32", "labels": "int32", "ends": "int64", "truncated": "uint8"}


class EncodedRows(Sequence[EncodedRecord]):
    """Rows of token ids, read from arrays when asked for.

    Args:
        arrays: `input_ids` and `labels` of all rows behind one another, the `ends` of the rows in them,
            and whether each row was `truncated`.
    """

    def __init__(self, arrays: dict[str, Any]) -> None:
        self._arrays = arrays

    def __len__(self) -> int:
        return len(self._arrays["ends"])

    @overload
    def __getitem__(self, index: int) -> EncodedRecord: ...
    @overload
    def __getitem__(self, index: slice) -> list[EncodedRecord]: ...
    def __getitem__(self, index: int | slice) -> EncodedRecord | list[EncodedRecord]:
        if isinstance(index, slice):
            return [self[one] for one in range(*index.indices(len(self)))]
        index = range(len(self))[index]
        ends = self._arrays["ends"]
        span = slice(int(ends[index - 1]) if index else 0, int(ends[index]))
        return EncodedRecord(
            self._arrays["input_ids"][span].tolist(),
            self._arrays["labels"][span].tolist(),
            bool(self._arrays["truncated"][index]),
        )

    @property
    def largest_id(self) -> int:
        """The largest token id of all rows, -1 where there are none."""
        return int(numpy.max(self._arrays["input_ids"], initial=-1))

    @property
    def lengths(self) -> list[int]:
        """Tokens of each row, without reading the rows."""
        lengths: list[int] = numpy.diff(self._arrays["ends"], prepend=0).tolist()
        return lengths


class RowWriter:
    """Takes rows one after another, into memory or into files below a draft folder.

    Args:
        folder: where the files are to stand in the end; None keeps the rows in memory.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder
        self._draft = folder.with_name(TEMPORARY_PREFIX + folder.name) if folder else None
        self._end = 0
        if self._draft:
            shutil.rmtree(self._draft, ignore_errors=True)
            self._draft.mkdir(parents=True)
        self._sinks: dict[str, BinaryIO] = {
            name: (self._draft / _file_of(name)).open("wb") if self._draft else BytesIO() for name in ARRAYS
        }
        self._hashes = {name: hashlib.sha256() for name in ARRAYS}
        self._waiting = {"input_ids": array("i"), "labels": array("i"), "ends": array("q"), "truncated": array("B")}

    def add(self, rows: Iterable[EncodedRecord]) -> None:
        """Take the rows of one record."""
        for row in rows:
            self._end += len(row.input_ids)
            self._waiting["input_ids"].extend(row.input_ids)
            self._waiting["labels"].extend(row.labels)
            self._waiting["ends"].append(self._end)
            self._waiting["truncated"].append(row.truncated)
        if len(self._waiting["input_ids"]) > TOKENS_TOGETHER:
            self._flush()

    def finish(self, record_ids: Sequence[str], facts: dict[str, object]) -> EncodedRows:
        """Close the files, put them in their place with `facts` in the manifest, and give the rows."""
        self._flush()
        if self._folder is None or self._draft is None:
            return EncodedRows(
                {name: numpy.frombuffer(sink.getvalue(), ARRAYS[name]) for name, sink in self._sinks.items()}  # type: ignore[attr-defined]
            )
        self.close()
        ids = json.dumps(record_ids).encode()
        (self._draft / IDS_NAME).write_bytes(ids)
        files = {_file_of(name): one.hexdigest() for name, one in self._hashes.items()}
        manifest = {"files": {**files, IDS_NAME: hashlib.sha256(ids).hexdigest()}, **facts}
        write_json_atomic(self._draft / MANIFEST_NAME, manifest)
        shutil.rmtree(self._folder, ignore_errors=True)
        self._draft.rename(self._folder)
        return EncodedRows(_mapped(self._folder))

    def close(self) -> None:
        """Close the files; what was not finished is written anew next time."""
        for sink in self._sinks.values():
            sink.close()

    def _flush(self) -> None:
        for name, values in self._waiting.items():
            data = values.tobytes()
            self._sinks[name].write(data)
            if self._draft:
                self._hashes[name].update(data)
            del values[:]


def open_rows(folder: Path) -> tuple[EncodedRows, list[str], dict[str, Any]] | None:
    """Rows, record ids and manifest of a finished folder; None when it is absent or not as it was written."""
    try:
        manifest = json.loads((folder / MANIFEST_NAME).read_text(encoding="utf-8"))
        for name, expected in manifest["files"].items():
            with (folder / name).open("rb") as file:
                if hashlib.file_digest(file, "sha256").hexdigest() != expected:
                    return None
        ids = json.loads((folder / IDS_NAME).read_text(encoding="utf-8"))
        return EncodedRows(_mapped(folder)), ids, manifest
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _file_of(name: str) -> str:
    return f"{name}.{ARRAYS[name]}"


def _mapped(folder: Path) -> dict[str, Any]:
    return {name: numpy.memmap(folder / _file_of(name), dtype=kind, mode="r") for name, kind in ARRAYS.items()}
