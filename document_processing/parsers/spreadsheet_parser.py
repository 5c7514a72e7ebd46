"""Tables: Excel workbooks and delimited text, as rows of Markdown.

A long table makes several documents, each with the header again, so that each can be read on its own.
"""

from __future__ import annotations

import csv
import io
import warnings
from collections.abc import Iterable, Iterator, Sequence
from datetime import date, datetime, time, timedelta
from itertools import islice
from pathlib import Path
from typing import Any

from document_processing.content_sniffing import refuse_if_not
from document_processing.parsers.base import DocumentParser, read_bytes
from document_processing.parsers.docx_parser import core_properties
from document_processing.parsers.sections import markdown_table
from document_processing.parsers.text_parser import encoding_metadata
from document_processing.parsers.zip_safety import refuse_zip_bomb
from document_processing.text_cleaning import clean_text
from document_processing.text_decoding import decode_text
from shared_utils.errors import DocumentProcessingError, missing_extra
from shared_utils.file_utils import open_binary, validate_file_path
from shared_utils.records import Document

ROWS_PER_DOCUMENT = 100
MOST_COLUMNS = 500  # more are no table that anyone reads as text; the rest is left out and told
LONGEST_CELL = 10_000_000  # characters
_DELIMITERS = ",;\t|"
_SAMPLE_LINES = 50


class SpreadsheetParser(DocumentParser):
    """Reads a workbook as one document for each hundred rows of a sheet; formulas as the values last computed."""

    def iter_parse(self, path: str | Path) -> Iterator[Document]:
        """The same as `parse`, as an iterator."""
        checked = validate_file_path(path, extensions=None)
        with open_binary(checked) as file:
            refuse_if_not(file, "an Excel workbook", ".xlsx")
        refuse_zip_bomb(checked)
        workbook = _open(checked)
        try:
            shared = core_properties(workbook.properties)
            title = shared.pop("title", "") or Path(path).stem
            names = [sheet.title for sheet in workbook.worksheets]
            for number, sheet in enumerate(workbook.worksheets, start=1):
                sheet.reset_dimensions()  # what the file claims about its size may be wrong
                metadata = {**shared, "sheet": clean_text(sheet.title), "sheet_number": number, "sheets": len(names)}
                if sheet.sheet_state != "visible":
                    metadata["hidden"] = True
                rows = ([_shown(value) for value in row] for row in sheet.iter_rows(values_only=True))
                yield from _table_documents(str(path), title, rows, metadata)
        finally:
            workbook.close()


class DelimitedParser(DocumentParser):
    """Reads comma-, semicolon- or tab-separated values as one document for each hundred rows."""

    def iter_parse(self, path: str | Path) -> Iterator[Document]:
        """The same as `parse`, as an iterator."""
        decoded = decode_text(read_bytes(path))
        metadata = encoding_metadata(decoded)
        delimiter = "\t" if Path(path).suffix.casefold() == ".tsv" else delimiter_of(decoded.text)
        metadata["delimiter"] = delimiter
        csv.field_size_limit(LONGEST_CELL)
        rows = csv.reader(io.StringIO(decoded.text, newline=""), delimiter=delimiter)
        try:
            yield from _table_documents(str(path), Path(path).stem, rows, metadata)
        except csv.Error as error:
            raise DocumentProcessingError(
                f"line {rows.line_num}: {error}", hint="check the quotes of the cell that begins there or before"
            ) from error


def delimiter_of(text: str) -> str:
    """What separates the cells: that which parts the most lines into the same number of cells, above one."""
    lines = [line for line in islice(io.StringIO(text, newline=""), _SAMPLE_LINES) if line.strip()]
    best, best_score = ",", (0, 0)
    for delimiter in _DELIMITERS:
        try:
            widths = [len(row) for row in csv.reader(lines, delimiter=delimiter)]
        except csv.Error:
            continue
        usual = max(set(widths), key=lambda width: (widths.count(width), width), default=1)
        score = (widths.count(usual) if usual > 1 else 0, usual)
        if score > best_score:
            best, best_score = delimiter, score
    return best


def _open(path: Path) -> Any:
    try:
        import openpyxl
    except ImportError:
        raise missing_extra("documents", "openpyxl", "reading Excel workbooks") from None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns of drawings and styles, which are not read anyway
        return openpyxl.load_workbook(path, read_only=True, data_only=True, keep_links=False)


def _table_documents(
    source: str, title: str, rows: Iterable[Sequence[str]], metadata: dict[str, Any]
) -> Iterator[Document]:
    """The header is the first row that is not empty; rows are numbered as in the file, from 1."""
    filled = ((number, _trimmed(row)) for number, row in enumerate(rows, start=1))
    numbered = ((number, row) for number, row in filled if any(row))
    first = next(numbered, None)
    if first is None:
        return
    header_number, header = first
    is_header_told = False
    while True:
        part = list(islice(numbered, ROWS_PER_DOCUMENT))
        if not part and is_header_told:
            return
        is_header_told = True
        used = [row for _, row in part]
        place = {
            "row_start": part[0][0] if part else header_number,
            "row_end": part[-1][0] if part else header_number,
            "columns": [cell for cell in header[:MOST_COLUMNS] if cell],
        }
        cut = max(len(row) for row in [header, *used]) - MOST_COLUMNS
        if cut > 0:
            place["warnings"] = [f"{cut} columns after the first {MOST_COLUMNS} were left out"]
        content = markdown_table(row[:MOST_COLUMNS] for row in [header, *used])
        yield Document(source=source, type="spreadsheet", title=title, content=content, metadata={**metadata, **place})


def _trimmed(row: Sequence[str]) -> list[str]:
    """Clean cells without the empty ones at the end."""
    cells = [clean_text(cell).strip() for cell in row]
    while cells and not cells[-1]:
        cells.pop()
    return cells


def _shown(value: object) -> str:
    """A cell as a reader sees it: whole numbers without a point, dates without a time of midnight."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)
    if isinstance(value, datetime):
        return value.date().isoformat() if value.time() == time() else value.isoformat(sep=" ", timespec="seconds")
    if isinstance(value, date | time | timedelta):
        return str(value)
    return str(value)
