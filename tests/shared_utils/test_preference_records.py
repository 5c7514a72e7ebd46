"""Preference pairs come in many shapes, and mean one thing each."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared_utils.data_loader import UnusableRecord, load_records, split_records
from shared_utils.errors import DataValidationError
from shared_utils.preference_records import to_pair

USER = {"role": "user", "content": "Who sings?"}
GOOD = {"role": "assistant", "content": "The kettle."}
BAD = {"role": "assistant", "content": "The cat."}
SYSTEM = {"role": "system", "content": "Be short."}
EARLIER = [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Hello!"}]


def parts(row):
    pair = to_pair(row, "here")
    return pair["messages"], pair["chosen"], pair["rejected"]


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": "Who sings?", "chosen": "The kettle.", "rejected": "The cat."},
        {"question": "Who sings?", "chosen": "The kettle.", "rejected": "The cat."},
        {"instruction": "Who sings?", "input": "", "chosen": "The kettle.", "rejected": "The cat."},
        {"prompt": [USER], "chosen": [GOOD], "rejected": [BAD]},
        {"prompt": [USER], "chosen": GOOD, "rejected": BAD},
        {"prompt": [USER], "chosen": "The kettle.", "rejected": "The cat."},
        {"prompt": [USER], "chosen": [USER, GOOD], "rejected": [USER, BAD]},
        {"chosen": [USER, GOOD], "rejected": [USER, BAD]},
        {"prompt": "Who sings?", "chosen": [USER, GOOD], "rejected": [USER, BAD], "messages": [USER, GOOD]},
        {
            "conversations": [{"from": "human", "value": "Who sings?"}],
            "chosen": {"from": "gpt", "value": "The kettle."},
            "rejected": {"from": "gpt", "value": "The cat."},
        },
    ],
)
def test_every_shape_gives_the_same_pair(row):
    assert parts(row) == ([USER], [GOOD], [BAD])


@pytest.mark.parametrize(
    "row",
    [
        {"system": "Be short.", "prompt": "Who sings?", "chosen": "The kettle.", "rejected": "The cat."},
        {"system": "Be short.", "chosen": [USER, GOOD], "rejected": [USER, BAD]},
        {"system": "Be short.", "chosen": [SYSTEM, USER, GOOD], "rejected": [SYSTEM, USER, BAD]},
        {"prompt": [SYSTEM, USER], "chosen": [GOOD], "rejected": [BAD]},
    ],
)
def test_the_system_text_is_the_first_turn(row):
    assert parts(row) == ([SYSTEM, USER], [GOOD], [BAD])


def test_what_both_conversations_share_is_the_prompt():
    row = {"chosen": [*EARLIER, USER, GOOD], "rejected": [*EARLIER, USER, BAD]}
    assert parts(row) == ([*EARLIER, USER], [GOOD], [BAD])


def test_the_input_of_an_instruction_follows_it():
    row = {"instruction": "Sum up.", "input": "A text.", "chosen": "A.", "rejected": "B."}
    assert parts(row)[0] == [{"role": "user", "content": "Sum up.\n\nA text."}]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"prompt": "Q", "chosen": "A"}, "an empty or missing 'rejected'"),
        ({"prompt": "Q", "chosen": "", "rejected": "B"}, "an empty or missing 'chosen'"),
        ({"prompt": "Q", "chosen": None, "rejected": "B"}, "an empty or missing 'chosen'"),
        ({"prompt": "Q", "chosen": " ", "rejected": "B"}, "empty answer"),
        ({"chosen": "A", "rejected": "B"}, "an empty or missing 'prompt'"),
        ({"prompt": "Q", "chosen": "A", "rejected": "A"}, "equal answers"),
        ({"chosen": [USER, GOOD], "rejected": [EARLIER[0], BAD]}, "different prompts before its answers"),
        ({"chosen": [USER, GOOD], "rejected": [USER, GOOD, USER]}, "different prompts before its answers"),
        ({"chosen": [USER, GOOD], "rejected": "The cat."}, "different prompts before its answers"),
        ({"prompt": "Else?", "chosen": [USER, GOOD], "rejected": [USER, BAD]}, "that its answers do not begin with"),
        ({"prompt": [EARLIER[0]], "chosen": [USER, GOOD], "rejected": [USER, BAD]}, "do not begin with"),
        ({"prompt": [USER], "chosen": [GOOD, USER], "rejected": [BAD]}, "no answer at the end"),
        ({"prompt": [GOOD], "chosen": [GOOD], "rejected": [BAD]}, "wrong order of roles"),
        ({"prompt": "Q", "chosen": "A\ufffd", "rejected": "B"}, "broken characters"),
    ],
)
def test_a_pair_that_teaches_nothing_is_named_with_its_reason(row, reason):
    with pytest.raises(UnusableRecord, match=reason):
        to_pair(row, "here")


def test_bad_pairs_are_left_out_with_their_line(tmp_path):
    path = tmp_path / "pairs.jsonl"
    rows = [{"prompt": "Q", "chosen": "A", "rejected": "B"}, {"prompt": "Q", "chosen": "A", "rejected": "A"}]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    loaded = load_records([path], to_pair)
    assert len(loaded.records) == 1
    assert [(one.where, one.reason) for one in loaded.rejected] == [(f"{path}, line 2", "equal answers")]


@pytest.mark.parametrize(
    ("row", "hint"),
    [
        ({"instruction": "Q", "output": "A"}, "records of the kind 'instruction' are for train-lora"),
        ({"text": "A"}, "records of the kind 'text' are for train-lora"),
        ({"question": "Q", "answer": "A"}, "train-dpo needs 'prompt', 'chosen' and 'rejected'"),
    ],
)
def test_records_of_other_kinds_are_sent_to_their_command(row, hint):
    with pytest.raises(DataValidationError, match="here: no preference pair") as caught:
        to_pair(row, "here")
    assert hint in str(caught.value.hint)


def test_a_field_of_another_type_is_an_error():
    with pytest.raises(DataValidationError, match="'chosen' is of type int"):
        to_pair({"prompt": "Q", "chosen": 3, "rejected": "B"}, "here")


def test_pairs_of_one_prompt_are_held_out_together():
    """Else the held-out pairs would ask what was trained on."""
    pairs = [to_pair({"prompt": f"Q{n % 10}", "chosen": f"A{n}", "rejected": f"B{n}"}, f"line {n}") for n in range(40)]
    train, held_out = split_records(pairs, 0.2)
    prompts = [{pair["messages"][0]["content"] for pair in side} for side in (train, held_out)]
    assert len(held_out) == 8
    assert not prompts[0] & prompts[1]


texts = st.text(max_size=3) | st.none() | st.integers(0, 1)
turns = st.fixed_dictionaries({"role": st.sampled_from(["user", "assistant", "system"]), "content": texts})
values = texts | turns | st.lists(turns | texts, max_size=3)


@given(st.dictionaries(st.sampled_from(["prompt", "system", "chosen", "rejected", "question"]), values))
def test_anything_is_a_pair_or_refused_in_words(row):
    try:
        pair = to_pair(row, "here")
    except (UnusableRecord, DataValidationError):
        return
    assert pair["messages"]
    assert pair["chosen"][-1]["role"] == pair["rejected"][-1]["role"] == "assistant"
    assert pair["chosen"] != pair["rejected"]
