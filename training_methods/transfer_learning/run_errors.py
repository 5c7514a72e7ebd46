"""What stops a run, in our words: libraries tell a full disk or a full memory in many ways."""

from __future__ import annotations

import shutil
from pathlib import Path

import torch

from shared_utils.errors import LLMToolkitError, SecurityError, TrainingError
from shared_utils.processes import lost_another

FREE_BYTES_MEANING_FULL = 4 * 1024 * 1024


def in_our_words(error: Exception, checkpoint: Path | None) -> Exception:
    """What to raise for an error of the training loop; the error itself where there is nothing to add.

    Args:
        error: as the libraries raised it.
        checkpoint: what the run went on from.
    """
    if type(error).__name__ == "UnpicklingError":
        return SecurityError(
            f"{checkpoint} holds a pickle that is more than numbers; it was not run: {error!s:.100}",
            hint="delete this checkpoint; weights come as safetensors files",
        )
    words = str(error)
    if isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in words or "not enough memory" in words:
        return TrainingError(
            "the memory of this machine does not suffice for this run",
            hint="lower --batch-size and raise --gradient-accumulation-steps, lower --max-length, "
            "or use --gradient-checkpointing",
        )
    return lost_another(error) or error


def save_error(error: Exception, checkpoint: Path) -> Exception:
    """What to raise when a checkpoint could not be written; the disk itself is asked whether it is full."""
    if shutil.disk_usage(checkpoint.parent).free > FREE_BYTES_MEANING_FULL and getattr(error, "errno", 0) != 28:
        return error
    return LLMToolkitError(
        f"the disk is full: {checkpoint} could not be written",
        hint="make room and run the same command with --resume; earlier checkpoints are intact",
    )
