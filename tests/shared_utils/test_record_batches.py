"""Records as batches of tensors, and large files in pieces."""

from __future__ import annotations

import csv
import json
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared_utils import DataLoaderFactory, MemoryEfficientDataLoader
from shared_utils.errors import ConfigurationError, DataValidationError
from shared_utils.json_lists import iter_json_list
from shared_utils.model_utils import load_tokenizer
from shared_utils.prompt_formats import IGNORED, encode_record

PAIRS = [
    {"instruction": "Who sings?", "output": "The kettle."},
    {
        "messages": [
            {"role": "user", "content": "And who listens to it all day?"},
            {"role": "assistant", "content": "I."},
        ]
    },
    {"prompt": "Where?", "completion": "In the kitchen, next to the window."},
]


@pytest.fixture(scope="module")
def tokenizer():
    return load_tokenizer("starter")


# ---- batches ------------------------------------------------------------------------------------------


def test_a_batch_holds_the_records_with_loss_on_answers_and_none_on_prompts_or_padding(tokenizer):
    (batch,) = DataLoaderFactory.create_instruction_dataloader(PAIRS, tokenizer)
    assert {name: tuple(value.shape) for name, value in batch.items()} == {
        name: (3, batch["input_ids"].shape[1]) for name in ("input_ids", "labels", "attention_mask")
    }
    for row, answer in enumerate(("The kettle.", "I.", "In the kitchen, next to the window.")):
        length = int(batch["attention_mask"][row].sum())
        learnt = [token for token in batch["labels"][row].tolist() if token != IGNORED]
        assert tokenizer.decode(learnt) == answer + tokenizer.eos_token  # the end of the turn is learnt
        assert batch["labels"][row, length:].eq(IGNORED).all()
        assert batch["input_ids"][row, length:].eq(tokenizer.pad_token_id).all()
        assert batch["input_ids"][row, length - 1] != tokenizer.pad_token_id


def test_a_batch_is_what_a_fine_tuner_trains_on(tokenizer):
    """One way of encoding: the same ids and labels as `encode_record` gives."""
    from shared_utils.data_loader import to_record

    (batch,) = DataLoaderFactory.create_instruction_dataloader([PAIRS[0]], tokenizer, max_length=64)
    expected = encode_record(tokenizer, to_record(PAIRS[0], "x"), 64)
    assert batch["input_ids"].tolist() == [expected.input_ids]
    assert batch["labels"].tolist() == [expected.labels]


def test_batches_have_their_size_and_order_depends_on_the_seed_alone(tokenizer):
    def order(seed):
        loader = DataLoaderFactory.create_instruction_dataloader(PAIRS, tokenizer, 2, shuffle=True, seed=seed)
        batches = [batch["input_ids"].tolist() for batch in loader]
        assert [len(batch) for batch in batches] == [2, 1]
        return batches

    assert order(1) == order(1)
    assert any(order(seed) != order(1) for seed in range(2, 9))


def test_records_may_come_from_a_file(tokenizer, records_file):
    loader = DataLoaderFactory.create_instruction_dataloader(records_file, tokenizer, batch_size=16)
    assert [len(batch["input_ids"]) for batch in loader] == [16, 16, 8]


def test_a_tokenizer_without_template_and_padding_is_usable_and_keeps_what_it_was_given(tmp_path):
    from transformers import AutoTokenizer

    from shared_utils.model_names import STARTER_DIR

    tokenizer = AutoTokenizer.from_pretrained(STARTER_DIR, trust_remote_code=False)
    tokenizer.chat_template = tokenizer.pad_token = None
    (batch,) = DataLoaderFactory.create_instruction_dataloader(PAIRS, tokenizer)
    assert len(batch["labels"]) == 3
    assert tokenizer.chat_template  # so a question is put to the model as it was trained


@pytest.mark.parametrize(
    ("records", "message"),
    [
        ([PAIRS[0], {"question": "?"}], "record 2: no known kind of record"),
        ([{"instruction": "Who?", "output": " "}], "record 1: empty answer"),
        ([{"prompt": "a", "completion": 3}], "record 1: field 'completion' is of type int"),
        ([{"instruction": "Who? " * 40, "output": "I."}], "record 1: no answer within 32 tokens"),
        (["text"], "record 1: not an object"),
        ([], "there are no records"),
    ],
)
def test_a_bad_record_is_named(tokenizer, records, message):
    with pytest.raises(DataValidationError, match=message):
        DataLoaderFactory.create_instruction_dataloader(records, tokenizer, max_length=32)


