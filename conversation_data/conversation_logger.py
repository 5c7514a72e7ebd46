"""ConversationLogger: conversations as JSONL, one turn a line, only ever appended to.

>>> {"id": "8f...", "timestamp": "2030-01-31T09:30:00.123456+00:00", "session_id": "s1",
...  "messages": [{"role": "user", "content": "question"}, {"role": "assistant", "content": "answer"}],
...  "metadata": {"model": "starter"}}
"""

from __future__ import annotations

import json
import os
import stat
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from shared_utils.errors import DataValidationError
from shared_utils.file_utils import open_binary, to_json, translated_os_errors
from shared_utils.records import Conversation, Message

OWNER_ONLY = 0o600  # conversations are private
# O_BINARY is there on Windows only, where line ends would be changed without it.
_APPEND = os.O_RDWR | os.O_APPEND | os.O_CREAT | getattr(os, "O_BINARY", 0)


class ConversationLogger:
    """Appends conversations to a file that several programs may write at once.

    Each line is written whole under a lock. A last line that a killed writer left torn is ended
    first, so that it alone is lost.

    Args:
        path: the log; made, with its folder, at the first line and readable by its owner only.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.session_id = uuid.uuid4().hex

    def log_conversation(
        self, user_text: str, assistant_text: str, metadata: Mapping[str, object] | None = None
    ) -> Conversation:
        """Append one question and its answer; what was written."""
        question: Message = {"role": "user", "content": user_text}
        answer: Message = {"role": "assistant", "content": assistant_text}
        return self.log_messages([question, answer], metadata)

    def log_messages(self, messages: Sequence[Message], metadata: Mapping[str, object] | None = None) -> Conversation:
        """Append one turn of any messages; what was written.

        Args:
            messages: at least one.
            metadata: anything JSON can hold; `session_id` in it takes the place of the logger's own.

        Raises:
            DataValidationError: no messages, metadata JSON cannot hold, or a file that cannot be written.
        """
        if not messages:
            raise DataValidationError("a conversation without messages cannot be logged", hint="give at least one")
        rest = dict(metadata or {})
        session_id = str(rest.pop("session_id", self.session_id))
        conversation: Conversation = {
            "id": uuid.uuid4().hex,
            "timestamp": datetime.now(UTC).isoformat(),
            "session_id": session_id,
            "messages": list(messages),
            "metadata": rest,
        }
        try:
            line = to_json(conversation)
        except (TypeError, ValueError) as error:
            raise DataValidationError(
                f"the conversation cannot be written as JSON: {error}",
                hint="keep metadata to texts and numbers",
            ) from error
        _append_line(self.path, line.encode("utf-8"))
        return conversation

    def get_conversation_stats(self) -> dict[str, Any]:
        """What the log holds; it is read a line at a time, and may be written meanwhile.

        Returns:
            `total_conversations` (lines), `sessions`, `messages`, `messages_by_role`, `characters_by_role`,
            `first_timestamp`, `last_timestamp` (None where the log is empty), `damaged_lines` (torn by a kill, and left
            out of all the rest) and `bytes`.

        Raises:
            DataValidationError: the log cannot be read.
        """
        sessions: set[str] = set()
        messages: Counter[str] = Counter()
        characters: Counter[str] = Counter()
        times: list[datetime] = []
        total = damaged = size = 0
        for raw in self._lines():
            size += len(raw)
            try:
                line = json.loads(raw)
                turns = [(str(turn["role"]), len(turn["content"] or "")) for turn in line["messages"]]
                session, moment = str(line["session_id"]), datetime.fromisoformat(line["timestamp"])
                times = [min([moment, *times[:1]]), max([moment, *times[1:]])]
            except (ValueError, KeyError, TypeError, RecursionError):
                damaged += bool(raw.strip())
                continue
            total += 1
            sessions.add(session)
            for role, length in turns:
                messages[role] += 1
                characters[role] += length
        return {
            "total_conversations": total,
            "sessions": len(sessions),
            "messages": messages.total(),
            "messages_by_role": dict(messages),
            "characters_by_role": dict(characters),
            "first_timestamp": times[0].isoformat() if times else None,
            "last_timestamp": times[1].isoformat() if times else None,
            "damaged_lines": damaged,
            "bytes": size,
        }

    def _lines(self) -> Iterator[bytes]:
        if not self.path.exists():
            return  # nothing was logged yet
        with open_binary(self.path) as file:
            yield from file


def _append_line(path: Path, line: bytes) -> None:
    with translated_os_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, _APPEND, OWNER_ONLY)
        try:
            if stat.S_ISREG(os.fstat(handle).st_mode):
                with suppress(PermissionError):  # a log that someone else owns
                    os.chmod(path, OWNER_ONLY)  # also where it was there before with another mode
            with _locked(handle):
                start = b"" if _ends_with_a_line(handle) else b"\n"
                _write_all(handle, start + line + b"\n")
        finally:
            os.close(handle)


def _ends_with_a_line(handle: int) -> bool:
    size = os.fstat(handle).st_size
    if size == 0:
        return True
    os.lseek(handle, size - 1, os.SEEK_SET)
    return os.read(handle, 1) == b"\n"


def _write_all(handle: int, data: bytes) -> None:
    # One call writes the line whole; the loop is for a disk that takes only a part of it.
    written = os.write(handle, data)
    while written < len(data):
        written += os.write(handle, data[written:])


@contextmanager
def _locked(handle: int) -> Iterator[None]:
    """Keep other writers out; where there is no `fcntl` (Windows), appending is still whole lines."""
    try:
        import fcntl
    except ImportError:
        yield
        return
    fcntl.flock(handle, fcntl.LOCK_EX)
    try:
        yield
    finally:
        fcntl.flock(handle, fcntl.LOCK_UN)
