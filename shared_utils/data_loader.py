"""Training records from files of any accepted kind, each checked and brought into one form."""

from __future__ import annotations

import csv
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from shared_utils.errors import DataValidationError, missing_package
from shared_utils.file_utils import read_jsonl, sha256_of, sha256_of_text
from shared_utils.json_lists import iter_json_list
from shared_utils.records import Message, Record
from shared_utils.settings import nearest
from shared_utils.tool_calls import tool_list, turn_keys

RECORD_SUFFIXES = (".jsonl", ".json", ".csv", ".parquet")
KEYS_BY_KIND = {
    "text": ("text",),
    "prompt and answer": ("prompt", "completion"),
    "instruction": ("instruction", "output"),
    "ShareGPT": ("conversations",),
    "messages": ("messages",),
}
SHAREGPT_ROLES = {
    "system": "system", "human": "user", "user": "user", "gpt": "assistant", "assistant": "assistant", "tool": "tool",
}  # fmt: skip
PARQUET_ROWS_AT_ONCE = 100
ROLES = ("system", "user", "assistant", "tool")
MOST_SHOWN = 200  # characters of what was found, in an error
LARGEST_FIELD = 64 * 1024 * 1024  # characters in a field of CSV; Python's own limit cuts off real documents
_HALF_OF_A_PAIR = re.compile("[\ud800-\udfff]")  # no text, though JSON can write it; no tokenizer takes it
Rows = Iterator[tuple[str, dict[str, Any]]]  # where a record stands, and the record
RecordReader = Callable[[Mapping[str, Any], str], Record]  # a row and where it stands -> its normal form


@dataclass(frozen=True)
class Rejected:
    """A record that cannot be trained on."""

    where: str
    reason: str


@dataclass(frozen=True)
class LoadedRecords:
    """Records in their normal form, what was left out, and the fingerprint of each file."""

    records: list[Record]
    rejected: list[Rejected]
    fingerprints: dict[str, str]  # file -> SHA-256


class UnusableRecord(DataValidationError):
    """A record of a known kind from which nothing can be learnt; `reason` is for the list of those."""

    def __init__(self, where: str, reason: str) -> None:
        super().__init__(f"{where}: {reason}", hint="mend the record, or leave it out; see docs/data-format.md")
        self.reason = reason


def usable_record(row: Mapping[str, Any], where: str) -> Record:
    """One record of any accepted kind in its normal form, which can be trained on.

    Raises:
        DataValidationError: it is of no known kind, or a field is not of its type.
        UnusableRecord: it has an empty answer, a wrong order of roles or broken characters.
    """
    record = to_record(row, where)
    reason = unusable(record)
    if reason:
        raise UnusableRecord(where, reason)
    return record


def load_records(paths: Sequence[str | Path], read: RecordReader = usable_record) -> LoadedRecords:
    """Read `.jsonl`, `.json`, `.csv`, `.parquet` files, or folders of them; kinds may differ between files.

    What `read` finds unusable, such as records with an empty answer, is counted in `rejected`. It takes a record as
    it stands in the file, and where that is.

    Raises:
        DataValidationError: a file is missing or broken, or a record is of no known kind; names file,
            line, the keys found and the nearest kind.
    """
    records: list[Record] = []
    rejected: list[Rejected] = []
    fingerprints: dict[str, str] = {}
    for path in record_files(paths):
        for where, row in iter_file_rows(path):
            try:
                records.append(read(row, where))
            except UnusableRecord as error:
                rejected.append(Rejected(where, error.reason))
        fingerprints[str(path)] = sha256_of(path)  # last: a broken file is told before it is read to its end
    return LoadedRecords(records, rejected, fingerprints)


def iter_rows(paths: Sequence[str | Path]) -> Rows:
    """Where each record of the files stands, and the record as it stands there; one at a time.

    Raises:
        DataValidationError: a file is missing, broken, or of a type that holds no records.
    """
    for path in record_files(paths):
        yield from iter_file_rows(path)


def to_record(row: Mapping[str, Any], where: str) -> Record:
    """One record of any accepted kind in its normal form.

    Raises:
        DataValidationError: it is of no known kind, or a field is not of its type.
    """
    record: Record = {"id": str(row.get("id") or where), "source": where}
    if "messages" in row:
        record["messages"] = _messages(row["messages"], "role", "content", dict(zip(ROLES, ROLES, strict=True)), where)
        if row.get("tools"):
            record["tools"] = tool_list(row["tools"], "tools", where)
    elif "conversations" in row:
        record["messages"] = _messages(row["conversations"], "from", "value", SHAREGPT_ROLES, where)
    elif "instruction" in row and "output" in row:
        record["messages"] = _from_instruction(row, where)
    elif "prompt" in row and "completion" in row:
        record["messages"] = [
            {"role": "user", "content": _text(row, "prompt", where)},
            {"role": "assistant", "content": _text(row, "completion", where)},
        ]
    elif "text" in row:
        record["text"] = _text(row, "text", where)
    else:
        raise _no_kind(row, where)
    return record


