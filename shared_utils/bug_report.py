"""What is kept of an unexpected failure: the traceback, the command and the versions."""

from __future__ import annotations

import os
import platform
import tempfile
import time
import traceback
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

LOG_DIR = Path("logs")
PACKAGES = ("torch", "transformers", "peft", "accelerate", "tokenizers", "pydantic", "pdfplumber")


def package_versions(packages: Sequence[str] = PACKAGES) -> dict[str, str]:
    """Installed versions by package name; read from metadata, nothing is imported."""
    versions = {"python": platform.python_version()}
    for package in packages:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = "not installed"
    return versions


def save_bug_report(error: BaseException, words: Sequence[str], toolkit_version: str) -> Path:
    """Write the report under ./logs, or in the temporary folder where that cannot be written."""
    text = "\n".join(
        [
            f"llm-toolkit {toolkit_version} on {platform.platform()}",
            f"command: {' '.join(words)}",
            *(f"{name} {number}" for name, number in package_versions().items()),
            "",
            *traceback.format_exception(error),
        ]
    )
    name = f"bug-report-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}.txt"
    for folder in (LOG_DIR, Path(tempfile.gettempdir())):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            path = folder / name
            path.write_text(text, encoding="utf-8", errors="replace")
            return path.resolve()
        except OSError:
            continue
    return Path(name)
