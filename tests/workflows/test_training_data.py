"""Mixtures of sources, and what is shown of them before training."""

from __future__ import annotations

import json

import pytest

from shared_utils.console import Console
from shared_utils.errors import ConfigurationError, DataValidationError
from shared_utils.model_utils import load_tokenizer
from training_methods.transfer_learning.dataset import encode_dataset
from training_methods.transfer_learning.memory import MemoryPlan
from workflows.training_data import load_mixture, show_examples, tell_memory


@pytest.fixture
def sources(tmp_path):
    paths = []
    for name, count in (("a", 30), ("b", 12), ("c", 5)):
        path = tmp_path / f"{name}.jsonl"
        rows = [{"prompt": f"{name}{number}?", "completion": "Yes."} for number in range(count)]
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        paths.append(str(path))
    return paths


def questions(loaded):
    return [record["messages"][0]["content"] for record in loaded.records]


def taken(sources):
    return [source.taken for source in sources]


def test_without_weights_everything_is_taken_in_order(sources):
    loaded, found = load_mixture(sources, None, None, 1)
    assert taken(found) == [30, 12, 5]
    assert questions(loaded)[28:32] == ["a28?", "a29?", "b0?", "b1?"]
    assert list(loaded.fingerprints) == sources


@pytest.mark.parametrize(
    ("weights", "limit", "expected"),
    [
        ([1, 1, 1], None, [5, 5, 5]),
        ([0.7, 0.3, 0], None, [28, 12, 0]),
        ([6, 2, 1], None, [30, 10, 5]),
        ([1, 1, 1], 3, [3, 3, 3]),
        (None, 7, [7, 7, 5]),
        ([0.1, 0.1, 0.1], None, [5, 5, 5]),
    ],
)
def test_sources_are_taken_in_proportion_and_no_record_twice(sources, weights, limit, expected):
    loaded, found = load_mixture(sources, weights, limit, 1)
    assert taken(found) == expected
    assert len(set(questions(loaded))) == sum(expected)


def test_the_seed_alone_decides_which_records_are_drawn(sources):
    first, again, other = (questions(load_mixture(sources, [1, 1, 1], None, seed)[0]) for seed in (1, 1, 2))
    assert first == again
    assert first != other


@pytest.mark.parametrize(
    ("weights", "message"),
    [([1, 2], "2 numbers for 3 sources"), ([0, 0, 0], "one above 0"), ([-1, 1, 1], "0 or more")],
)
def test_weights_that_cannot_be_met_are_refused(sources, weights, message):
    with pytest.raises(ConfigurationError, match=message):
        load_mixture(sources, weights, None, 1)


def test_a_weighted_source_without_a_usable_record_is_named(sources, tmp_path):
    empty = tmp_path / "empty.jsonl"
    empty.write_text("", encoding="utf-8")
    with pytest.raises(DataValidationError, match="no usable record in .*empty"):
        load_mixture([*sources, str(empty)], [1, 1, 1, 1], None, 1)


def test_examples_show_special_tokens_and_bracket_what_is_learnt(capsys):
    tokenizer = load_tokenizer("starter")
    messages = [{"role": "user", "content": "Hot\x1b[31m?"}, {"role": "assistant", "content": "[bold]Yes.[/bold]"}]
    data = encode_dataset([{"id": "r1", "source": "x", "messages": messages}], tokenizer, max_length=64)
    show_examples(Console(), tokenizer, data, 3)
    shown = capsys.readouterr()
    assert "--- r1: " in shown.out
    assert (
        "<|im_start|>user\nHot\\x1b[31m?<|im_end|>\n<|im_start|>assistant\n⟦[bold]Yes.[/bold]<|im_end|>⟧\n" in shown.out
    )
    show_examples(Console(json_output=True), tokenizer, data, 1)
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "⟦[bold]Yes." in shown.err


@pytest.mark.parametrize(
    ("available", "advice"), [(10_000, ""), (650, "--batch-size 1 and 4 times"), (100, "--gradient-checkpointing")]
)
def test_a_run_that_does_not_fit_is_told_with_what_would(capsys, available, advice):
    parts = {"weights": 300, "activations": 800, "logits": 400, "program": 0}
    tell_memory(Console(), MemoryPlan(parts, available, 4, 64, 256, 64))
    shown = capsys.readouterr()
    assert advice in shown.err
    assert ("warning" in shown.err) == bool(advice)
