"""Which documents of an extraction say the same as earlier ones, and what is left of the files without them.

The workers have stored a signature for each document; here they are compared in the order of the outputs,
so the same documents stay for any number of workers. Of a text no more than a signature is held in memory.
"""

from __future__ import annotations

import json
from array import array
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from document_processing.settings import CleaningSettings
from shared_utils.records import Document
from workflows.extraction_entries import PARSED_SUFFIX, SIGNED_SUFFIX, iter_entry
from workflows.extraction_file import FileResult

if TYPE_CHECKING:
    from document_processing.deduplication import Duplicate

MOST_LISTED = 1000  # duplicates that the manifest lists; it counts all


@dataclass(frozen=True)
class Duplicates:
    """What is left out.

    Attributes:
        numbers: positions (from 0) of the documents left out of a file, by its path.
        listed: the first of them, as the manifest shows them.
        total: how many there are.
    """

    numbers: dict[str, set[int]] = field(default_factory=dict)
    listed: list[dict[str, Any]] = field(default_factory=list)
    total: int = 0


def without_duplicates(
    results: Sequence[FileResult], store: Path, cleaning: CleaningSettings
) -> tuple[list[FileResult], Duplicates]:
    """The results of the files without their duplicates, and what those are."""
    if not cleaning.dedupe:
        return list(results), Duplicates()
    from document_processing.deduplication import DuplicateFinder  # brings numpy, which most runs do not need

    places = _Places(results, store)
    finder = DuplicateFinder(cleaning.dedupe_threshold, places.text)
    numbers: dict[str, set[int]] = {}
    originals: dict[str, set[str]] = {}
    listed: list[dict[str, Any]] = []
    characters: Counter[str] = Counter()
    for index, result in enumerate(results):
        for number, signature in enumerate(_signatures(result, store)):
            places.add(index, signature["place"], signature["length"])
            duplicate = finder.find({"digest": signature["digest"], "minhash": signature["minhash"]})
            if duplicate is None:
                continue
            numbers.setdefault(result.path, set()).add(number)
            originals.setdefault(result.path, set()).add(places.result(duplicate.of).path)
            characters[result.path] += signature["characters"]
            if len(listed) < MOST_LISTED:
                listed.append(_listed(places, duplicate, number))
    duplicates = Duplicates(numbers, listed, sum(map(len, numbers.values())))
    left = [
        _reduced(result, store, duplicates, originals[result.path], characters[result.path])
        if result.path in numbers
        else result
        for result in results
    ]
    return left, duplicates


def kept_records(result: FileResult, store: Path, duplicates: Duplicates) -> Iterator[tuple[str, bytes]]:
    """Kind and line of the records of a file, without those of documents that are left out."""
    left_out = duplicates.numbers.get(result.path, set())
    if result.status != "ok":
        return
    for entry in result.entries:
        number = -1
        for kind, line in iter_entry(store / entry):
            number += kind in ("documents", "begins")
            if number not in left_out:
                yield kind, line


class _Places:
    """Where each document stands: its file, and its line in the entry of that file. 16 bytes a document."""

    def __init__(self, results: Sequence[FileResult], store: Path) -> None:
        self._results = results
        self._store = store
        self._files = array("I")
        self._starts = array("Q")
        self._lengths = array("I")

    def add(self, file: int, start: int, length: int) -> None:
        self._files.append(file)
        self._starts.append(start)
        self._lengths.append(length)

    def __len__(self) -> int:
        return len(self._files)

    def result(self, number: int) -> FileResult:
        return self._results[self._files[number]]

    def document(self, number: int) -> Document:
        name = next(entry for entry in self.result(number).entries if entry.endswith(PARSED_SUFFIX))
        with (self._store / name).open("rb") as file:
            file.seek(self._starts[number])
            document: Document = json.loads(file.read(self._lengths[number]))
        return document

    def text(self, number: int) -> str:
        return self.document(number)["content"]


def _signatures(result: FileResult, store: Path) -> Iterator[dict[str, Any]]:
    for entry in result.entries:
        if entry.endswith(SIGNED_SUFFIX):
            for _, line in iter_entry(store / entry):
                yield json.loads(line)


def _listed(places: _Places, duplicate: Duplicate, number: int) -> dict[str, Any]:
    """How the manifest shows a duplicate: `number` is its position among the documents of its file, from 0."""
    return {
        **_told(places.document(len(places) - 1)),
        "document": number,
        "of": _told(places.document(duplicate.of)),
        "similarity": round(duplicate.similarity, 4),
    }


def _told(document: Document) -> dict[str, Any]:
    told: dict[str, Any] = {"path": document["source"]}
    for key in ("page", "heading_path"):
        if key in document["metadata"]:
            told[key] = document["metadata"][key]
    return told


def _reduced(
    result: FileResult, store: Path, duplicates: Duplicates, originals: set[str], characters: int
) -> FileResult:
    """The result with the counts of what stays; a file of which nothing stays is skipped, and says why."""
    left_out = len(duplicates.numbers[result.path])
    counts = Counter(kind for kind, _ in kept_records(result, store, duplicates))
    reduced = replace(
        result,
        documents=counts["documents"],
        chunks=counts["chunks"],
        instructions=counts["instructions"],
        characters=result.characters - characters,
        duplicates=left_out,
    )
    if counts["documents"]:
        return reduced
    first, more = min(originals), len(originals) - 1
    reason = f"a duplicate of {first}" + (f" and {more} more" if more else "")
    return replace(reduced, status="skipped", reason=reason, hint="nothing is lost; --no-dedupe keeps it")
