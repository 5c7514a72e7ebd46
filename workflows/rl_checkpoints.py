"""The checkpoints of an agent's training: agent with all that it goes on from, environments, counts, best weights."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from shared_utils import checkpoint_folders
from shared_utils.checkpoint_folders import remove_old, seal, step_of, temporary_path
from shared_utils.console import Console
from shared_utils.errors import DataValidationError
from shared_utils.file_utils import TEMPORARY_PREFIX
from training_methods.reinforcement_learning.run_parts import (
    AGENT_FILE,
    BEST_FILE,
    COURSE_FILE,
    save_course,
)
from training_methods.transfer_learning.run_metrics import METRICS_NAME, cut_metrics
from workflows.rl_request import AgentRequest

REQUIRED_FILES = (AGENT_FILE, COURSE_FILE)


def write_checkpoint(
    run_dir: Path, loop: Any, standing: Mapping[str, Any], best_agent: bytes | None, keep: int
) -> None:
    """Write a checkpoint that is whole or absent, and remove the oldest ones."""
    checkpoint = run_dir / f"checkpoint-{loop.timesteps}"
    draft = temporary_path(checkpoint)
    shutil.rmtree(draft, ignore_errors=True)
    try:
        draft.mkdir(parents=True)
        loop.agent.save(draft / AGENT_FILE)
        save_course(draft / COURSE_FILE, loop, dict(standing))
        if best_agent is not None:
            (draft / BEST_FILE).write_bytes(best_agent)
        seal(draft, checkpoint)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    remove_old(run_dir, keep, None)


def agent_bytes(agent: Any, run_dir: Path) -> bytes:
    """An agent as its file holds it, without what only learning needs."""
    path = run_dir / f"{TEMPORARY_PREFIX}agent"
    try:
        agent.save(path, with_memory=False)
        return path.read_bytes()
    finally:
        path.unlink(missing_ok=True)


def checkpoint_to_resume(request: AgentRequest, console: Console) -> Path | None:
    """The checkpoint that a continuation starts from; None begins anew.

    Raises:
        DataValidationError: the one named is damaged or missing.
    """
    if request.resume is None:
        return None
    if request.resume:
        named = Path(request.resume)
        if named.resolve().parent != request.run_dir.resolve():
            raise DataValidationError(
                f"{named} is not a checkpoint of {request.run_dir}", hint="leave out --output-dir, or name its own run"
            )
        checkpoint = checkpoint_folders.require_valid(named, damage)
        for later in request.run_dir.glob("checkpoint-*"):
            if step_of(later) > step_of(checkpoint):
                shutil.rmtree(later)
        return checkpoint
    newest, skipped = checkpoint_folders.newest_valid(request.run_dir, damage)
    for one in skipped:
        console.warn(f"{one.path} is passed over: {one.reason}")
    console.info(f"going on from {newest}" if newest else "no whole checkpoint yet; starting from the beginning")
    return newest


def damage(checkpoint: Path) -> str | None:
    """What is wrong with a checkpoint, or None."""
    return checkpoint_folders.manifest_damage(
        checkpoint, lambda present: next((name for name in REQUIRED_FILES if name not in present), None)
    )


def cut_metrics_after(run_dir: Path, step: int) -> None:
    """Keep the metrics up to a step; later ones are about to be written again."""
    cut_metrics(run_dir / METRICS_NAME, step)
