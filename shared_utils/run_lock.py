"""One run per folder: the second is refused, a dead owner's lock is taken over."""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from shared_utils.errors import LLMToolkitError
from shared_utils.file_utils import TEMPORARY_PREFIX, to_json

LOCK_NAME = ".run.lock"
ATTEMPTS = 3


@contextmanager
def run_lock(folder: Path) -> Iterator[None]:
    """Hold the folder for this process.

    Raises:
        LLMToolkitError: another living process holds it; names process, host and start.
    """
    path = folder / LOCK_NAME
    _take(path)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def refuse_if_held(folder: Path) -> None:
    """Look at the lock without taking it, before work that would only delay the refusal.

    Raises:
        LLMToolkitError: another living process holds it; names process, host and start.
    """
    path = folder / LOCK_NAME
    holder = _holder(path)
    if _is_alive(holder):
        raise _refusal(path, holder)


def _take(path: Path) -> None:
    me = psutil.Process()
    owner = {"pid": me.pid, "host": socket.gethostname(), "process_start": me.create_time(), "taken": time.time()}
    draft = path.with_name(f"{TEMPORARY_PREFIX}lock-{me.pid}")
    try:
        for _ in range(ATTEMPTS):
            try:
                # Written anew each time: a run that starts clears away what looks left over.
                draft.write_text(to_json(owner), encoding="utf-8")
                os.link(draft, path)  # appears whole, or not at all when the name is taken
                return
            except FileExistsError:
                holder = _holder(path)
                if _is_alive(holder):
                    raise _refusal(path, holder) from None
                path.unlink(missing_ok=True)
            except FileNotFoundError:
                continue
    finally:
        draft.unlink(missing_ok=True)
    raise LLMToolkitError(f"{path.parent} is being taken by another run", hint="choose another output folder")


def _holder(path: Path) -> dict[str, Any]:
    try:
        holder = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return holder if isinstance(holder, dict) else {}


def _is_alive(holder: dict[str, Any]) -> bool:
    if not holder:
        return False
    if holder.get("host") != socket.gethostname():
        return True  # cannot be seen from here, so it counts as alive
    try:
        start = psutil.Process(int(holder["pid"])).create_time()
    except (psutil.Error, KeyError, ValueError):
        return False
    # A process id is used again after a restart; its start time is not.
    return abs(start - float(holder.get("process_start", 0))) < 1.0


def _refusal(path: Path, holder: dict[str, Any]) -> LLMToolkitError:
    since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(float(holder.get("taken", 0))))
    return LLMToolkitError(
        f"{path.parent} is in use by process {holder.get('pid')} on {holder.get('host')} since {since}",
        hint=f"wait for it, choose another output folder, or delete {path} if that process is gone",
    )
