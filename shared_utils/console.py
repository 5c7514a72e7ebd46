"""What a command says: results on stdout, progress and warnings on stderr."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from shared_utils.processes import is_main_process

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress
    from rich.progress import TaskID

PLAIN_SECONDS_BETWEEN_LINES = 10.0
PLAIN_SECONDS_TO_FIRST_LINE = 4.0  # long enough to foretell the whole time, short enough to think again


@dataclass(frozen=True)
class CommandResult:
    """How a command ended: the summary that `--json` prints, and the exit code."""

    summary: dict[str, object]
    exit_code: int = 0


class Progress:
    """A bar on a terminal, a line now and then elsewhere, nothing when quiet.

    With failures, rate, time left and the time of the whole.
    """

    def __init__(self, label: str, total: int | None, bar: RichProgress | None, plain: bool) -> None:
        self._label, self._total, self._bar, self._plain = label, total, bar, plain
        self._task: TaskID | None = bar.add_task(label, total=total, note="", pace="") if bar else None
        self._done = self._failed = self._done_before = 0
        self._started = time.monotonic()
        self._last_line = self._started + PLAIN_SECONDS_TO_FIRST_LINE - PLAIN_SECONDS_BETWEEN_LINES

    def advance(self, steps: int = 1, note: str = "", *, failed: int = 0) -> None:
        """Count `steps` more as done, `failed` of them without success; `note` is shown beside the bar."""
        self._failed += failed
        self.move_to(self._done + steps, note)

    def go_on_from(self, done: int) -> None:
        """Begin at what an earlier run has done, which says nothing about the pace of this one."""
        self._done = self._done_before = done
        self._started = time.monotonic()
        if self._bar and self._task is not None:
            self._bar.reset(self._task, total=self._total, completed=done)

    def move_to(self, done: int, note: str = "") -> None:
        """Set how much is done."""
        self._done = done
        if self._bar and self._task is not None:
            self._bar.update(self._task, completed=done, note=printable(note), pace=self._facts())
        elif self._plain and time.monotonic() - self._last_line >= PLAIN_SECONDS_BETWEEN_LINES:
            self._last_line = time.monotonic()
            of = f"/{self._total}" if self._total is not None else ""
            facts = self._facts()
            line = f"{self._label}: {self._done}{of}{f' ({facts})' if facts else ''} {printable(note)}"
            print(line.rstrip(), file=sys.stderr, flush=True)

    def _facts(self) -> str:
        return ", ".join(fact for fact in (self._pace(), self._time_left()) if fact)

    def _pace(self) -> str:
        """Failures and rate, such as `2 failed, 3.1/s`; slow work is told by the minute."""
        seconds = time.monotonic() - self._started
        rate = (self._done - self._done_before) / seconds if seconds >= 1 else 0.0
        facts = [f"{self._failed} failed"] if self._failed else []
        if rate:
            facts.append(f"{rate:.3g}/s" if rate >= 1 else f"{rate * 60:.3g}/min")
        return ", ".join(facts)

    def _time_left(self) -> str:
        seconds = time.monotonic() - self._started
        done = self._done - self._done_before
        if not self._total or done <= 0 or seconds < 1 or self._done >= self._total:
            return ""
        left = seconds / done * (self._total - self._done)
        return f"{_clock(left)} left of {_clock(seconds + left)}"


class Console:
    """Where a command's words go.

    Args:
        json_output: stdout is kept for one JSON object; `info` goes to stderr.
        quiet: no progress and no information lines, only warnings.

    Of several processes that work on one run, only the main one speaks.
    """

    def __init__(self, *, json_output: bool = False, quiet: bool = False) -> None:
        self.json_output = json_output
        self.quiet = quiet or not is_main_process()

    def info(self, text: str) -> None:
        """A line of the result."""
        if not self.quiet:
            print(printable(text), file=sys.stderr if self.json_output else sys.stdout, flush=True)

    def warn(self, text: str) -> None:
        """A line that must be seen even when quiet."""
        if is_main_process():
            print(f"warning: {printable(text)}", file=sys.stderr, flush=True)

    @contextmanager
    def progress(self, total: int | None, label: str) -> Iterator[Progress]:
        """A progress display for the length of the `with` block; `total` None means unknown."""
        if self.quiet or not sys.stderr.isatty():
            yield Progress(label, total, None, plain=not self.quiet)
            return
        from rich.console import Console as RichConsole
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
        from rich.progress import Progress as RichProgress

        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[pace]}", markup=False),
            TextColumn("{task.fields[note]}", markup=False),
        )
        with RichProgress(*columns, console=RichConsole(stderr=True), transient=True) as bar:
            yield Progress(label, total, bar, plain=False)


def _clock(seconds: float) -> str:
    """Seconds as 0:07, 12:30 or 3:05:00."""
    whole = round(seconds)
    hours, minutes = whole // 3600, whole % 3600 // 60
    return f"{hours}:{minutes:02}:{whole % 60:02}" if hours else f"{minutes}:{whole % 60:02}"


def printable(text: str) -> str:
    """The text with terminal escapes and bidirectional controls made visible, so that a file name or a
    model's answer cannot steer the terminal."""
    return "".join(ch if _is_safe(ch) else repr(ch)[1:-1] for ch in text)


def _is_safe(ch: str) -> bool:
    return (ch.isprintable() and ch not in _BIDI_CONTROLS) or ch in _HARMLESS


# Line ends, wide and no-break spaces, and the joiners that emoji and Persian need.
_HARMLESS = frozenset("\n\t\u3000\xa0\u200c\u200d")


_BIDI_CONTROLS = frozenset("\u200e\u200f\u061c\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
