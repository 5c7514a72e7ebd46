"""ZIP files opened with care: a small file can claim to hold more than the machine does.

Word, Excel, PowerPoint, OpenDocument and EPUB files are ZIP archives too.
"""

from __future__ import annotations

import io
import stat
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from shared_utils.errors import DocumentProcessingError
from shared_utils.file_utils import translated_os_errors

MOST_MEMBERS = 10_000
MOST_UNPACKED_BYTES = 2 * 2**30
MOST_RATIO = 200  # unpacked to packed; text has about 5, a bomb 1,000
SMALL_BYTES = 2 * 2**20  # below, no ratio is suspicious
MOST_DIRECTORY_BYTES = 4 * 2**20  # the list of members; 10,000 long names take 3 MB


class _CarefulFile(io.FileIO):
    """A file of which no large part is read at once: `zipfile` reads the list of members as a whole."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size is not None and size > MOST_DIRECTORY_BYTES:
            raise zipfile.BadZipFile("its list of members is too long")
        return super().read(size)


@contextmanager
def open_zip(path: Path, what: str = "archive") -> Iterator[zipfile.ZipFile]:
    """An archive within the limits; nothing is unpacked here.

    Args:
        path: the file.
        what: the word for it in messages, as in "document".

    Raises:
        DocumentProcessingError: it is no archive, damaged, or claims more than the limits.
    """
    try:
        with translated_os_errors(path):
            file = _CarefulFile(path)
        with file, zipfile.ZipFile(file) as archive:
            refuse_bomb(archive.infolist(), what)
            yield archive
    except (zipfile.BadZipFile, NotImplementedError, EOFError) as error:
        raise DocumentProcessingError(
            f"the {what} is damaged: {str(error)[:200] or type(error).__name__}", hint="copy or download it again"
        ) from error


def refuse_zip_bomb(path: Path) -> None:
    """Look at an office file before a library opens it.

    Raises:
        DocumentProcessingError: it is damaged, or claims more than the limits.
    """
    with open_zip(path, "document"):
        pass


def refuse_bomb(members: list[zipfile.ZipInfo], what: str) -> None:
    """Refuse an archive that holds too many members, too much, or what is packed suspiciously well.

    Raises:
        DocumentProcessingError: names the limit.
    """
    hint = "unpack it yourself if you trust it"
    if len(members) > MOST_MEMBERS:
        raise DocumentProcessingError(
            f"the {what} holds {len(members):,} files; the limit is {MOST_MEMBERS:,}", hint=hint
        )
    unpacked = sum(member.file_size for member in members)
    if unpacked > MOST_UNPACKED_BYTES:
        raise DocumentProcessingError(
            f"the {what} unpacks to {unpacked / 2**20:,.0f} MB; the limit is {MOST_UNPACKED_BYTES / 2**20:,.0f} MB",
            hint=hint,
        )
    packed = sum(member.compress_size for member in members)
    if unpacked > SMALL_BYTES and unpacked > MOST_RATIO * packed:
        raise DocumentProcessingError(
            f"the {what} unpacks to {unpacked / max(1, packed):,.0f} times its size; the limit is {MOST_RATIO}",
            hint=hint,
        )


def is_link(member: zipfile.ZipInfo) -> bool:
    """The member is a symbolic link, as Unix archives hold them."""
    return stat.S_ISLNK(member.external_attr >> 16)


def is_encrypted(member: zipfile.ZipInfo) -> bool:
    """The member needs a password."""
    return bool(member.flag_bits & 0x1)


def read_member(archive: zipfile.ZipFile, name: str) -> bytes:
    """The bytes of a member that must be there.

    Raises:
        DocumentProcessingError: it is missing or needs a password.
    """
    try:
        member = archive.getinfo(name)
    except KeyError:
        raise DocumentProcessingError(
            f"the document is damaged: its part {name} is missing", hint="open it in its own program and save it again"
        ) from None
    if is_encrypted(member):
        raise DocumentProcessingError("it is encrypted", hint="save a copy without password")
    return archive.read(member)
