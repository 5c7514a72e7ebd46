"""DatasetDirectoryManager: folders of records, sorted by what made them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from shared_utils.data_loader import content_hash, iter_file_rows, record_files, to_record
from shared_utils.errors import ConfigurationError, DataValidationError
from shared_utils.file_utils import atomic_writer, to_json
from shared_utils.path_utils import PathUtils

EVALUATION_NAME = "evaluation.jsonl"
HASH_DIGITS = 12  # of the content hash; enough to cut a share of the records as finely as anybody asks for


@dataclass(frozen=True)
class OrganizedData:
    """Records sorted by type.

    Attributes:
        train: type -> its file of records to train on.
        evaluation: file of the held-out records of all types; None where none are held out.
        records: type -> how many it has, those held out included.
        left_out: type that was not asked for -> how many records it has.
    """

    train: dict[str, Path]
    evaluation: Path | None
    records: dict[str, int]
    left_out: dict[str, int]


class DatasetDirectoryManager:
    """The record files of several folders.

    What made a record, its type, is told by `algorithm` in its `metadata`, else by the name of the file or folder that
    it lies in (`heuristics-bfs_20300131` is of type BFS), else it is that of the folder given. Case and separators do
    not count, and a star is a word: A*, ASTAR and a-star are one type.

    Args:
        directories: folders or files, or patterns such as `logs/heuristics-bfs_*`; taken in this order.

    Raises:
        DataValidationError: a pattern matches nothing, or a folder holds no file of records.
    """

    def __init__(self, directories: Iterable[str | Path]) -> None:
        self.directories = PathUtils.expand(directories)
        if not self.directories:
            raise DataValidationError("no folder of records is named", hint="give at least one")
        self.files = [(folder, path) for folder in self.directories for path in record_files([folder])]

    def count_types(self, types: Sequence[str] = ()) -> dict[str, int]:
        """How many records there are of each type; every one is read and checked.

        Raises:
            DataValidationError: a file is broken, or a record is of no known kind; names the line.
        """
        counts: Counter[str] = Counter()
        for _, kind, row, where in self._rows(types):
            to_record(row, where)
            counts[kind] += 1
        return dict(counts)

    def organize(self, output_dir: Path, types: Sequence[str] = (), held_out_share: float = 0.0) -> OrganizedData:
        """Write a file of records for each type, and one of those held out.

        Records of the same content are all held out or all trained on, whatever type they are of.

        Args:
            output_dir: where the files go.
            types: those to take; none takes all that are found.
            held_out_share: of the records of each type, 0 to below 1.

        Raises:
            ConfigurationError: two types have one name.
            DataValidationError: a file is broken, a record is of no known kind, or a type that was asked for has none.
        """
        keys = [type_key(kind) for kind in types]
        if len(set(keys)) < len(keys):
            raise ConfigurationError(f"two of the types {', '.join(types)} are the same", hint="name each once")
        limit = round(held_out_share * 16**HASH_DIGITS)
        records: Counter[str] = Counter()
        left_out: Counter[str] = Counter()
        train: dict[str, tuple[Path, TextIO]] = {}
        with ExitStack() as stack:
            evaluation = stack.enter_context(atomic_writer(output_dir / EVALUATION_NAME))
            for key, kind, row, where in self._rows(types):
                if types and key not in keys:
                    left_out[kind] += 1
                    continue
                record = to_record(row, where)
                records[kind] += 1
                if kind not in train:
                    path = output_dir / f"{key}.jsonl"
                    train[kind] = path, stack.enter_context(atomic_writer(path))
                is_held_out = int(content_hash(record)[:HASH_DIGITS], 16) < limit
                out = evaluation if is_held_out else train[kind][1]
                out.write(to_json({**row, "id": f"{kind}: {where}"}) + "\n")
            missing = [kind for kind in types if not records[kind]]
            if missing or not records:
                found = ", ".join(f"{kind} ({count})" for kind, count in {**records, **left_out}.items()) or "none"
                raise DataValidationError(f"no records of type {', '.join(missing)}", hint=f"types found: {found}")
        return OrganizedData(
            {kind: path for kind, (path, _) in train.items()},
            output_dir / EVALUATION_NAME if limit else None,
            dict(records),
            dict(left_out),
        )

    def _rows(self, types: Sequence[str]) -> Iterable[tuple[str, str, dict[str, Any], str]]:
        """Each record with the key and the name of its type, and where it stands."""
        # The first name that a type is met under is its name, if it was not named by the caller.
        asked = {type_key(kind): kind for kind in types}
        names = dict(asked)
        for folder, path in self.files:
            by_path = _type_in_path(path, folder, asked)
            for where, row in iter_file_rows(path):
                kind = _stated_type(row) or by_path
                key = type_key(kind)
                yield key, names.setdefault(key, kind), row, where


def type_key(kind: str) -> str:
    """What two spellings of a type share: A*, ASTAR and a-star are `astar`.

    Raises:
        DataValidationError: there is no letter or digit in it.
    """
    key = "".join(ch for ch in kind.casefold().replace("*", "star") if ch.isalnum())
    if not key:
        raise DataValidationError(f"{kind!r} is no name of a type", hint="it needs a letter or digit")
    return key


def _stated_type(row: Mapping[str, Any]) -> str | None:
    metadata = row.get("metadata")
    kind = metadata.get("algorithm") if isinstance(metadata, dict) else None
    return str(kind) if kind else None


def _type_in_path(path: Path, folder: Path, names: Mapping[str, str]) -> str:
    """The type that is a whole word, or several, of the nearest name above a record; else the name of the folder."""
    inside = path.relative_to(folder).with_suffix("").parts if path != folder else (path.stem,)
    for name in reversed((folder.resolve().name, *inside)):
        words = [word for word in re.split(r"[\W_]+", name.casefold().replace("*", "star")) if word]
        runs = {"".join(words[start:end]) for start in range(len(words)) for end in range(start + 1, len(words) + 1)}
        found = sorted(runs & set(names), key=len)
        if found:
            return names[found[-1]]
    return folder.resolve().name if path != folder else path.stem
