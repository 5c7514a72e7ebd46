"""Results come back from their files as they were, and differences have the sign that the report tells."""

import pytest

from evaluation.report import verdict_on
from evaluation.stored_results import compare_results, read_evaluation
from evaluation.suite import EvaluationResult, Metric, write_evaluation
from shared_utils.errors import DataValidationError


def result(name, matches, nll):
    predictions = [
        {
            "id": f"r{index}",
            "prompt": [{"role": "user", "content": "q"}],
            "reference": "a",
            "prediction": "b",
            "exact_match": match,
            "nll": nll + 0.1 * index,
            "tokens": 4,
        }
        for index, match in enumerate(matches)
    ]
    metrics = {"exact_match": Metric(0.5, float("-inf"), 1.0, 0.95, len(matches), "share", "signature")}
    return EvaluationResult(name, "test.jsonl", len(matches), metrics, predictions, speed={"seconds": 1.0})


BASE, TUNED = result("base", [0.0, 0.0, 0.0, 1.0, 0.0, 0.0], 8.0), result("tuned", [1.0, 1.0, 0.0, 1.0, 1.0, 1.0], 2.0)


def test_a_better_tuned_model_is_told_as_better():
    """A difference with the wrong sign would turn the whole report around."""
    differences = compare_results(BASE, TUNED, confidence=0.95, resamples=500, seed=1)
    assert differences["exact_match"].value == pytest.approx(4 / 6)
    assert differences["perplexity"].value < 0
    assert {verdict_on(name, difference) for name, difference in differences.items()} == {"better"}
    mirrored = compare_results(TUNED, BASE, confidence=0.95, resamples=500, seed=1)
    assert {verdict_on(name, difference) for name, difference in mirrored.items()} == {"worse"}


def test_a_written_result_is_read_back_as_it_was(tmp_path):
    write_evaluation(TUNED, tmp_path)
    assert read_evaluation(tmp_path) == TUNED


def test_results_on_different_questions_are_not_compared():
    with pytest.raises(DataValidationError, match="the same questions"):
        compare_results(BASE, result("tuned", [1.0, 1.0], 2.0), 0.95, 500, 1)


def test_a_folder_without_results_is_told(tmp_path):
    with pytest.raises(DataValidationError, match="no whole evaluation"):
        read_evaluation(tmp_path)
