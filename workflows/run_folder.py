"""The run folder of a training: who may write it, what it is made of, and when it is finished."""

from __future__ import annotations

import json
import os
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shared_utils.console import Console
from shared_utils.errors import DataValidationError, LLMToolkitError
from shared_utils.file_utils import TEMPORARY_PREFIX

if TYPE_CHECKING:
    from training_methods.transfer_learning.fine_tuner import FineTuner

RUN_FILE = "run.json"
# Of what a run writes, what stands in folders of other kinds. A killed run has none of it without its RUN_FILE.
OVERWRITTEN = ("README.md", "config.json", "adapter_config.json", "model.safetensors", "tokenizer.json")
LAST_FILES = ("adapter_config.json", "config.json")  # what makes a folder a model


def finished_result(
    run_dir: Path, identity: dict[str, object], *, resume: bool, resume_with: str
) -> dict[str, object] | None:
    """The summary of a run that has ended already and is to be resumed; None when there is work to do.

    Args:
        run_dir: the run folder.
        identity: what decides what is learnt; must be that of the run in the folder.
        resume: whether a run in the folder is to be gone on with.
        resume_with: the command line that goes on with it, where the folder does not tell.

    Raises:
        DataValidationError: the folder holds a run that would be overwritten or mixed with another.
    """
    run_file = run_dir / RUN_FILE
    if not run_file.exists():
        return None
    try:
        run: dict[str, Any] = json.loads(run_file.read_text(encoding="utf-8"))
    except ValueError:
        run = {}
    if "command" in run:  # it may be of another method, and of more processes, than what was asked for now
        resume_with = f"{run['command']} --resume"
    if not resume:
        if run.get("status") == "done":
            raise DataValidationError(
                f"{run_dir} holds a finished run", hint="choose another --output-dir, or delete the folder"
            )
        raise DataValidationError(f"{run_dir} holds a run that has not ended", hint=f"go on with: {resume_with}")
    earlier = run.get("identity", {})
    changed = sorted(key for key in identity if key in earlier and earlier[key] != identity[key])
    if changed:
        what = "the training data" if changed == ["data"] else changed[0]
        raise DataValidationError(
            f"{run_dir} was started with other settings: {what} differs"
            + (f" ({earlier[changed[0]]} then, {identity[changed[0]]} now)" if changed != ["data"] else ""),
            hint=f"use the settings of the run: {resume_with}",
        )
    return run["result"] if run.get("status") == "done" else None


def refuse_foreign_files(run_dir: Path) -> None:
    """Refuse a folder that is no run's, but has files that a run would overwrite, such as a project's README.md.

    Raises:
        DataValidationError: names the first of them.
    """
    if (run_dir / RUN_FILE).exists():
        return
    foreign = [name for name in OVERWRITTEN if (run_dir / name).exists()]
    if foreign:
        raise DataValidationError(
            f"{run_dir} is no run folder, and its {foreign[0]} would be overwritten",
            hint="choose a new --output-dir",
        )


def newest_unfinished(runs_dir: Path, method: str) -> Path:
    """The run folder of a method (lora, qlora, full, dpo) that `--resume` without a name means.

    Raises:
        LLMToolkitError: there is none.
    """
    runs = sorted(runs_dir.glob(f"{method}-*/{RUN_FILE}"), key=lambda path: path.stat().st_mtime, reverse=True)
    for path in runs:
        try:
            if json.loads(path.read_text(encoding="utf-8")).get("status") == "running":
                return path.parent
        except ValueError:
            continue
    raise LLMToolkitError(f"no unfinished run in {runs_dir}", hint="name the run folder with --output-dir")


def checkpoint_to_resume(resume: str | None, run_dir: Path, console: Console) -> Path | None:
    """The checkpoint of a model that a continuation starts from; None begins anew.

    Args:
        resume: None for a new run, a path, or an empty text for the newest whole checkpoint of the run folder.
        run_dir: the run folder.
        console: told what is passed over.

    Raises:
        DataValidationError: the one named is damaged or missing.
    """
    from training_methods.transfer_learning import checkpoints

    if resume is None:
        return None
    if resume:
        return checkpoints.require_valid(Path(resume))
    newest, skipped = checkpoints.newest_valid(run_dir)
    for one in skipped:
        console.warn(f"{one.path} is passed over: {one.reason}")
    console.info(f"going on from {newest}" if newest else "no whole checkpoint yet; starting from the beginning")
    return newest


def save_model(run_dir: Path, tuner: FineTuner) -> None:
    """Write the trained model into the run folder, each file in one move."""
    draft = run_dir / f"{TEMPORARY_PREFIX}model"
    shutil.rmtree(draft, ignore_errors=True)
    try:
        tuner.save(draft)
        # The configuration comes last: a folder with it holds all the rest.
        for path in sorted(draft.iterdir(), key=lambda path: path.name in LAST_FILES):
            os.replace(path, run_dir / path.name)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def timestamp(seconds: float | None = None) -> str:
    """A moment with its zone, now by default."""
    return time.strftime("%Y-%m-%dT%H:%M:%S%z", time.localtime(seconds))
