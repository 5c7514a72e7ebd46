"""What watches a run from outside its loop: signals and the progress display."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from types import FrameType
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from shared_utils.processes import gathered, process_count

ECHO_SECONDS = 5.0


class StopOnSignal(TrainerCallback):
    """Ctrl-C or SIGTERM: the step ends, a checkpoint is written, the run stops; a second one ends at once.

    Of several processes all stop after the same step, whichever of them heard the signal. A launcher passes on
    a signal that its processes may have got already, so what follows at once counts as the same.
    """

    def __init__(self) -> None:
        self.signal_number: int | None = None
        self._heard_at = 0.0
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> StopOnSignal:
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
        if self.signal_number is not None:
            if process_count() > 1 and time.monotonic() - self._heard_at < ECHO_SECONDS:
                return
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
        self.signal_number, self._heard_at = number, time.monotonic()

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> TrainerControl:
        """Ask the library to save and stop."""
        self.signal_number = max(gathered(self.signal_number or 0)) or None
        if self.signal_number is not None:
            control.should_save = True
            control.should_training_stop = True
        return control


class ReportProgress(TrainerCallback):
    """Moves the progress display at each step."""

    def __init__(self, show: Callable[[int, str], None]) -> None:
        self._show = show
        self._note = ""

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **_: Any,
    ) -> None:
        """Keep the last loss for the display."""
        if logs and "loss" in logs:
            self._note = f"loss {logs['loss']:.3f}"

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Show the step."""
        self._show(state.global_step, self._note)