# ---- pieces -------------------------------------------------------------------------------------------

ROWS = [{"text": f"piece {number}", "metadata": "x"} for number in range(7)]


def write(path, rows):
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    elif path.suffix == ".json":
        path.write_text(json.dumps(rows), encoding="utf-8")
    elif path.suffix == ".csv":
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    else:
        pyarrow = pytest.importorskip("pyarrow")
        pytest.importorskip("pyarrow.parquet").write_table(pyarrow.Table.from_pylist(rows), path)
    return path


@pytest.mark.parametrize("suffix", [".jsonl", ".json", ".csv", ".parquet"])
def test_pieces_hold_the_records_as_they_stand_in_the_file(tmp_path, suffix):
    pieces = list(MemoryEfficientDataLoader(chunk_size=3).load_in_chunks(write(tmp_path / f"a{suffix}", ROWS)))
    assert [len(piece) for piece in pieces] == [3, 3, 1]
    assert [row for piece in pieces for row in piece] == ROWS


@pytest.mark.parametrize("suffix", [".jsonl", ".json", ".csv", ".parquet"])
def test_memory_does_not_grow_with_the_file(tmp_path, suffix):
    def peak(count):
        path = write(tmp_path / f"{count}{suffix}", [{"text": "word " * 200, "metadata": "x"} for _ in range(count)])
        tracemalloc.start()
        try:
            assert sum(map(len, MemoryEfficientDataLoader(50).load_in_chunks(path))) == count
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(100)  # what is loaded once
    assert peak(5000) < peak(500) + 200_000  # bytes; the larger file has 5 million


def test_the_first_piece_comes_before_the_end_of_the_file_is_looked_at(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"text": "one"}\n{"text": "two"}\n{"text": broken\n')
    pieces = MemoryEfficientDataLoader(2).load_in_chunks(path)
    assert next(pieces) == [{"text": "one"}, {"text": "two"}]
    with pytest.raises(DataValidationError, match="line 3: not valid JSON"):
        next(pieces)


def test_a_piece_of_no_records_is_refused():
    with pytest.raises(ConfigurationError, match="chunk_size is 0"):
        MemoryEfficientDataLoader(0)


# ---- lists of JSON ------------------------------------------------------------------------------------

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=50)
@given(
    st.lists(st.dictionaries(st.text(), values, max_size=3), max_size=6),
    st.sampled_from([None, 0, 3]),
    st.integers(1, 9),
    st.booleans(),
)
def test_a_list_is_read_as_the_json_module_reads_it(tmp_path_factory, rows, indent, at_once, ascii_only):
    import shared_utils.json_lists as module

    path = tmp_path_factory.mktemp("json") / "a.json"
    text = json.dumps(rows, indent=indent, ensure_ascii=ascii_only)
    path.write_bytes(text.encode("utf-8", "surrogatepass" if ascii_only else "replace"))
    expected = json.loads(path.read_bytes())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "CHARACTERS_AT_ONCE", at_once)
        assert list(iter_json_list(path)) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"text": "a"}', "a list of records is needed"),
        ("", "a list of records is needed"),
        ('[{"text": "a"}, 3]', "record 2: not an object"),
        ('[{"text": "a"},\n{"text" "b"}]', "line 2: not valid JSON: Expecting ':' delimiter"),
        ('[{"text": "a"}\n{"text": "b"}]', "line 2: not valid JSON: Expecting ',' or"),
        ('[{"text": "a"},\n]', "line 2: not valid JSON: Expecting a record"),
        ('[{"text": "a"}', "line 1: not valid JSON: Expecting ',' or"),
        ('[{"text": "a"}]\n\nmore', "line 3: not valid JSON: Extra data"),
        ('[{"a": ' + "[" * 100_000, "line 1: not valid JSON: nested too deeply"),
    ],
)
def test_what_is_no_list_of_objects_is_told_with_its_place(tmp_path, text, message):
    path = tmp_path / "a.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(DataValidationError, match=message):
        list(iter_json_list(path))


def test_a_list_that_is_not_utf8_is_told(tmp_path):
    path = tmp_path / "a.json"
    path.write_bytes(b'[{"text": "\xff"}]')
    with pytest.raises(DataValidationError, match="not UTF-8"):
        list(iter_json_list(path))
