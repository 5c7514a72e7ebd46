"""Conversations are appended whole, by several writers at once, and read by nobody else."""

import json
import multiprocessing
import stat
from datetime import datetime

import pytest

from conversation_data import ConversationLogger
from shared_utils.errors import DataValidationError

WRITERS, LINES_EACH = 8, 250


def lines_of(path):
    return [json.loads(line) for line in path.read_bytes().split(b"\n") if line]


def test_a_turn_is_one_line_in_the_documented_form(tmp_path):
    log = tmp_path / "new" / "conversations.jsonl"
    written = ConversationLogger(log).log_conversation("你好?\nline two", "answer", {"session_id": "s1", "model": "m"})
    (line,) = lines_of(log)
    assert line == written
    assert set(line) == {"id", "timestamp", "session_id", "messages", "metadata"}
    assert line["messages"] == [
        {"role": "user", "content": "你好?\nline two"},
        {"role": "assistant", "content": "answer"},
    ]
    assert (line["session_id"], line["metadata"]) == ("s1", {"model": "m"})
    assert datetime.fromisoformat(line["timestamp"]).tzinfo is not None


def test_turns_of_one_logger_share_a_session_and_have_ids_of_their_own(tmp_path):
    logger = ConversationLogger(tmp_path / "log.jsonl")
    first, second = logger.log_conversation("a", "b"), logger.log_conversation("c", "d")
    assert first["session_id"] == second["session_id"]
    assert first["id"] != second["id"]


def test_only_the_owner_can_read_the_log(tmp_path):
    log = tmp_path / "log.jsonl"
    log.touch(mode=0o644)
    ConversationLogger(log).log_conversation("secret", "answer")
    assert stat.S_IMODE(log.stat().st_mode) == 0o600


def test_a_torn_last_line_is_ended_first_so_that_only_it_is_lost(tmp_path):
    log = tmp_path / "log.jsonl"
    logger = ConversationLogger(log)
    logger.log_conversation("one", "1")
    with log.open("ab") as file:
        file.write(b'{"id": "torn", "mess')
    logger.log_conversation("two", "2")
    first, torn, last = log.read_bytes().splitlines()
    assert torn == b'{"id": "torn", "mess'
    assert [json.loads(line)["messages"][0]["content"] for line in (first, last)] == ["one", "two"]


def test_what_json_cannot_hold_is_an_error_and_writes_nothing(tmp_path):
    logger = ConversationLogger(tmp_path / "log.jsonl")
    with pytest.raises(DataValidationError, match="cannot be written as JSON"):
        logger.log_conversation("a", "b", {"when": datetime.now()})
    with pytest.raises(DataValidationError, match="cannot be written as JSON"):
        logger.log_conversation("a", "b", {"temperature": float("nan")})
    with pytest.raises(DataValidationError, match="without messages"):
        logger.log_messages([])
    assert not logger.path.exists()


def test_halves_of_characters_do_not_break_the_file(tmp_path):
    """A terminal can deliver them; UTF-8 cannot hold them."""
    logger = ConversationLogger(tmp_path / "log.jsonl")
    logger.log_conversation("a\ud800b", "c")
    content = lines_of(logger.path)[0]["messages"][0]["content"]
    assert content.replace("\ufffd", "") == "ab"


def test_a_folder_in_place_of_the_log_is_told(tmp_path):
    with pytest.raises(DataValidationError):
        ConversationLogger(tmp_path).log_conversation("a", "b")


def write_many(path, writer):
    logger = ConversationLogger(path)
    for number in range(LINES_EACH):
        logger.log_conversation(f"{writer}-{number}", "x" * (50 + 997 * number % 9_000))


def test_eight_writers_at_once_lose_and_mix_no_line(tmp_path):
    path = tmp_path / "log.jsonl"
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=write_many, args=(path, writer)) for writer in range(WRITERS)]
    for process in writers:
        process.start()
    for process in writers:
        process.join()
    questions = {line["messages"][0]["content"] for line in lines_of(path)}
    assert questions == {f"{writer}-{number}" for writer in range(WRITERS) for number in range(LINES_EACH)}


def test_the_statistics_count_what_was_logged_and_leave_out_what_a_kill_tore(tmp_path):
    logger = ConversationLogger(tmp_path / "log.jsonl")
    assert logger.get_conversation_stats() == {
        "total_conversations": 0, "sessions": 0, "messages": 0, "messages_by_role": {}, "characters_by_role": {},
        "first_timestamp": None, "last_timestamp": None, "damaged_lines": 0, "bytes": 0,
    }  # fmt: skip
    first = logger.log_conversation("question", "answer", {"session_id": "a"})
    with logger.path.open("ab") as file:
        file.write(b'{"id": "torn", "messages": [{"ro')
    logger.log_conversation("why?", "so", {"session_id": "a"})
    system = {"role": "system", "content": "Be brief."}
    last = logger.log_messages([system, {"role": "user", "content": "é"}], {"session_id": "b"})
    assert logger.get_conversation_stats() == {
        "total_conversations": 3,
        "sessions": 2,
        "messages": 6,
        "messages_by_role": {"user": 3, "assistant": 2, "system": 1},
        "characters_by_role": {"user": 13, "assistant": 8, "system": 9},
        "first_timestamp": first["timestamp"],
        "last_timestamp": last["timestamp"],
        "damaged_lines": 1,
        "bytes": logger.path.stat().st_size,
    }


@pytest.mark.parametrize("line", [b"[]", b"3", b'{"messages": 3}', b'{"messages": [{"role": "user", "content": 3}]}',
    b'{"messages": [], "session_id": "s", "timestamp": "never"}', b"\xff", b"[" * 100000])  # fmt: skip
def test_no_line_of_a_log_can_stop_its_statistics(tmp_path, line):
    logger = ConversationLogger(tmp_path / "log.jsonl")
    logger.path.write_bytes(line + b"\n\n")
    stats = logger.get_conversation_stats()
    assert (stats["total_conversations"], stats["damaged_lines"]) == (0, 1)


def test_times_of_other_zones_are_compared_as_moments(tmp_path):
    logger = ConversationLogger(tmp_path / "log.jsonl")
    rows = [
        {"messages": [], "session_id": "s", "timestamp": f"2030-01-31T{time}"}
        for time in ("10:00:00+02:00", "09:00:00+00:00", "11:30:00+03:00")
    ]
    logger.path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    stats = logger.get_conversation_stats()
    assert stats["first_timestamp"] == "2030-01-31T10:00:00+02:00"
    assert stats["last_timestamp"] == "2030-01-31T09:00:00+00:00"
