"""The checkpoints of fine-tuning: which files one must hold. How they are written and checked is shared."""

from __future__ import annotations

from pathlib import Path

from shared_utils import checkpoint_folders
from shared_utils.checkpoint_folders import MANIFEST_NAME, Skipped, remove_old, seal, step_of, temporary_path

__all__ = [
    "MANIFEST_NAME",
    "Skipped",
    "damage",
    "newest_valid",
    "remove_old",
    "require_valid",
    "seal",
    "step_of",
    "temporary_path",
]

REQUIRED_FILES = ("optimizer.pt", "scheduler.pt", "rng_state.pth", "trainer_state.json", "toolkit_state.json")
# With several processes each has its random state; where they divide the optimizer, it has other names (FSDP,
# DeepSpeed): the beginnings of these.
OTHER_NAMES = {"rng_state.pth": ("rng_state_0.pth",), "optimizer.pt": ("optimizer.bin", "optimizer_", "global_step")}


def newest_valid(run_dir: Path) -> tuple[Path | None, list[Skipped]]:
    """The newest whole checkpoint of a run, and the damaged ones passed over, newest first."""
    return checkpoint_folders.newest_valid(run_dir, damage)


def damage(checkpoint: Path) -> str | None:
    """What is wrong with a checkpoint, or None when every file equals its manifest."""
    return checkpoint_folders.manifest_damage(checkpoint, _missing)


def require_valid(checkpoint: Path) -> Path:
    """A checkpoint that the user named, or a `DataValidationError` that says what is wrong with it."""
    return checkpoint_folders.require_valid(checkpoint, damage)


def _missing(present: set[str]) -> str | None:
    for name in REQUIRED_FILES:
        others = OTHER_NAMES.get(name, ())
        if name not in present and not any(one.startswith(others) for one in present):
            return name
    return None
