"""The errors that people see.

    LLMToolkitError
    ├── DocumentProcessingError     a document could not be read or converted
    │   └── NoDocumentError         a file is left out on purpose: it holds nothing for people
    ├── TrainingError               training could not start or go on
    ├── ConfigurationError          wrong usage or settings; raised before any work starts
    └── DataValidationError         a record or an input breaks its format
        └── SecurityError           an input asks for what is never done (path escape, code in data)

Each carries a `hint`: what to do next. `main.py` prints both and chooses the exit code.
"""

from __future__ import annotations

from pathlib import Path


class LLMToolkitError(Exception):
    """An expected failure, told without a traceback."""

    exit_code = 1
    is_told_elsewhere = False  # another process of the same run says it

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __reduce__(self) -> tuple[object, ...]:
        # Errors cross process borders; the keyword-only hint would be lost by the default.
        return _rebuild, (type(self), self.message, self.hint)


class DocumentProcessingError(LLMToolkitError):
    """A document could not be read or converted."""


class NoDocumentError(DocumentProcessingError):
    """A file is left out on purpose: it can be read, but was made by a program for programs."""


class TrainingError(LLMToolkitError):
    """Training could not start or could not go on."""


class ConfigurationError(LLMToolkitError):
    """Wrong usage or settings, found before any work starts."""

    exit_code = 2


class DataValidationError(LLMToolkitError):
    """A record or an input breaks the format that it claims."""


class SecurityError(DataValidationError):
    """An input asks for something that is never done."""


class Interrupted(BaseException):
    """SIGTERM or Ctrl-C, after everything done so far was saved.

    Not an `Exception`, so no handler for failures swallows it.

    Args:
        signal_number: 2 (Ctrl-C) or 15 (SIGTERM); the exit code is 128 plus it.
        hint: the command that goes on from here.
    """

    def __init__(self, signal_number: int, hint: str = "") -> None:
        super().__init__(f"interrupted by signal {signal_number}")
        self.signal_number = signal_number
        self.hint = hint


def missing_package(package: str, purpose: str) -> ConfigurationError:
    """The error for an optional package that is not installed, with the command that installs it."""
    return ConfigurationError(f"{purpose} needs the package '{package}'", hint=f"pip install {package}")


def missing_extra(extra: str, package: str, purpose: str) -> ConfigurationError:
    """The error for a package of one of the toolkit's extras, with the command that installs all of it."""
    return ConfigurationError(f"{purpose} needs the package '{package}'", hint=install_command(extra))


def install_command(extra: str) -> str:
    """The command that installs an extra: from the folder of the toolkit, where it lies in one."""
    root = Path(__file__).resolve().parents[1]
    if (root / "pyproject.toml").is_file():
        return f'pip install -e "{root}[{extra}]"'
    return f'pip install "llm-complete-toolkit[{extra}]"'


def _rebuild(kind: type[LLMToolkitError], message: str, hint: str) -> LLMToolkitError:
    return kind(message, hint=hint)
