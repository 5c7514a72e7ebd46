"""Checkpoints that are whole or absent, and known to be so.

A checkpoint is written into a folder with a temporary name, each file is synced to the disk, a manifest
with sizes and SHA-256 sums is added, and only then does the folder take its name. Resuming takes the
newest checkpoint whose files still equal its manifest.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from shared_utils.errors import DataValidationError
from shared_utils.file_utils import TEMPORARY_PREFIX, sha256_of, to_json

MANIFEST_NAME = "manifest.json"

Damage = Callable[[Path], str | None]


@dataclass(frozen=True)
class Skipped:
    """A checkpoint that is not used, and why."""

    path: Path
    reason: str


def temporary_path(checkpoint: Path) -> Path:
    """Where a checkpoint is written before it takes its name."""
    return checkpoint.with_name(TEMPORARY_PREFIX + checkpoint.name)


def seal(draft: Path, checkpoint: Path) -> None:
    """Sync a finished draft, add its manifest and give it its name."""
    files = {}
    for path in sorted(draft.rglob("*")):
        if path.is_file():
            _sync(path)
            files[path.relative_to(draft).as_posix()] = {"bytes": path.stat().st_size, "sha256": sha256_of(path)}
    manifest = draft / MANIFEST_NAME
    manifest.write_text(to_json({"files": files}, indent=2) + "\n", encoding="utf-8")
    _sync(manifest)
    _sync(draft)
    if checkpoint.exists():  # a damaged one of the same step
        shutil.rmtree(checkpoint)
    draft.rename(checkpoint)
    _sync(checkpoint.parent)


def newest_valid(run_dir: Path, damage: Damage) -> tuple[Path | None, list[Skipped]]:
    """The newest whole checkpoint of a run, and the damaged ones passed over, newest first.

    Args:
        run_dir: the run folder.
        damage: what is wrong with a checkpoint, or None.
    """
    skipped: list[Skipped] = []
    for checkpoint in sorted(run_dir.glob("checkpoint-*"), key=step_of, reverse=True):
        reason = damage(checkpoint)
        if reason is None:
            return checkpoint, skipped
        skipped.append(Skipped(checkpoint, reason))
    return None, skipped


def manifest_damage(checkpoint: Path, missing: Callable[[set[str]], str | None]) -> str | None:
    """What is wrong with a checkpoint, or None when every file equals its manifest.

    Args:
        checkpoint: its folder.
        missing: which file a checkpoint needs that is not among the names it is given, or None.
    """
    try:
        listed = json.loads((checkpoint / MANIFEST_NAME).read_text(encoding="utf-8"))["files"]
        expected = {name: (int(entry["bytes"]), str(entry["sha256"])) for name, entry in listed.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return f"{MANIFEST_NAME} is missing or damaged"
    lacking = missing(set(expected))
    if lacking is not None:
        return f"{lacking} is missing"
    for name, (size, digest) in expected.items():
        path = checkpoint / name
        if not path.is_file():
            return f"{name} is missing"
        if path.stat().st_size != size:
            return f"{name} has {path.stat().st_size} bytes instead of {size}"
        if sha256_of(path) != digest:
            return f"{name} was changed after it was written"
    return None


def require_valid(checkpoint: Path, damage: Damage) -> Path:
    """A checkpoint that the user named, or a `DataValidationError` that says what is wrong with it."""
    if not checkpoint.is_dir():
        raise DataValidationError(f"no checkpoint at {checkpoint}", hint="name a checkpoint-N folder of the run")
    reason = damage(checkpoint)
    if reason:
        raise DataValidationError(
            f"{checkpoint} cannot be used: {reason}", hint="use --resume without a name to take the newest whole one"
        )
    return checkpoint


def remove_old(run_dir: Path, keep: int, best_step: int | None) -> None:
    """Delete the oldest checkpoints; the newest and the best always stay."""
    steps = sorted((step_of(path) for path in run_dir.glob("checkpoint-*")), reverse=True)
    kept = set(steps[:1])
    if best_step in steps:
        kept.add(best_step)
    for step in steps:
        if len(kept) >= keep:
            break
        kept.add(step)
    for step in steps:
        if step not in kept:
            shutil.rmtree(run_dir / f"checkpoint-{step}", ignore_errors=True)


def step_of(checkpoint: Path) -> int:
    """The step in a checkpoint's name; -1 for a name that has none."""
    number = checkpoint.name.removeprefix("checkpoint-")
    return int(number) if number.isdigit() else -1


def _sync(path: Path) -> None:
    if os.name == "nt" and path.is_dir():
        return  # Windows cannot open a folder for syncing
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
