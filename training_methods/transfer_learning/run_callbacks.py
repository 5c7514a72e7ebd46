"""What watches a run from outside its loop: signals and the progress display."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from shared_utils.processes import gathered
from shared_utils.stop_signals import StopSignals

RECENT_STEPS = 21  # the speed shown is that of so many steps, less one


class StopOnSignal(StopSignals, TrainerCallback):
    """Ctrl-C or SIGTERM: the step ends, a checkpoint is written, the run stops; a second one ends at once.

    Of several processes all stop after the same step, whichever of them heard the signal.
    """

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> TrainerControl:
        """Ask the library to save and stop."""
        self.number = max(gathered(self.number or 0)) or None
        if self.number is not None:
            control.should_save = True
            control.should_training_stop = True
        return control


class ReportProgress(TrainerCallback):
    """Moves the progress display at each step, with the last loss and the tokens a second.

    Args:
        show: called with the step and a note.
        tokens: how many tokens were trained on so far.
        now: seconds of a clock.
    """

    def __init__(
        self, show: Callable[[int, str], None], tokens: Callable[[], int], now: Callable[[], float] = time.monotonic
    ) -> None:
        self._show, self._tokens, self._now = show, tokens, now
        self._loss = ""
        self._recent: deque[tuple[float, int]] = deque(maxlen=RECENT_STEPS)

    def on_step_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Start the clock at the first step; what comes before it is no training."""
        if not self._recent:
            self._recent.append((self._now(), self._tokens()))

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
            self._loss = f"loss {logs['loss']:.3f}"

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Show the step."""
        self._recent.append((self._now(), self._tokens()))
        (start, before), (end, after) = self._recent[0], self._recent[-1]
        speed = f"{(after - before) / max(end - start, 1e-9):,.0f} tokens/s"
        self._show(state.global_step, f"{self._loss}, {speed}" if self._loss else speed)


class FollowRun(TrainerCallback):
    """Puts running sums back once the library has set them to zero, and tells each epoch's number.

    Args:
        restore: called after the library has prepared a run or a resumed run.
        start_epoch: called with the number of an epoch before it, or the rest of it, is drawn.
    """

    def __init__(self, restore: Callable[[], None], start_epoch: Callable[[int], None]) -> None:
        self._restore, self._start_epoch = restore, start_epoch

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Restore the sums."""
        self._restore()

    def on_epoch_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Tell the epoch."""
        self._start_epoch(int(state.epoch or 0))