def split_records(records: Sequence[Record], fraction: float) -> tuple[list[Record], list[Record]]:
    """Training and held-out records, chosen by the hash of their content.

    The same record always falls on the same side of its neighbours, whatever the order of the files;
    equal records, and preference pairs with one prompt, never stand on both sides.
    """
    if fraction <= 0 or len(records) < 2:
        return list(records), []
    keys = [content_hash(record) for record in records]
    count = max(1, round(len(records) * fraction))
    held_out: set[str] = set()
    taken = 0
    for key, records_of_it in sorted(Counter(keys).items()):
        if taken < count:
            held_out.add(key)
            taken += records_of_it
    train = [record for record, key in zip(records, keys, strict=True) if key not in held_out]
    if not train:
        return list(records), []
    return train, [record for record, key in zip(records, keys, strict=True) if key in held_out]


def content_hash(record: Record) -> str:
    """SHA-256 of what a record teaches, without its id and place; of a preference pair, of what it asks."""
    content: Any = record.get("text") if "text" in record else record.get("messages")
    if "tools" in record:
        content = [content, record["tools"]]
    return sha256_of_text(json.dumps(content, ensure_ascii=True, sort_keys=True))


def record_files(paths: Sequence[str | Path]) -> list[Path]:
    """The files of records that paths name: folders are searched, in the order of the names.

    Raises:
        DataValidationError: a path does not exist, or a folder holds no file of records.
    """
    files: list[Path] = []
    for given in map(Path, paths):
        if given.is_dir():
            inside = sorted(path for path in given.rglob("*") if _is_record_file(path))
            if not inside:
                raise DataValidationError(
                    f"{given} holds no training records", hint=f"put {', '.join(RECORD_SUFFIXES)} files there"
                )
            files += inside
        elif given.exists() and not given.is_file():
            raise DataValidationError(f"{given} is not a regular file", hint="only plain files are read")
        elif not given.exists():
            raise DataValidationError(
                f"File not found: {given}", hint="check the path; python main.py create-samples writes data/train.jsonl"
            )
        else:
            files.append(given)
    return files


def _is_record_file(path: Path) -> bool:
    # A pipe or a device would never come to an end.
    return path.suffix.casefold() in RECORD_SUFFIXES and path.is_file()


def iter_file_rows(path: Path) -> Rows:
    """The records of one file as they stand there, one at a time; see `iter_rows`."""
    readers: dict[str, Callable[[Path], Rows]] = {
        ".jsonl": _jsonl_rows, ".json": _json_rows, ".csv": _csv_rows, ".parquet": _parquet_rows,
    }  # fmt: skip
    reader = readers.get(path.suffix.casefold())
    if reader is None:
        raise DataValidationError(
            f"{path}: files of type '{path.suffix}' hold no training records",
            hint=f"accepted: {', '.join(RECORD_SUFFIXES)}; python main.py extract turns documents into records",
        )
    return reader(path)


def _jsonl_rows(path: Path) -> Rows:
    return ((f"{path}, line {number}", row) for number, row in read_jsonl(path))


def _json_rows(path: Path) -> Rows:
    return ((f"{path}, record {number}", row) for number, row in enumerate(iter_json_list(path), start=1))


def _csv_rows(path: Path) -> Rows:
    csv.field_size_limit(LARGEST_FIELD)
    number = 1
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            for row in reader:
                number = reader.line_num + 1
                where = f"{path}, line {reader.line_num}"
                if None in row:
                    raise DataValidationError(f"{where}: more fields than the header has", hint="check the quotes")
                yield where, dict(row)
    except UnicodeDecodeError as error:
        where = f"{path}, after line {number}"  # text is decoded ahead of the lines
        raise DataValidationError(f"{where}: not UTF-8 ({error.reason})", hint="save the file as UTF-8") from None
    except csv.Error as error:
        raise DataValidationError(f"{path}, line {number}: not valid CSV: {error}", hint="check the quotes") from None


def _parquet_rows(path: Path) -> Rows:
    try:
        import pyarrow
        import pyarrow.parquet as parquet
    except ImportError:
        raise missing_package("pyarrow", f"reading {path}") from None
    try:
        with parquet.ParquetFile(path) as file:
            rows = (row for batch in file.iter_batches(PARQUET_ROWS_AT_ONCE) for row in batch.to_pylist())
            for number, row in enumerate(rows, start=1):
                yield f"{path}, row {number}", row
    except (pyarrow.ArrowException, OSError) as error:
        raise DataValidationError(f"{path}: not a Parquet file: {error}", hint="write it again") from None


