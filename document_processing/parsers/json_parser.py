"""JSON: records as one document each, anything else as readable lines of `key: value`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from document_processing.parsers.base import DocumentParser, read_bytes
from document_processing.parsers.sections import one_line
from document_processing.parsers.text_parser import encoding_metadata
from document_processing.text_cleaning import clean_text
from document_processing.text_decoding import DecodedText, decode_text
from shared_utils.errors import DocumentProcessingError
from shared_utils.file_utils import to_json
from shared_utils.records import Document

TEXT_KEYS = ("text", "content", "body", "article", "markdown", "page_content")
TITLE_KEYS = ("title", "headline", "subject", "name")
LONGEST_TITLE = 200  # characters
MOST_FIELDS = 20_000  # characters of JSON beside the text; a record with more is told as a whole
MOST_TOLD = 5  # broken lines that are told one by one
_LINES = frozenset({".jsonl", ".ndjson"})


class JSONParser(DocumentParser):
    """Reads JSON and JSON Lines.

    A record with a text field becomes that text, its other values stand in the metadata (`fields`); one without
    becomes lines of `key: value`. A line that is broken is told, and the others are kept.
    """

    def iter_parse(self, path: str | Path) -> Iterator[Document]:
        """The same as `parse`, as an iterator."""
        decoded = decode_text(read_bytes(path))
        shared = encoding_metadata(decoded)
        records = _of_lines(decoded) if Path(path).suffix.casefold() in _LINES else _of_file(decoded)
        broken: list[str] = []
        waiting: Document | None = None  # the last document carries what was broken
        for place, value in records:
            if isinstance(value, ValueError):
                broken.append(_told(place, value))
                continue
            text, facts = _text_and_facts(value)
            content = clean_text(text).strip()
            if not content:
                continue
            if waiting is not None:
                yield waiting
            waiting = Document(
                source=str(path),
                type="json",
                title=_title(value) or Path(path).stem,
                content=content,
                metadata={**shared, **place, **facts},
            )
        if waiting is None:
            if broken:
                raise DocumentProcessingError(f"it is no valid JSON: {broken[0]}", hint="mend it, or save it again")
            return
        if broken:
            more = [f"{len(broken) - MOST_TOLD} more lines are broken"] if len(broken) > MOST_TOLD else []
            told = [*waiting["metadata"].get("warnings", []), *broken[:MOST_TOLD], *more]
            waiting["metadata"]["warnings"] = told
        yield waiting


def _of_lines(decoded: DecodedText) -> Iterator[tuple[dict[str, Any], Any]]:
    """Line number and value, or the error, of each line."""
    for number, line in enumerate(decoded.text.split("\n"), start=1):
        if line.strip():
            try:
                value: Any = json.loads(line)
            except RecursionError:
                value = ValueError("it is nested too deeply")
            except ValueError as error:
                value = error
            yield {"line": number}, value


def _of_file(decoded: DecodedText) -> Iterator[tuple[dict[str, Any], Any]]:
    """The records of a list, or the whole."""
    try:
        value = json.loads(decoded.text)
    except json.JSONDecodeError as error:
        # Many files of lines carry the suffix .json.
        lines = list(_of_lines(decoded)) if error.msg == "Extra data" else []
        good = [value for _, value in lines if isinstance(value, dict)]
        if len(good) > 1:
            yield from lines
            return
        yield {"line": error.lineno}, error
        return
    except ValueError as error:  # a number of too many digits
        yield {}, error
        return
    except RecursionError:
        raise DocumentProcessingError("it is nested too deeply to be read", hint="simplify the file") from None
    records = value
    if isinstance(value, dict) and len(value) == 1:  # {"data": [...]}
        records = next(iter(value.values()))
    if isinstance(records, list) and records and all(isinstance(record, dict) for record in records):
        for number, record in enumerate(records, start=1):
            yield {"record": number}, record
    else:
        yield {}, value


def _told(place: dict[str, Any], error: ValueError) -> str:
    reason = error.msg if isinstance(error, json.JSONDecodeError) else str(error)[:200]
    column = f", column {error.colno}" if isinstance(error, json.JSONDecodeError) else ""
    return f"line {place.get('line', 1)}{column}: {reason}"


def _text_and_facts(value: Any) -> tuple[str, dict[str, Any]]:
    """The text of a value, and what goes into the metadata beside it; nothing of it is lost."""
    if isinstance(value, dict):
        used = next((key for key in TEXT_KEYS if isinstance(value.get(key), str) and value[key].strip()), None)
        fields = {key: item for key, item in value.items() if key != used}
        if used and not fields:
            return value[used], {}
        if used and _is_small(fields):
            return value[used], {"fields": fields}
    return "\n".join(_lines(value)), {}


def _is_small(fields: dict[str, Any]) -> bool:
    """They can stand in the metadata: few, not deep, and in characters and numbers that JSON knows."""
    try:
        text = to_json(fields)
        text.encode("utf-8")
    except (ValueError, RecursionError):
        return False
    return len(text) <= MOST_FIELDS


def _lines(value: Any) -> Iterator[str]:
    """A value as an indented outline; walked without recursion."""
    pending: list[tuple[int, str, Any]] = [(0, "", value)]
    while pending:
        depth, label, current = pending.pop()
        indent = "  " * max(0, depth - 1)
        if isinstance(current, dict | list) and current:
            if label:
                yield (indent + label).rstrip()
            items = (
                [(f"{key}:", item) for key, item in current.items()]
                if isinstance(current, dict)
                else [("-", item) for item in current]
            )
            pending.extend((depth + 1, name, item) for name, item in reversed(items))
        elif current is not None and not isinstance(current, dict | list):
            yield f"{indent}{label} {_plain(current)}".rstrip() if label else _plain(current)


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _title(value: Any) -> str:
    if not isinstance(value, dict):
        return ""
    named = (value.get(key) for key in TITLE_KEYS)
    return next((one_line(clean_text(title))[:LONGEST_TITLE] for title in named if isinstance(title, str)), "")
