"""Ctrl-C and SIGTERM, noted for a loop to end at a good moment."""

from __future__ import annotations

import signal
import time
from types import FrameType
from typing import Any, Self

from shared_utils.processes import process_count

ECHO_SECONDS = 5.0


class StopSignals:
    """Within its `with` block a first signal is only noted, in `number`; a second one ends at once.

    A launcher of several processes passes on a signal that they may have got already, so there what follows at once
    counts as the same.
    """

    def __init__(self) -> None:
        self.number: int | None = None
        self._heard_at = 0.0
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> Self:
        for number in (signal.SIGINT, signal.SIGTERM):
            try:
                self._previous[number] = signal.signal(number, self._note)
            except ValueError:  # not the main thread: whoever embeds us listens
                pass
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.number is not None:
            if process_count() > 1 and time.monotonic() - self._heard_at < ECHO_SECONDS:
                return
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
        self.number, self._heard_at = number, time.monotonic()
