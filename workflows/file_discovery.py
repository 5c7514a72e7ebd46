"""Which files an input holds: a folder, a file or a pattern.

Everything that looks like a file is found, also what cannot be read; it then carries the reason. Links are
never followed below the input: one that leads out of it is refused, one that stays inside would be a copy.
Not counted are hidden folders and the output folder, when it lies inside the input.
"""

from __future__ import annotations

import glob
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from document_processing.parsers.registry import KNOWN_TYPES, document_type
from shared_utils.errors import DataValidationError, LLMToolkitError
from workflows.archives import is_archive, members_of

ARCHIVE = "archive"  # until its members take its place

_SPECIAL_KINDS = {
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


@dataclass(frozen=True, slots=True)
class FoundFile:
    """A file of the input.

    Attributes:
        location: where it is; text, because a `Path` takes six times the memory, and there may be very many.
        source: its name relative to the input, with forward slashes; bytes that are no UTF-8 are escaped.
        type: that of its documents, or None for other files.
        status: `failed` or `skipped` when it is not read, with `reason` and `hint`.
        member: its place in the archive at `location`; None for a file that is not in one.
        member_bytes: its size, unpacked, as far as the archive tells the truth.
    """

    location: str
    source: str
    type: str | None = None
    status: Literal["failed", "skipped"] | None = None
    reason: str = ""
    hint: str = ""
    member: int | None = None
    member_bytes: int = 0

    @property
    def path(self) -> Path:
        """Where it is."""
        return Path(self.location)


def find_files(input_path: str | Path, output_dir: Path | None = None) -> list[FoundFile]:
    """The files of a folder, a file or a glob pattern, sorted by source.

    Raises:
        DataValidationError: there is nothing at this path, or no file in it.
    """
    text = os.fspath(input_path)
    if "\0" in text:
        raise DataValidationError("the input path holds a NUL character", hint="give a plain path")
    path = Path(text).expanduser()
    excluded = output_dir.resolve() if output_dir else None
    if path.is_dir():
        root = path.resolve()
        found = list(_walk(root, root, excluded))
    elif path.exists() or path.is_symlink():
        found = [_single_file(path)]
    elif glob.has_magic(text):
        found = list(_matches(text, excluded))
    else:
        raise DataValidationError(f"File not found: {path}", hint="give a folder, a file or a pattern in quotes")
    if not found:
        raise DataValidationError(f"no files in {path}", hint=KNOWN_TYPES)
    return sorted((row for file in found for row in _opened(file)), key=lambda file: file.source)


def _opened(file: FoundFile) -> Iterator[FoundFile]:
    """The members of an archive, each as a file of its own; any other file as it is."""
    if file.type != ARCHIVE or file.status:
        yield file
        return
    try:
        members = members_of(file.path)
    except LLMToolkitError as error:
        yield replace(file, status="failed", reason=error.message, hint=error.hint)
        return
    if not members:
        yield replace(file, status="skipped", reason="the archive holds no files", hint="nothing is lost")
    for member in members:
        source = f"{file.source}/{_source(member.name)}"
        yield FoundFile(
            file.location,
            source,
            member.type,
            member.status,
            member.reason,
            member.hint,
            member=member.index,
            member_bytes=member.bytes,
        )


def _single_file(path: Path) -> FoundFile:
    """A file that was named on its own; a link is followed, because it was meant."""
    try:
        resolved = path.resolve(strict=True)
    except (OSError, RuntimeError):
        raise DataValidationError(f"File not found: {path} is a link that leads nowhere", hint="mend it") from None
    kind = _type_of(path)
    if kind is None:
        raise DataValidationError(
            f"{path}: files of type '{path.suffix or 'none'}' are not read",
            hint=KNOWN_TYPES,
        )
    return _regular_or_not(resolved, _source(path.name), kind)


def _matches(pattern: str, excluded: Path | None) -> Iterator[FoundFile]:
    fixed_parts: list[str] = []
    for part in Path(pattern).parts[:-1]:
        if glob.has_magic(part):
            break
        fixed_parts.append(part)
    root = Path(*fixed_parts).expanduser().resolve() if fixed_parts else Path.cwd()
    seen: set[Path] = set()
    for name in glob.iglob(os.path.expanduser(pattern), recursive=True):
        path = Path(os.path.abspath(name))
        # Both a folder and a file in it can match; each file counts once.
        for found in _walk(path, root, excluded) if path.is_dir() and not path.is_symlink() else [_entry(path, root)]:
            if found.path not in seen and not (excluded and found.path.is_relative_to(excluded)):
                seen.add(found.path)
                yield found


def _walk(folder: Path, root: Path, excluded: Path | None) -> Iterator[FoundFile]:
    pending = [folder]
    while pending:
        current = pending.pop()
        try:
            entries = list(os.scandir(current))
        except OSError as error:
            yield FoundFile(
                str(current),
                _source_of(current, root),
                status="failed",
                reason=f"the folder cannot be listed: {error.strerror}",
                hint="check who may read it",
            )
            continue
        for entry in entries:
            path = current / entry.name
            if not entry.is_dir(follow_symlinks=False):
                yield _entry(path, root)
            elif not entry.name.startswith(".") and path != excluded:
                pending.append(path)
                if path.suffix and _type_of(path):
                    yield FoundFile(
                        str(path),
                        _source_of(path, root),
                        status="failed",
                        reason="it is a folder, in spite of its name",
                        hint="files inside of it are read; rename the folder",
                    )


def _entry(path: Path, root: Path) -> FoundFile:
    source, kind = _source_of(path, root), _type_of(path)
    if path.is_symlink():
        return _link(path, root, source, kind)
    if path.name.startswith("."):
        return FoundFile(str(path), source, kind, "skipped", "it is a hidden file", "rename it to have it read")
    return _regular_or_not(path, source, kind)


def _type_of(path: Path) -> str | None:
    return ARCHIVE if is_archive(path) else document_type(path)


def _regular_or_not(path: Path, source: str, kind: str | None) -> FoundFile:
    try:
        mode = path.lstat().st_mode
    except OSError as error:
        return FoundFile(str(path), source, kind, "failed", f"it cannot be opened: {error.strerror}", "check the path")
    if not stat.S_ISREG(mode):
        name = _SPECIAL_KINDS.get(stat.S_IFMT(mode), "no regular file")
        return FoundFile(str(path), source, kind, "failed", f"it is {name}", "only plain files are read")
    if kind is None:
        suffix = path.suffix or "none"
        return FoundFile(
            str(path),
            source,
            None,
            "skipped",
            f"files of type '{_source(suffix)}' are not read",
            KNOWN_TYPES,
        )
    return FoundFile(str(path), source, kind)


def _link(path: Path, root: Path, source: str, kind: str | None) -> FoundFile:
    try:
        target = path.resolve(strict=True)
    except FileNotFoundError:
        return FoundFile(str(path), source, kind, "failed", "it is a link that leads nowhere", "mend or remove it")
    except (OSError, RuntimeError):  # a loop is the one or the other, by Python version
        return FoundFile(str(path), source, kind, "failed", "it is a link in a loop", "mend or remove it")
    if not target.is_relative_to(root):
        return FoundFile(
            str(path),
            source,
            kind,
            "failed",
            "it is a link that leads outside of the input folder",
            "copy the file into the folder instead",
        )
    return FoundFile(
        str(path),
        source,
        kind,
        "skipped",
        "it is a link to what is read under its own name",
        "nothing is to be done",
    )


def _source_of(path: Path, root: Path) -> str:
    return _source(path.relative_to(root).as_posix() if path.is_relative_to(root) else path.as_posix())


def _source(name: str) -> str:
    return os.fsencode(name).decode("utf-8", "backslashreplace")
