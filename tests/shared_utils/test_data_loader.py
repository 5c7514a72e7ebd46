"""Records of every kind, and clear words about the ones that are none."""

from __future__ import annotations

import json

import pytest

from shared_utils.data_loader import content_hash, load_records, split_records, to_record
from shared_utils.errors import DataValidationError

PAIR = [{"role": "user", "content": "Q"}, {"role": "assistant", "content": "A"}]
KINDS = {
    "text": ({"text": "Hello."}, None),
    "prompt": ({"prompt": "Q", "completion": "A"}, PAIR),
    "alpaca": ({"instruction": "Q", "output": "A"}, PAIR),
    "alpaca with empty input": ({"instruction": "Q", "input": "", "output": "A"}, PAIR),
    "alpaca with input": (
        {"instruction": "Q", "input": "I", "output": "A"},
        [{"role": "user", "content": "Q\n\nI"}, PAIR[1]],
    ),
    "alpaca with system and history": (
        {"instruction": "Q", "output": "A", "system": "S", "history": [["Q0", "A0"]]},
        [
            {"role": "system", "content": "S"},
            {"role": "user", "content": "Q0"},
            {"role": "assistant", "content": "A0"},
            *PAIR,
        ],
    ),
    "sharegpt": ({"conversations": [{"from": "human", "value": "Q"}, {"from": "gpt", "value": "A"}]}, PAIR),
    "messages": ({"messages": PAIR}, PAIR),
    "conversation log": (
        {"id": "x", "timestamp": "2024-01-01T00:00:00Z", "session_id": "s", "messages": PAIR, "metadata": {}},
        PAIR,
    ),
}


def write(path, *rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_is_recognised_by_its_keys(kind):
    row, messages = KINDS[kind]
    record = to_record(row, "here")
    assert record.get("messages") == messages
    assert ("text" in record) == (kind == "text")


def test_kinds_and_containers_may_be_mixed(tmp_path):
    write(tmp_path / "a.jsonl", {"text": "one"}, {"prompt": "Q", "completion": "A"})
    (tmp_path / "b.json").write_text(json.dumps([{"text": "two"}]), encoding="utf-8")
    (tmp_path / "c.csv").write_text('instruction,output\n"Q, with comma","A\nsecond line"\n', encoding="utf-8")
    loaded = load_records([tmp_path])
    assert len(loaded.records) == 4
    assert loaded.records[3]["messages"][1]["content"] == "A\nsecond line"
    assert len(loaded.fingerprints) == 3


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b'{"text": "a"', "line 2: not valid JSON"),
        (b"[1]", "line 2: a JSON object is needed, found list"),
        (b'{"text": "\xff"}', "line 2: not UTF-8"),
        (b'{"instruction": "Q"}', "line 2: no known kind of record (keys found: instruction)"),
        (b'{"txt": "a"}', "keys found: txt"),
        (b'{"prompt": "Q", "completion": 5}', "line 2: field 'completion' is of type int"),
        (b'{"messages": "hello"}', "line 2: a list of turns is needed"),
        (b'{"messages": [{"role": "robot", "content": "x"}]}', "turn 1: 'role' is 'robot'"),
        (b'{"conversations": [{"from": "human"}]}', "turn 1: field 'value' is missing"),
    ],
)
def test_a_broken_line_is_named_with_file_and_line(tmp_path, line, message):
    path = tmp_path / "data.jsonl"
    path.write_bytes(b'{"text": "fine"}\n' + line + b"\n")
    with pytest.raises(DataValidationError) as caught:
        load_records([path])
    assert str(path) in caught.value.message
    assert message in caught.value.message


def test_the_nearest_kind_is_named():
    with pytest.raises(DataValidationError) as caught:
        to_record({"instruction": "Q", "ouput": "A"}, "here")
    assert "'instruction' and 'output'" in caught.value.hint


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"prompt": "Q", "completion": "  "}, "empty answer"),
        ({"text": " "}, "empty text"),
        ({"messages": PAIR[:1]}, "no answer"),
        ({"messages": PAIR[1:]}, "wrong order of roles"),
        ({"messages": [PAIR[0], PAIR[0], PAIR[1]]}, "wrong order of roles"),
        ({"prompt": "a\ufffdb", "completion": "A"}, "broken characters (U+FFFD)"),
    ],
)
def test_a_record_that_teaches_nothing_is_counted_with_its_reason(tmp_path, row, reason):
    loaded = load_records([write(tmp_path / "data.jsonl", {"text": "fine"}, row)])
    assert len(loaded.records) == 1
    assert [(rejected.where.endswith("line 2"), rejected.reason) for rejected in loaded.rejected] == [(True, reason)]


def test_a_missing_file_an_empty_folder_and_a_document_are_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("x", encoding="utf-8")
    with pytest.raises(DataValidationError, match="File not found"):
        load_records([tmp_path / "none.jsonl"])
    with pytest.raises(DataValidationError, match="holds no training records"):
        load_records([tmp_path])
    with pytest.raises(DataValidationError, match=r"files of type '\.txt' hold no training records"):
        load_records([tmp_path / "notes.txt"])


def test_equal_records_fall_on_one_side_and_order_does_not_matter():
    records = [to_record({"prompt": f"Q{n % 20}", "completion": "A"}, str(n)) for n in range(40)]
    train, held_out = split_records(records, 0.25)
    assert {content_hash(r) for r in train}.isdisjoint({content_hash(r) for r in held_out})
    assert len(train) + len(held_out) == 40
    backwards = split_records(records[::-1], 0.25)[1]
    assert sorted(r["source"] for r in backwards) == sorted(r["source"] for r in held_out)


def tool_record(call, **more):
    turns = [{"role": "user", "content": "Time?"}, {"role": "assistant", "content": None, "tool_calls": [call]}]
    return {"messages": turns, **more}


def test_tool_calls_keep_their_names_and_arguments_become_objects():
    tools = '[{"type": "function", "function": {"name": "clock"}}]'
    call = {"id": "1", "function": {"name": "clock", "arguments": '{"zone": "UTC"}'}}
    record = to_record(tool_record(call, tools=tools), "x, line 1")
    assert record["tools"] == [{"type": "function", "function": {"name": "clock"}}]
    assert record["messages"][1] == {
        "role": "assistant",
        "content": "",
        "tool_calls": [{"type": "function", "function": {"name": "clock", "arguments": {"zone": "UTC"}}, "id": "1"}],
    }


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ({"function": {"arguments": {}}}, "x, turn 2: a tool call without a name"),
        ({"function": {"name": "f", "arguments": "{bad"}}, "x, turn 2: 'arguments' is not valid JSON"),
        ({"function": {"name": "f", "arguments": [1]}}, "x, turn 2: the arguments of 'f' are no object"),
        ("f", "x, turn 2: 'tool_calls' must be a list of objects"),
    ],
)
def test_a_broken_tool_call_is_one_line(call, message):
    with pytest.raises(DataValidationError, match=message):
        to_record(tool_record(call), "x")


def test_half_of_a_character_pair_is_counted_and_named(tmp_path):
    path = tmp_path / "half.jsonl"
    path.write_text(
        '{"prompt": "\\ud800", "completion": "b"}\n{"text": "a \\udc00"}\n{"text": "whole"}\n', encoding="utf-8"
    )
    loaded = load_records([path])
    assert len(loaded.records) == 1
    assert {one.reason for one in loaded.rejected} == {"broken characters (half of a pair)"}