def _messages(value: Any, role_key: str, text_key: str, roles: Mapping[str, str], where: str) -> list[Message]:
    if not isinstance(value, list):
        raise DataValidationError(
            f"{where}: a list of turns is needed", hint=f'turns look like {{"{role_key}": "..."}}'
        )
    messages: list[Message] = []
    for number, turn in enumerate(value, start=1):
        place = f"{where}, turn {number}"
        if not isinstance(turn, dict):
            raise DataValidationError(f"{place}: not an object", hint=f"needed: {role_key} and {text_key}")
        role = roles.get(str(turn.get(role_key)))
        if role is None:
            raise DataValidationError(
                f"{place}: '{role_key}' is {turn.get(role_key)!r:.60}", hint=f"allowed: {', '.join(roles)}"
            )
        calls = turn_keys(turn, role, place)
        text = "" if turn.get(text_key) is None and "tool_calls" in calls else _text(turn, text_key, place)
        messages.append({"role": role, "content": text, **calls})  # type: ignore[typeddict-item]
    return messages


def _from_instruction(row: Mapping[str, Any], where: str) -> list[Message]:
    messages: list[Message] = []
    if row.get("system"):
        messages.append({"role": "system", "content": _text(row, "system", where)})
    for pair in row.get("history") or []:
        if not (isinstance(pair, list) and len(pair) == 2 and all(isinstance(text, str) for text in pair)):
            raise DataValidationError(
                f"{where}: 'history' must be a list of [question, answer]", hint="see docs/data-format.md"
            )
        messages += [{"role": "user", "content": pair[0]}, {"role": "assistant", "content": pair[1]}]
    context = _text(row, "input", where) if row.get("input") else ""
    question = _text(row, "instruction", where) + (f"\n\n{context}" if context else "")
    return [
        *messages,
        {"role": "user", "content": question},
        {"role": "assistant", "content": _text(row, "output", where)},
    ]


def _text(row: Mapping[str, Any], key: str, where: str) -> str:
    value = row.get(key)
    if not isinstance(value, str):
        found = "missing" if value is None else f"of type {type(value).__name__}"
        raise DataValidationError(f"{where}: field '{key}' is {found}", hint="it must be text; see docs/data-format.md")
    return value


def _no_kind(row: Mapping[str, Any], where: str) -> DataValidationError:
    if "chosen" in row and "rejected" in row:
        return DataValidationError(
            f"{where}: a preference pair (chosen, rejected), from which fine-tuning on answers does not learn",
            hint="python main.py train-dpo learns from pairs",
        )
    known = sorted({key for keys in KEYS_BY_KIND.values() for key in keys})
    close = {key: nearest(key, known) for key in row}
    kind = next((name for name, keys in KEYS_BY_KIND.items() if set(keys) & (set(row) | set(close.values()))), "text")
    keys = " and ".join(f"'{key}'" for key in KEYS_BY_KIND[kind])
    found = ", ".join(sorted(map(str, row))) or "none"
    found = found if len(found) <= MOST_SHOWN else f"{found[:MOST_SHOWN]}..."
    return DataValidationError(
        f"{where}: no known kind of record (keys found: {found})",
        hint=f"the nearest kind is '{kind}', which needs {keys}",
    )


def unusable(record: Record) -> str | None:
    """Why a record cannot be trained on, or None."""
    if "text" in record:
        if _HALF_OF_A_PAIR.search(record["text"]):
            return "broken characters (half of a pair)"
        return None if record["text"].strip() else "empty text"
    turns = [message for message in record["messages"] if message["role"] != "system"]
    if not any(message["role"] == "assistant" for message in turns):
        return "no answer"
    answers = [message for message in turns if message["role"] == "assistant"]
    if any(not message["content"].strip() and not message.get("tool_calls") for message in answers):
        return "empty answer"
    roles = [message["role"] for message in turns if message["role"] != "tool"]
    in_turn = all(first != second for first, second in pairwise(roles) if first == "user")
    if roles[0] != "user" or not in_turn or "system" in [message["role"] for message in record["messages"][1:]]:
        return "wrong order of roles"
    contents = "".join(message["content"] for message in record["messages"])
    calls = [record.get("tools"), *(message.get("tool_calls") for message in record["messages"])]
    if _HALF_OF_A_PAIR.search(contents) or (
        any(calls) and _HALF_OF_A_PAIR.search(json.dumps(calls, ensure_ascii=False))
    ):
        return "broken characters (half of a pair)"
    if "\ufffd" in contents:
        return "broken characters (U+FFFD)"
    return None
