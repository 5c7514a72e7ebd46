"""A whole evaluation of a tiny model, and the files it writes."""

import json
import math

import pytest
import torch

from evaluation.language_metrics import generate_answers
from evaluation.suite import evaluate_model, write_evaluation
from shared_utils.errors import DataValidationError, LLMToolkitError
from tests.evaluation.tiny_model import qa_record, tiny_model, tiny_tokenizer


@pytest.fixture(scope="module")
def model():
    return tiny_model()


@pytest.fixture(scope="module")
def tokenizer():
    return tiny_tokenizer()


@pytest.fixture(scope="module")
def records(model, tokenizer):
    """Eight records; the reference of the first two is what the model answers anyway."""
    found = [qa_record(f"Question {index}?", f"Answer {index}.", f"r{index}") for index in range(8)]
    answers = generate_answers(model, tokenizer, [record["messages"][:-1] for record in found[:2]], 8)
    return [qa_record(f"Question {i}?", answer, f"r{i}") for i, answer in enumerate(answers)] + found[2:]


def evaluate(model, tokenizer, records, **options):
    return evaluate_model(model, tokenizer, records, max_new_tokens=8, batch_size=4, resamples=500, **options)


def test_the_share_of_exact_answers_and_the_perplexity_are_measured_with_intervals(model, tokenizer, records):
    result = evaluate(model, tokenizer, records)
    matched = result.metrics["exact_match"]
    assert (matched.value, matched.n, matched.confidence) == (0.25, 8, 0.95)
    assert matched.low < 0.25 < matched.high
    total = sum(row["nll"] for row in result.predictions) / sum(row["tokens"] for row in result.predictions)
    assert result.metrics["perplexity"].value == pytest.approx(math.exp(total))


def test_figures_do_not_depend_on_the_batch_size(model, tokenizer, records):
    one = evaluate_model(model, tokenizer, records, max_new_tokens=8, batch_size=1, resamples=500)
    eight = evaluate_model(model, tokenizer, records, max_new_tokens=8, batch_size=8, resamples=500)
    assert [row["prediction"] for row in one.predictions] == [row["prediction"] for row in eight.predictions]
    assert one.metrics["perplexity"].value == pytest.approx(eight.metrics["perplexity"].value, rel=1e-5)


def test_a_sample_is_drawn_by_the_seed_and_keeps_the_order(model, tokenizer, records):
    result = evaluate(model, tokenizer, records, max_samples=3, seed=5)
    ids = [row["id"] for row in result.predictions]
    assert len(ids) == 3
    assert ids == sorted(ids)
    assert ids == [row["id"] for row in evaluate(model, tokenizer, records, max_samples=3, seed=5).predictions]
    assert result.counts == {"not_drawn": 5}


def test_what_cannot_be_compared_is_counted(model, tokenizer, records):
    text = {"id": "t", "source": "test", "text": "no question here"}
    unanswered = {"id": "u", "source": "test", "messages": [{"role": "user", "content": "And?"}]}
    long_one = qa_record("x" * 300, "far behind the end", "long")
    result = evaluate(model, tokenizer, [*records, text, unanswered, long_one], max_length=128)
    assert result.counts == {"without_answer": 2, "cut_to_max_length": 1, "answer_beyond_max_length": 1}
    assert result.metrics["perplexity"].n == 8


def test_nothing_to_compare_is_an_error(model, tokenizer):
    with pytest.raises(DataValidationError, match="no record ends with an answer"):
        evaluate(model, tokenizer, [{"id": "t", "source": "test", "text": "a text"}])


def test_a_broken_model_is_an_error_that_names_the_record(tokenizer, records):
    """NaN would make every figure NaN, or worse, be skipped."""
    broken = tiny_model()
    with torch.no_grad():
        broken.lm_head.weight[:] = float("nan")
    with pytest.raises(LLMToolkitError, match="not a number for 8 of 8 records, first r0"):
        evaluate(broken, tokenizer, records)


def test_the_written_files_have_the_documented_form(model, tokenizer, records, tmp_path):
    result = evaluate(model, tokenizer, records, model_name="tiny", data_name="test.jsonl")
    summary_path, predictions_path = write_evaluation(result, tmp_path / "evaluation")
    summary = json.loads(summary_path.read_text(encoding="utf-8"))
    assert {"model", "data", "n", "metrics", "speed", "versions"} <= set(summary)
    assert (summary["model"], summary["data"], summary["n"]) == ("tiny", "test.jsonl", 8)
    for metric in summary["metrics"].values():
        assert set(metric) == {"value", "low", "high", "confidence", "n", "unit", "signature"}
    rows = [json.loads(line) for line in predictions_path.read_text(encoding="utf-8").splitlines()]
    assert [row["id"] for row in rows] == [record["id"] for record in records]
    keys = {"id", "prompt", "reference", "prediction", "exact_match", "nll", "tokens"}
    assert all(set(row) == keys for row in rows)
    assert rows[0]["prompt"] == records[0]["messages"][:-1]


def test_unknown_bounds_are_null_in_the_file(model, tokenizer, records, tmp_path):
    """JSON has no infinity, and one record says nothing about the spread of perplexity."""
    path, _ = write_evaluation(evaluate(model, tokenizer, records[:1]), tmp_path)
    perplexity = json.loads(path.read_text(encoding="utf-8"))["metrics"]["perplexity"]
    assert (perplexity["low"], perplexity["high"]) == (None, None)
    assert perplexity["value"] > 1
