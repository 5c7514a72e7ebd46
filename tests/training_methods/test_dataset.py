"""Encoded records: the same rows from memory, from files and from a second run, and nothing lost on the way."""

from __future__ import annotations

import json

import pytest

from shared_utils.data_loader import to_record
from shared_utils.errors import DataValidationError
from shared_utils.model_utils import load_tokenizer
from shared_utils.prompt_formats import encode_conversation, encode_text
from training_methods.transfer_learning import dataset as module
from training_methods.transfer_learning import memory
from training_methods.transfer_learning.dataset import encode_dataset

ROWS = [
    *(
        {"prompt": f"What is in box {number}?", "completion": f"{number} pears, and <|im_end|>."}
        for number in range(30)
    ),
    {"text": "The kettle sings on the stove. " * 40},
    {"prompt": "Long? " * 200, "completion": "Never read."},
    {"prompt": "Short?", "completion": "No end. " * 60},
]


@pytest.fixture(scope="module")
def tokenizer():
    return load_tokenizer("starter")


@pytest.fixture
def records():
    return [to_record(row, f"row {number}") for number, row in enumerate(ROWS)]


def test_rows_are_those_of_each_record_alone(tokenizer, records, monkeypatch):
    monkeypatch.setattr(module, "RECORDS_TOGETHER", 7)
    found = encode_dataset(records, tokenizer, max_length=100)
    alone = [
        (row, record["id"])
        for record in records
        for row in (
            encode_text(tokenizer, record["text"], 100)
            if "text" in record
            else encode_conversation(tokenizer, record, 100)
        )
        if row.supervised_tokens
    ]
    assert list(found.rows) == [row for row, _ in alone]
    assert found.record_ids == [record_id for _, record_id in alone]
    assert found.lengths == [len(row.input_ids) for row in found.rows]
    assert found.summary.records == 32
    assert found.summary.truncated == 1
    assert found.summary.dropped == {"answer beyond 100 tokens": 1}
    assert found.summary.tokens == sum(found.lengths)
    assert found.summary.supervised_tokens == sum(row.supervised_tokens for row in found.rows)


def test_a_second_run_reads_the_same_rows_from_files_without_encoding(tokenizer, records, tmp_path, monkeypatch):
    first = encode_dataset(records, tokenizer, max_length=100, cache_dir=tmp_path)
    monkeypatch.setattr(module, "RecordEncoder", None)
    again = encode_dataset(records, tokenizer, max_length=100, cache_dir=tmp_path)
    assert list(again.rows) == list(first.rows)
    assert (again.record_ids, again.summary) == (first.record_ids, first.summary)
    assert again[3] == {**first[3], "record_index": 3}


def test_rows_are_encoded_anew_when_anything_that_shapes_them_changes(tokenizer, records, tmp_path):
    def folders():
        return {path.name for path in tmp_path.iterdir()}

    encode_dataset(records, tokenizer, max_length=100, cache_dir=tmp_path)
    before = folders()
    encode_dataset(records, tokenizer, max_length=101, cache_dir=tmp_path)
    encode_dataset(records, tokenizer, max_length=100, train_on_prompt=True, cache_dir=tmp_path)
    encode_dataset(records[1:], tokenizer, max_length=100, cache_dir=tmp_path)
    encode_dataset(records, load_tokenizer("starter", "alpaca"), max_length=100, cache_dir=tmp_path)
    assert len(before) == 1
    assert len(folders()) == 5


@pytest.mark.parametrize("name", ["manifest.json", "input_ids.int32", "labels.int32", "ends.int64", "record_ids.json"])
@pytest.mark.parametrize("damage", ["cut", "flipped", "gone"])
def test_damaged_files_are_written_again(tokenizer, records, tmp_path, name, damage):
    first = encode_dataset(records, tokenizer, max_length=100, cache_dir=tmp_path)
    rows = list(first.rows)
    (folder,) = tmp_path.iterdir()
    content = (folder / name).read_bytes()
    (folder / name).unlink()
    if damage != "gone":
        middle = len(content) // 2
        changed = content[:middle] if damage == "cut" else bytes([content[0] ^ 1]) + content[1:]
        (folder / name).write_bytes(changed)
    assert list(encode_dataset(records, tokenizer, max_length=100, cache_dir=tmp_path).rows) == rows
    assert json.loads((folder / "manifest.json").read_text(encoding="utf-8"))["summary"]["records"] == 32


def test_nothing_half_written_is_taken_for_whole(tokenizer, records, tmp_path):
    with pytest.raises(DataValidationError, match="row 31: answer beyond 100 tokens"):
        encode_dataset(records, tokenizer, max_length=100, strict=True, cache_dir=tmp_path)
    assert not list(tmp_path.glob("encoded-*"))


def test_an_empty_set_is_one_clear_line(tokenizer):
    with pytest.raises(DataValidationError, match="no record can be trained on: no records given"):
        encode_dataset([], tokenizer, max_length=100)


def test_the_plan_grows_with_the_batch_and_names_the_batch_that_fits(tiny_model):
    from training_methods.transfer_learning.models.lora_model import LoRAFineTuner
    from training_methods.transfer_learning.settings import TrainingSettings

    tuner = LoRAFineTuner(str(tiny_model), device="cpu")
    data = tuner.prepare_instruction_dataset(ROWS[:8], max_length=64)

    def plan(size):
        training = TrainingSettings(per_device_train_batch_size=size, gradient_accumulation_steps=1)
        return memory.plan_memory(tuner, data, training)

    small, large = plan(2), plan(8)
    assert large.parts["activations"] == pytest.approx(4 * small.parts["activations"], rel=0.01)
    assert small.parts["weights"] == sum(weight.numel() for weight in tuner.model.parameters()) * 4
    assert all(weight.grad is None for weight in tuner.model.parameters())
    row = (large.parts["activations"] + large.parts["logits"]) / 8
    fixed = large.total - 8 * row
    longest = max(data.lengths)
    shape = (8, longest, 8 * longest, longest)
    tight = memory.MemoryPlan(large.parts, int(fixed + 3.5 * row), *shape)
    assert not tight.fits
    assert tight.batch_size_that_fits() == 3
    assert memory.MemoryPlan(large.parts, int(fixed), *shape).batch_size_that_fits() is None


@pytest.mark.parametrize(
    ("lengths", "size", "accumulation", "is_packed", "tokens"),
    [
        ([10] * 100, 4, 1, True, 40),
        ([10] * 100, 4, 4, True, 160),  # sixteen short records fit into one pass of 4 x 64 tokens
        ([60] * 100, 4, 4, True, 256),
        ([10, 10, 64], 4, 4, True, 84),
        ([200], 2, 1, True, 200),  # a record longer than a pass goes alone
        ([60, 10, 10], 4, 4, False, 180),
        ([60, 10, 10], 2, 4, False, 120),
    ],
)
def test_the_largest_pass_is_what_a_step_can_come_to(lengths, size, accumulation, is_packed, tokens):
    from training_methods.transfer_learning.settings import TrainingSettings

    training = TrainingSettings(
        per_device_train_batch_size=size, gradient_accumulation_steps=accumulation, max_length=64
    )
    assert memory.largest_pass(lengths, training, is_packed) == tokens
