"""PathUtils: names and paths that mean the same on Linux, macOS and Windows."""

from __future__ import annotations

import glob
import re
from collections.abc import Iterable
from pathlib import Path

from shared_utils.errors import ConfigurationError, DataValidationError

LONGEST_NAME = 64
_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9_-])?\Z")
# Windows opens a device instead of a file with one of these names, whatever its suffix.
_DEVICES = {"con", "prn", "aux", "nul", *(f"{kind}{digit}" for kind in ("com", "lpt") for digit in "123456789")}


class PathUtils:
    """What paths need beyond `pathlib`."""

    @staticmethod
    def checked_name(name: str, what: str = "name") -> str:
        """The name, if it can be that of a file on every system and leads nowhere else.

        Args:
            name: 1 to 64 letters, digits, dots, hyphens and underscores; it begins with a letter or digit.
            what: what the name is of, for the error.

        Raises:
            ConfigurationError: it holds something else, or is the name of a device on Windows.
        """
        if not _NAME.match(name) or len(name) > LONGEST_NAME:
            raise ConfigurationError(
                f"{name[:80]!r} is no {what}",
                hint=f"up to {LONGEST_NAME} letters, digits, dots, hyphens and underscores, beginning with a letter",
            )
        if name.split(".")[0].casefold() in _DEVICES:
            raise ConfigurationError(f"{name!r} is the name of a device on Windows", hint="choose another one")
        return name

    @staticmethod
    def expand(patterns: Iterable[str | Path]) -> list[Path]:
        """The paths that patterns such as `logs/bfs_*` and `~/data` name, in the order given; no path comes twice.

        What one pattern matches is sorted by name. A path that exists is taken as it stands, stars and all.

        Raises:
            DataValidationError: a pattern matches nothing.
        """
        found: dict[Path, None] = {}
        for pattern in patterns:
            path = Path(pattern).expanduser()
            matches = [path] if path.exists() else [Path(name) for name in sorted(glob.glob(str(path)))]
            if not matches:
                raise DataValidationError(f"nothing matches {pattern}", hint="check the path")
            found |= dict.fromkeys(matches)
        return list(found)

    @staticmethod
    def is_inside(path: str | Path, folder: str | Path) -> bool:
        """Whether a path lies in a folder or is it, with links followed; `proj-evil` is not in `proj`."""
        return Path(path).resolve().is_relative_to(Path(folder).resolve())
