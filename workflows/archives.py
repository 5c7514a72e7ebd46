"""ZIP archives, read member by member.

Each member is a file of its own in the manifest, as `archive.zip/inner/name.pdf`. A member is unpacked when
its turn comes, into a temporary folder under a name that cannot lead out of it; archives inside of archives
stay closed. Limits for the whole archive are those of `zip_safety`.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from document_processing.parsers.registry import ARCHIVES, KNOWN_TYPES, document_type
from document_processing.parsers.zip_safety import MOST_RATIO, SMALL_BYTES, is_encrypted, is_link, open_zip
from shared_utils.errors import DataValidationError, DocumentProcessingError
from shared_utils.file_utils import TEMPORARY_PREFIX, translated_os_errors

LONGEST_NAME = 200  # bytes of an unpacked file; most file systems allow 255
_PIECE = 2**20  # bytes unpacked at once
_DRIVE = re.compile(r"[A-Za-z]:")
_UNSAFE = re.compile(r'[\x00-\x1f\x7f<>:"|?*\\/]')
_UTF8_FLAG = 0x800


@dataclass(frozen=True)
class Member:
    """A file in an archive.

    Attributes:
        index: its place in the list of members.
        name: with forward slashes, as told by the archive; it may be hostile and is never opened.
        type: that of its documents, or None where it is not read.
        status: `failed` or `skipped` when it is not read, with `reason` and `hint`.
        bytes: its size, unpacked, as the archive claims.
    """

    index: int
    name: str
    type: str | None = None
    status: Literal["failed", "skipped"] | None = None
    reason: str = ""
    hint: str = ""
    bytes: int = 0


def is_archive(path: Path) -> bool:
    """Its members are read, told by the suffix."""
    return path.suffix.casefold() in ARCHIVES


def members_of(path: Path) -> list[Member]:
    """The files of an archive in its own order; only its list is read.

    Raises:
        DocumentProcessingError: it is no archive, damaged, or beyond the limits.
    """
    with open_zip(path) as archive:
        seen: set[str] = set()
        found: list[Member] = []
        for index, info in enumerate(archive.infolist()):
            if not info.is_dir():
                found.append(_member(index, info, seen))
        return found


class MemberReader:
    """Unpacks members one after another; the archive of the last one stays open for the next.

    Args:
        store: the folder for the temporary copies.
        max_bytes: larger members are refused.
    """

    def __init__(self, store: Path, max_bytes: int) -> None:
        self._store, self._max_bytes = store, max_bytes
        self._stack = ExitStack()
        self._opened: tuple[Path, zipfile.ZipFile] | None = None

    @contextmanager
    def unpacked(self, path: Path, index: int) -> Iterator[Path]:
        """A copy of a member, which is removed at the end; a killed run leaves it to the next start.

        Raises:
            DocumentProcessingError: the archive or the member cannot be read.
            DataValidationError: the member is too large.
        """
        archive = self._archive(path)
        if index >= len(archive.infolist()):
            raise DocumentProcessingError("the archive was changed while it was read", hint="run again")
        info = archive.infolist()[index]
        if info.file_size > self._max_bytes:
            raise DataValidationError(
                f"it has {info.file_size / 2**20:,.0f} MB; the limit is {self._max_bytes / 2**20:,.0f} MB",
                hint="split it, or raise document_processing.extraction.max_file_mb",
            )
        folder = Path(tempfile.mkdtemp(prefix=TEMPORARY_PREFIX, dir=self._store))
        try:
            copy = folder / _safe_name(_name(info))
            with translated_os_errors(copy):
                _unpack(archive, info, copy)
            yield copy
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def close(self) -> None:
        """Close the archive that is open."""
        self._stack.close()
        self._opened = None

    def _archive(self, path: Path) -> zipfile.ZipFile:
        if self._opened is None or self._opened[0] != path:
            self.close()
            self._opened = path, self._stack.enter_context(open_zip(path))
        return self._opened[1]


def _member(index: int, info: zipfile.ZipInfo, seen: set[str]) -> Member:
    name = _name(info)
    kind = document_type(name.rpartition("/")[2])
    problem = _danger(info, name)
    if problem is None and name in seen:
        problem = "the archive holds another file of this name, which is read", "rename it and pack again"
    seen.add(name)
    parts = name.split("/")
    if problem:
        return Member(index, name.replace("\0", "\\0"), kind, "failed", *problem)
    if any(part.startswith(".") for part in parts) or parts[0] == "__MACOSX":
        return Member(index, name, kind, "skipped", "it is a hidden file", "rename it to have it read")
    if is_archive(Path(parts[-1])):
        hint = "unpack it, and read the folder"
        return Member(index, name, None, "failed", "it is an archive inside of an archive, which stays closed", hint)
    if kind is None:
        suffix = Path(parts[-1]).suffix or "none"
        return Member(index, name, None, "skipped", f"files of type '{suffix}' are not read", KNOWN_TYPES)
    return Member(index, name, kind, bytes=info.file_size)


def _danger(info: zipfile.ZipInfo, name: str) -> tuple[str, str] | None:
    """Why a member is refused, and what to do."""
    if "\0" in name:
        return "its name holds a NUL character", "rename it and pack again"
    if name.startswith("/") or ".." in name.split("/") or _DRIVE.match(name):
        return "its name leads outside of the archive", "be careful with this archive"
    if is_link(info):
        return "it is a link", "pack the file that it leads to"
    if is_encrypted(info):
        return "it is encrypted", "unpack it with its password"
    if info.file_size > SMALL_BYTES and info.file_size > MOST_RATIO * info.compress_size:
        ratio = info.file_size / max(1, info.compress_size)
        return f"it unpacks to {ratio:,.0f} times its size; the limit is {MOST_RATIO}", "unpack it yourself"
    return None


def _name(info: zipfile.ZipInfo) -> str:
    """The whole name, where `zipfile` cuts at a NUL; UTF-8 also where the archive forgot to say so."""
    name = info.orig_filename
    if not info.flag_bits & _UTF8_FLAG and not name.isascii():
        try:
            name = name.encode("cp437").decode("utf-8")
        except UnicodeError:
            pass
    return name.replace("\\", "/")


def _safe_name(name: str) -> str:
    """The last part of a name, as a plain file name with the same suffix."""
    path = Path(_UNSAFE.sub("_", name.rpartition("/")[2]))
    stem = path.stem
    while len(os.fsencode(stem)) > LONGEST_NAME:
        stem = stem[:-1]
    return stem + path.suffix


def _unpack(archive: zipfile.ZipFile, info: zipfile.ZipInfo, target: Path) -> None:
    left = info.file_size  # what the archive claims; more is never written
    try:
        with archive.open(info) as source, target.open("xb") as copy:
            while left > 0 and (piece := source.read(min(_PIECE, left))):
                copy.write(piece)
                left -= len(piece)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError) as error:
        raise DocumentProcessingError(
            f"it is damaged in the archive: {str(error)[:200] or type(error).__name__}",
            hint="get another copy of the archive",
        ) from error
    if left:
        raise DocumentProcessingError("it is cut off in the archive", hint="get another copy of the archive")
