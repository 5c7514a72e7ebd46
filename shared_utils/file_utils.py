"""Files: checked paths, JSONL that survives a cut last line, and writes that are whole or not at all."""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, TextIO

from shared_utils.errors import ConfigurationError, DataValidationError, LLMToolkitError, SecurityError

ALLOWED_EXTENSIONS = frozenset({".pdf", ".md", ".markdown", ".txt", ".text"})
MAX_LINE_BYTES = 64 * 1024 * 1024  # of JSONL; a larger "line" is a file of another kind, and would fill the memory
MAX_FILE_SIZE = 512 * 1024 * 1024  # bytes; a larger text file is better split, a larger PDF is rarely text
TEMPORARY_PREFIX = ".llm-toolkit-tmp-"
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")


def validate_file_path(
    path: str | Path,
    *,
    root: Path | None = None,
    extensions: Iterable[str] | None = ALLOWED_EXTENSIONS,
    max_bytes: int = MAX_FILE_SIZE,
) -> Path:
    """The resolved path of a regular, readable file that may be opened.

    Args:
        path: absolute or relative; relative ones are taken from the working directory.
        root: when given, the file (links followed) must lie inside it.
        extensions: allowed suffixes in lower case; None allows any.
        max_bytes: the largest size allowed.

    Raises:
        SecurityError: the path leaves `root` or holds a NUL character.
        DataValidationError: missing, not a regular file, wrong suffix, too large, not readable.
    """
    if "\0" in str(path):
        raise SecurityError("the path holds a NUL character", hint="give a plain file name")
    given = Path(path)
    try:
        resolved = given.resolve(strict=True)
        status = resolved.stat()
    except FileNotFoundError:
        raise DataValidationError(f"File not found: {given}", hint="check the spelling of the path") from None
    except (OSError, RuntimeError) as error:  # RuntimeError: a loop of links
        raise DataValidationError(f"cannot open {given}: {_reason(error)}", hint="check the path") from error
    if root is not None and not resolved.is_relative_to(root.resolve()):
        raise SecurityError(
            f"{given} leads outside of {root}", hint="copy the file into the folder instead of linking to it"
        )
    if not stat.S_ISREG(status.st_mode):
        raise DataValidationError(f"{given} is not a regular file", hint="only plain files are read")
    if extensions is not None and resolved.suffix.casefold() not in set(extensions):
        raise DataValidationError(
            f"{given}: files of type '{given.suffix or 'none'}' are not read",
            hint=f"known types: {', '.join(sorted(extensions))}",
        )
    if status.st_size > max_bytes:
        raise DataValidationError(
            f"{given} has {status.st_size:,} bytes; the limit is {max_bytes:,}", hint="split the file"
        )
    if not os.access(resolved, os.R_OK):
        raise DataValidationError(f"Permission denied: {given}", hint="make the file readable for this user")
    return resolved


