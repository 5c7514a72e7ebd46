"""Several processes on one run, as `accelerate launch` starts them: who leads, and how they agree.

The launcher tells each process its place in the environment, so a command knows it before torch is loaded.
A process on its own leads, agrees with itself, and none of this costs anything.
"""

from __future__ import annotations

import atexit
import logging
import os
import sys
from collections.abc import Callable
from datetime import timedelta
from typing import Any, NoReturn, TypeVar

from shared_utils.errors import LLMToolkitError, TrainingError

Value = TypeVar("Value")
LONGEST_WAIT = timedelta(hours=2)  # the main process may prepare millions of records while the others wait


def process_count() -> int:
    """Processes that work together."""
    return _number("WORLD_SIZE", 1)


def process_index() -> int:
    """The place of this process among all, from 0."""
    return _number("RANK", 0)


def local_index() -> int:
    """The place of this process among those of its machine, from 0: also the number of its GPU."""
    return _number("LOCAL_RANK", 0)


def is_main_process() -> bool:
    """Whether this process writes the files and speaks."""
    return process_index() == 0


def _number(name: str, otherwise: int) -> int:
    text = os.environ.get(name, "")
    return int(text) if text.isdecimal() else otherwise


def join(device: str) -> None:
    """Meet the other processes of a run, before anything is agreed on; each takes the GPU of its number.

    Args:
        device: auto, cpu, cuda or mps. On a processor the processes talk by gloo, on GPUs by nccl.
    """
    if process_count() > 1:
        import torch
        from accelerate import PartialState

        logging.getLogger("accelerate").setLevel(logging.WARNING)  # it tells each file that it writes

        PartialState(cpu=device == "cpu" or not torch.cuda.is_available(), timeout=LONGEST_WAIT)


def leave() -> None:
    """Part from the others, when all have done their work."""
    if _has_met():
        import torch.distributed

        torch.distributed.destroy_process_group()


def end_process(exit_code: int) -> NoReturn:
    """End this process, in one of several without taking Python apart.

    The threads of gloo outlive their group (torch 2.13: the wrapped model still holds it), and one that needs
    Python while that is taken apart aborts a process whose work was done and saved.
    """
    if process_count() > 1:
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(exit_code)
    sys.exit(exit_code)


def wait_for_all() -> None:
    """Go on when every process has come here."""
    if _has_met():
        import torch.distributed

        torch.distributed.barrier()


def gathered(value: Value) -> list[Value]:
    """The values of all processes, in their order."""
    if not _has_met():
        return [value]
    import torch.distributed

    values: list[Any] = [None] * process_count()
    torch.distributed.all_gather_object(values, value)
    return values


def together(action: Callable[[], Value]) -> Value:
    """Run an action in every process; what fails in one fails in all, and one of them tells it."""
    result, failure = _tried(action)
    _agree(failure)
    return result  # type: ignore[return-value]


def main_first(action: Callable[[], Value]) -> Value:
    """Run an action in the main process and then, with what it left in files, in the others."""
    result, failure = _tried(action) if is_main_process() else (None, None)
    _agree(failure)
    if not is_main_process():
        result, failure = _tried(action)
    _agree(failure)
    return result  # type: ignore[return-value]


def from_main(action: Callable[[], Value]) -> Value:
    """Run an action in the main process alone; its result, or its failure, in all."""
    result, failure = _tried(action) if is_main_process() else (None, None)
    _agree(failure)
    return gathered(result)[0]  # type: ignore[return-value]


def _tried(action: Callable[[], Value]) -> tuple[Value | None, LLMToolkitError | None]:
    if not _has_met():
        return action(), None
    try:
        return action(), None
    except LLMToolkitError as error:
        return None, error


def _agree(failure: LLMToolkitError | None) -> None:
    """Raise the first failure in every process; the one that had it tells it, with its number."""
    failures = gathered(failure)
    first = next((index for index, one in enumerate(failures) if one is not None), None)
    if first is None:
        return
    error = failure if first == process_index() and failure is not None else failures[first]
    error.is_told_elsewhere = first != process_index()  # type: ignore[union-attr]
    raise error  # type: ignore[misc]


def lost_another(error: Exception) -> TrainingError | None:
    """What to say when a process waits for one that is gone; None for any other error."""
    if process_count() == 1 or not isinstance(error, RuntimeError):
        return None
    words = str(error).lower()
    if type(error).__name__ != "DistBackendError" and not any(
        sign in words for sign in ("closed by peer", "connection reset", "gloo", "timed out waiting")
    ):
        return None
    return TrainingError(
        "another process of this run is gone, so this one stops too",
        hint="its own message stands above; go on from the last checkpoint with --resume",
    )


def _has_met() -> bool:
    if process_count() == 1:
        return False
    import torch.distributed

    return bool(torch.distributed.is_available() and torch.distributed.is_initialized())
