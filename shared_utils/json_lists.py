"""A JSON list read one object at a time, so that memory does not grow with the file."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

from shared_utils.errors import DataValidationError
from shared_utils.file_utils import translated_os_errors

CHARACTERS_AT_ONCE = 1 << 16
LONGEST_OBJECT = 1 << 26  # characters; beyond it a file is taken for broken instead of being read to its end
_SPACE = " \t\n\r"
_LIST_HINT = "put [ ] around them, or use JSONL"


def iter_json_list(path: Path) -> Iterator[dict[str, Any]]:
    """The objects of a file that holds one list of them.

    Raises:
        DataValidationError: not UTF-8, not JSON, not a list, or an element that is no object; names the line or the
            number of the record.
    """
    with translated_os_errors(path), path.open(encoding="utf-8-sig") as file:
        try:
            yield from _ListReader(path, file).objects()
        except UnicodeDecodeError as error:
            raise DataValidationError(f"{path}: not UTF-8 ({error.reason})", hint="save the file as UTF-8") from None


class _ListReader:
    """The part of the file that is being looked at, and where it stands in it."""

    def __init__(self, path: Path, file: TextIO) -> None:
        self._path = path
        self._file = file
        self._text = ""
        self._start = 0  # of what is not read yet, in `_text`
        self._line = 1  # of the start of `_text`
        self._decode = json.JSONDecoder().raw_decode

    def objects(self) -> Iterator[dict[str, Any]]:
        if self._next_mark() != "[":
            raise DataValidationError(f"{self._path}: a list of records is needed", hint=_LIST_HINT)
        self._start += 1
        if self._next_mark() == "]":
            return self._refuse_more()
        for number in range(1, 1 << 62):
            if self._next_mark() != "{":
                raise self._not_an_object(number)
            yield self._object()
            mark = self._next_mark()
            if mark == "]":
                return self._refuse_more()
            if mark != ",":
                raise self._broken("Expecting ',' or ']' after a record", self._start)
            self._start += 1

    def _next_mark(self) -> str:
        """The next character that is no white space, or nothing at the end of the file."""
        while True:
            while self._start < len(self._text):
                if self._text[self._start] not in _SPACE:
                    return self._text[self._start]
                self._start += 1
            if not self._read_more(CHARACTERS_AT_ONCE):
                return ""

    def _object(self) -> dict[str, Any]:
        amount = CHARACTERS_AT_ONCE
        while True:
            try:
                value, self._start = self._decode(self._text, self._start)
                return dict(value)
            except RecursionError:
                raise self._broken("nested too deeply", self._start) from None
            except json.JSONDecodeError as error:
                if len(self._text) - self._start > LONGEST_OBJECT or not self._read_more(amount):
                    raise self._broken(error.msg, min(error.pos, len(self._text))) from None
                amount *= 2  # an object that does not end soon must not be parsed anew for every piece
            except ValueError as error:  # a number with thousands of digits
                raise self._broken(f"{error!s:.200}", self._start) from None

    def _read_more(self, amount: int) -> bool:
        """Forget what is done and read on; whether there was anything left."""
        more = self._file.read(amount)
        if more:
            self._line += self._text.count("\n", 0, self._start)
            self._text = self._text[self._start :] + more
            self._start = 0
        return bool(more)

    def _refuse_more(self) -> None:
        self._start += 1
        if self._next_mark():
            raise self._broken("Extra data", self._start)

    def _not_an_object(self, number: int) -> DataValidationError:
        try:
            self._decode(self._text, self._start)
        except (json.JSONDecodeError, RecursionError):
            return self._broken("Expecting a record", self._start)
        return DataValidationError(f"{self._path}, record {number}: not an object", hint="each record is {...}")

    def _broken(self, reason: str, position: int) -> DataValidationError:
        line = self._line + self._text.count("\n", 0, position)
        return DataValidationError(
            f"{self._path}, line {line}: not valid JSON: {reason}", hint="a list of records is needed"
        )
