"""Named steps whose results are kept, so that a run goes on where it stopped and redoes nothing."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from shared_utils.console import Console
from shared_utils.errors import DataValidationError
from shared_utils.file_utils import write_json_atomic

IDENTITY_FILE = "started.json"


class Steps:
    """The steps of one run.

    Args:
        folder: where each finished step leaves `NAME.json`.
        console: told which step runs.
        total: how many steps there are.
    """

    def __init__(self, folder: Path, console: Console, total: int) -> None:
        self._folder = folder
        self._console = console
        self._total = total
        self._number = 0
        self.seconds: dict[str, float] = {}

    def check_identity(self, identity: dict[str, object]) -> bool:
        """Remember what this run is made of; True when there was a run of the same to go on with.

        Raises:
            DataValidationError: the folder holds a run of something else.
        """
        path = self._folder / IDENTITY_FILE
        try:
            earlier: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            write_json_atomic(path, identity)
            return False
        now = json.loads(json.dumps(identity))
        changed = sorted(key for key in now if earlier.get(key) != now[key])
        if changed:
            raise DataValidationError(
                f"{self._folder.parent} holds a run with other input or settings: {changed[0]} differs",
                hint="choose another --output-dir, or delete that folder",
            )
        return True

    def run(self, name: str, what: str, work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """The result of a step: from its file when it was done before, else from `work`."""
        self._number += 1
        path = self._folder / f"{name}.json"
        label = f"[{self._number}/{self._total}] {what}"
        try:
            done: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            self.seconds[name] = float(done["seconds"])
            self._console.info(f"{label}: done before")
            return done["result"]
        except (OSError, ValueError, KeyError):
            pass  # not done yet
        self._console.info(label)
        started = time.monotonic()
        result = work()
        self.seconds[name] = round(time.monotonic() - started, 2)
        write_json_atomic(path, {"seconds": self.seconds[name], "result": result})
        return result
