"""Which piece of work is next: the largest files first, and the pages of a split file before the next file.

A job is a plain dict for a worker (see `extraction_worker`). When a range of pages fails, it is tried again in
smaller ranges, down to single pages, so that only the guilty pages are lost. A file fails as a whole when
nothing of it could be read.
"""

from __future__ import annotations

import math
import os
import sys
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from workflows.extraction_file import FileResult, WorkPlan
from workflows.extraction_pages import PageSplit, Piece, page_ranges, range_size
from workflows.file_discovery import FoundFile
from workflows.worker_pool import Failure

# Seconds a megabyte takes by type, to tell which file takes longest.
SECONDS_PER_MB = {"pdf": 10.0, "markdown": 2.0, "text": 1.0}
# The work on a text is linear in its size, so a large one is no sign of trouble.
LIMIT_SECONDS_PER_TEXT_MB = 2.0
LIMIT_SECONDS_PER_JOINED_PAGE = 0.05
PIECES_OF_A_FAILED_RANGE = 8
# Each may have taken the whole time limit; what fails after them is lost without another try.
MOST_FAILED_RANGES = 16
LIMITS_HINT = "look at the file, or raise the limits (--timeout, document_processing.extraction.memory_limit_mb)"


@dataclass
class _Split:
    """A file that is being read in ranges."""

    split: PageSplit
    unread: int = 0
    failed: int = 0
    seconds: float = 0.0
    pieces: list[Piece] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Task:
    """A job that waits or runs: a whole file, a range of its pages, or the joining of its pieces."""

    file: int
    do: str = "file"
    first: int = 0
    last: int = 0


class ExtractionSchedule:
    """Hands out jobs and turns their answers into results.

    Args:
        files: what is read; entries with a status are passed over.
        plan: tells the limits.
    """

    def __init__(self, files: Sequence[FoundFile], plan: WorkPlan) -> None:
        self._files, self._plan = files, plan
        readable = (index for index in reversed(range(len(files))) if not files[index].status)
        self._waiting = sorted(readable, key=lambda index: _weight(files[index]))  # the next one is the last
        self._urgent: deque[_Task] = deque()
        self._running: dict[int, _Task] = {}
        self._splits: dict[int, _Split] = {}
        self._taken = 0

    def take(self) -> tuple[int, dict[str, Any]] | None:
        """The next job and its number; None when there is none now. Answers to running jobs may bring more."""
        if self._urgent:
            task = self._urgent.popleft()
        elif self._waiting:
            task = _Task(self._waiting.pop())
        else:
            return None
        self._taken += 1
        self._running[self._taken] = task
        return self._taken, self._job(task)

    def note(self, number: int, answer: Mapping[str, Any] | Failure) -> tuple[int, FileResult] | None:
        """Take the answer to a job; position and result of its file, when that is finished now."""
        task = self._running.pop(number)
        if task.do == "pages":
            self._note_range(task, self._splits[task.file], answer)
            return self._next_of(task.file)
        if isinstance(answer, Failure):
            return task.file, self._failed(task.file, answer)
        if "split" in answer:
            self._begin_split(task.file, PageSplit(**answer["split"]), answer["seconds"])
            return None
        result = self._result(self._files[task.file], answer["result"])
        if task.do == "join":
            result = replace(result, seconds=round(result.seconds + self._splits.pop(task.file).seconds, 3))
        return task.file, result

    @staticmethod
    def _result(file: FoundFile, fields: Mapping[str, Any]) -> FileResult:
        """A result made of an answer; shares what the file holds already, as there may be very many."""
        shared = {"path": file.source, "type": file.type, "status": sys.intern(fields["status"])}
        return FileResult(**{**fields, **shared, "entries": tuple(fields["entries"])})

    def _begin_split(self, file: int, split: PageSplit, seconds: float) -> None:
        ranges = page_ranges(0, split.pages, range_size(split.pages))
        self._splits[file] = _Split(split, unread=len(ranges), seconds=seconds)
        self._urgent.extend(_Task(file, "pages", first, last) for first, last in ranges)

    def _note_range(self, task: _Task, state: _Split, answer: Mapping[str, Any] | Failure) -> None:
        state.unread -= 1
        if not isinstance(answer, Failure) and "part" in answer:
            state.seconds += answer["seconds"]
            state.pieces.append(Piece(task.first, task.last, part=answer["part"]))
            return
        state.failed += 1
        pages = task.last - task.first
        if pages > 1 and state.failed <= MOST_FAILED_RANGES:
            smaller = page_ranges(task.first, task.last, math.ceil(pages / PIECES_OF_A_FAILED_RANGE))
            state.unread += len(smaller)
            self._urgent.extend(_Task(task.file, "pages", first, last) for first, last in smaller)
        else:
            reason = str(answer) if isinstance(answer, Failure) else answer["error"]
            state.pieces.append(Piece(task.first, task.last, reason=reason))

    def _next_of(self, file: int) -> tuple[int, FileResult] | None:
        """What follows a range: nothing yet, the joining, or the end of a file of which nothing could be read."""
        state = self._splits[file]
        if state.unread:
            return None
        state.pieces.sort(key=lambda piece: piece.first)
        if any(piece.part for piece in state.pieces):
            self._urgent.appendleft(_Task(file, "join"))
            return None
        del self._splits[file]
        return file, replace(self._failed(file, state.pieces[0].reason), sha256=state.split.sha256)

    def _failed(self, file: int, reason: str) -> FileResult:
        self._splits.pop(file, None)
        found = self._files[file]
        return FileResult(found.source, "failed", str(reason), LIMITS_HINT, type=found.type, bytes=_size(found))

    def _job(self, task: _Task) -> dict[str, Any]:
        file, seconds = self._files[task.file], self._plan.timeout_seconds
        job: dict[str, Any] = {"do": task.do, "path": file.location, "source": file.source, "seconds": seconds}
        if task.do == "file":
            if file.type in ("text", "markdown"):
                job["seconds"] += LIMIT_SECONDS_PER_TEXT_MB * _size(file) // 2**20
            return job
        state = self._splits[task.file]
        job["sha256"] = state.split.sha256
        if task.do == "pages":
            return {**job, "first": task.first, "last": task.last}
        job["seconds"] += LIMIT_SECONDS_PER_JOINED_PAGE * state.split.pages
        return {**job, "pieces": [asdict(piece) for piece in state.pieces]}


def _weight(file: FoundFile) -> float:
    return _size(file) * SECONDS_PER_MB.get(file.type or "", 1.0)


def _size(file: FoundFile) -> int:
    try:
        return os.stat(file.location).st_size
    except OSError:  # the worker tells
        return 0