def read_jsonl(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Line numbers and objects of a JSONL file; blank lines are passed over.

    Raises:
        DataValidationError: a line is not UTF-8, not JSON, not an object or endless; names file and line.
    """
    with open_binary(path) as file:
        for number, raw in enumerate(iter(lambda: file.readline(MAX_LINE_BYTES + 1), b""), start=1):
            if len(raw) > MAX_LINE_BYTES:
                raise DataValidationError(
                    f"{path}, line {number}: longer than {MAX_LINE_BYTES // 2**20} MB",
                    hint="each line must hold one JSON object; is this file of another kind?",
                )
            if number == 1:
                raw = raw.removeprefix(b"\xef\xbb\xbf")
            if raw.strip():
                yield number, parse_json_object(raw, f"{path}, line {number}")


def parse_json_object(raw: bytes, where: str) -> dict[str, Any]:
    """One JSON object from bytes; `where` names file and line in the error."""
    try:
        value = json.loads(raw.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise DataValidationError(
            f"{where}: not UTF-8 (byte {error.start + 1} is 0x{raw[error.start]:02x})",
            hint="save the file as UTF-8",
        ) from None
    except (ValueError, RecursionError) as error:
        raise DataValidationError(
            f"{where}: not valid JSON ({_json_reason(error)})", hint="each line must hold one JSON object"
        ) from None
    if not isinstance(value, dict):
        raise DataValidationError(
            f"{where}: a JSON object is needed, found {type(value).__name__}",
            hint='each line must look like {"key": "value"}',
        )
    return value


def _json_reason(error: ValueError | RecursionError) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg} at column {error.colno}"
    # Python refuses numbers of more than 4300 digits: they take the square of that in time.
    return "nested too deeply" if isinstance(error, RecursionError) else "a number with thousands of digits"


def to_json(value: object, *, indent: int | None = None) -> str:
    """Strict JSON (no NaN) in UTF-8 text; what UTF-8 cannot hold is replaced by U+FFFD."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, indent=indent)
    return _LONE_SURROGATE.sub("\ufffd", text)


@contextmanager
def atomic_binary_writer(path: Path) -> Iterator[IO[bytes]]:
    """A file that takes its name only when it is whole and on the disk."""
    with translated_os_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=TEMPORARY_PREFIX, dir=path.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            os.chmod(name, 0o666 & ~_umask())
            os.replace(name, path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise


@contextmanager
def atomic_writer(path: Path) -> Iterator[TextIO]:
    """A UTF-8 text file that takes its name only when it is whole and on the disk."""
    with atomic_binary_writer(path) as file:
        text = io.TextIOWrapper(file, encoding="utf-8", newline="\n")
        try:
            yield text
            text.flush()
        finally:
            # Gives the file back unclosed; after a failed write it would try to write once more.
            with suppress(OSError, ValueError):
                text.detach()


def write_text_atomic(path: Path, text: str) -> None:
    """Write a text file in one move."""
    with atomic_writer(path) as file:
        file.write(text)


def write_json_atomic(path: Path, value: object) -> None:
    """Write one JSON value, indented, in one move."""
    write_text_atomic(path, to_json(value, indent=2) + "\n")


def write_jsonl_atomic(path: Path, records: Iterable[object]) -> int:
    """Write records as JSONL in one move; the number written."""
    count = 0
    with atomic_writer(path) as file:
        for record in records:
            file.write(to_json(record) + "\n")
            count += 1
    return count


def copy_file_atomic(source: Path, target: Path) -> None:
    """Copy a file; the target is the old or the new one in full, never a part."""
    with atomic_binary_writer(target) as out, source.open("rb") as file:
        shutil.copyfileobj(file, out)


def append_jsonl(path: Path, record: object) -> None:
    """Append one line; a last line cut by a kill is ended first, so only it is lost."""
    with translated_os_errors(path), path.open("ab+") as file:
        if file.seek(0, os.SEEK_END) > 0:
            file.seek(-1, os.SEEK_END)
            if file.read(1) != b"\n":
                file.write(b"\n")
        file.write((to_json(record) + "\n").encode("utf-8"))


def remove_leftovers(folder: Path) -> None:
    """Delete what a killed run left half-written."""
    for path in folder.glob(f"{TEMPORARY_PREFIX}*"):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def sha256_of(path: Path) -> str:
    """Hexadecimal SHA-256 of a file."""
    with translated_os_errors(path), path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_of_text(*parts: str) -> str:
    """Hexadecimal SHA-256 of texts, each kept apart from the next."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part.encode("utf-8", "surrogatepass") + b"\0")
    return digest.hexdigest()


@contextmanager
def open_binary(path: Path) -> Iterator[IO[bytes]]:
    """Open for reading; what the system refuses becomes one clear error."""
    with translated_os_errors(path), path.open("rb") as file:
        yield file


def ensure_output_dir(path: Path) -> Path:
    """The folder, made if need be and proved writable.

    Raises:
        ConfigurationError: it is a file, or nothing can be written there.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(prefix=TEMPORARY_PREFIX, dir=path):
            pass
    except OSError as error:
        if _is_disk_full(error):
            raise _disk_full(path) from error
        raise ConfigurationError(
            f"the output folder {path} cannot be written: {_reason(error)}",
            hint="choose another folder, or make this one writable",
        ) from error
    return path


@contextmanager
def translated_os_errors(path: Path) -> Iterator[None]:
    """Turn the system's refusals about `path` into errors of the toolkit."""
    try:
        yield
    except FileNotFoundError as error:
        raise DataValidationError(f"File not found: {error.filename or path}", hint="check the path") from error
    except PermissionError as error:
        raise DataValidationError(
            f"Permission denied: {error.filename or path}", hint="check who may read and write it"
        ) from error
    except OSError as error:
        if _is_disk_full(error):
            raise _disk_full(path) from error
        raise DataValidationError(f"{path}: {_reason(error)}", hint="check the path and the disk") from error


def _is_disk_full(error: OSError) -> bool:
    import errno

    return error.errno in (errno.ENOSPC, errno.EDQUOT)


def _disk_full(path: Path) -> LLMToolkitError:
    return LLMToolkitError(
        f"the disk is full: {path} could not be written",
        hint="make room and run the same command again; what was written before is intact",
    )


def _reason(error: BaseException) -> str:
    return getattr(error, "strerror", None) or str(error)


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current
