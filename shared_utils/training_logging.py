"""TrainingLoggingUtils: one form of log lines, progress and metrics, in commands and in programs of your own."""

from __future__ import annotations

import json
import logging
import sys
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from shared_utils.console import Console, Progress
from shared_utils.errors import ConfigurationError
from shared_utils.file_utils import open_binary

LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")


class TrainingLoggingUtils:
    """What commands say besides their result goes to stderr, through these."""

    @staticmethod
    def set_up(level: str = "INFO", *, quiet: bool = False) -> None:
        """Write log lines to stderr as every command does; called again, the last call holds.

        Args:
            level: least important lines shown: DEBUG, INFO, WARNING or ERROR.
            quiet: nothing below WARNING, whatever the level.

        Raises:
            ConfigurationError: there is no such level.
        """
        if level not in LEVELS:
            raise ConfigurationError(f"no log level {level!r}", hint=f"known: {', '.join(LEVELS)}")
        number = logging.getLevelName(level)
        number = max(number, logging.WARNING) if quiet else number
        logging.basicConfig(level=number, format="%(levelname)s: %(message)s", stream=sys.stderr, force=True)

    @staticmethod
    def progress(total: int | None, label: str, *, quiet: bool = False) -> AbstractContextManager[Progress]:
        """A bar on a terminal, a line now and then elsewhere, for the length of a `with` block.

        Args:
            total: how much there is to do; None where that is not known.
            label: shown before the bar.
            quiet: show nothing.
        """
        return Console(quiet=quiet).progress(total, label)

    @staticmethod
    def read_metrics(path: str | Path) -> list[dict[str, Any]]:
        """The lines of a `metrics.jsonl`, also while it is being written: a line that a kill has torn is left out.

        Args:
            path: the file, or its run folder.

        Raises:
            DataValidationError: it cannot be read.
        """
        file_path = Path(path) / "metrics.jsonl" if Path(path).is_dir() else Path(path)
        rows = []
        with open_binary(file_path) as file:
            for raw in file:
                try:
                    row = json.loads(raw)
                except (ValueError, RecursionError):
                    continue
                if isinstance(row, dict):
                    rows.append(row)
        return rows
