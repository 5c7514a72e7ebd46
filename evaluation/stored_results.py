"""Results read back from an evaluation folder, and two of them compared example by example."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from evaluation.significance import Interval, paired_difference, paired_perplexity_difference
from evaluation.suite import EvaluationResult, Metric, Prediction
from shared_utils.errors import DataValidationError


def read_evaluation(folder: Path) -> EvaluationResult:
    """What `write_evaluation` wrote; bounds that were infinite come back as such.

    Raises:
        DataValidationError: a file is missing or damaged.
    """
    try:
        summary = json.loads((folder / "evaluation.json").read_text(encoding="utf-8"))
        lines = (folder / "predictions.jsonl").read_text(encoding="utf-8").splitlines()
        predictions: list[Prediction] = [json.loads(line) for line in lines]
        metrics = {name: Metric(**_finite_or_infinite(values)) for name, values in summary["metrics"].items()}
        return EvaluationResult(
            model=summary["model"],
            data=summary["data"],
            n=summary["n"],
            metrics=metrics,
            predictions=predictions,
            speed=summary["speed"],
            counts=summary["counts"],
            versions=summary["versions"],
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataValidationError(f"{folder} holds no whole evaluation: {error}", hint="evaluate again") from error


def compare_results(
    base: EvaluationResult, tuned: EvaluationResult, confidence: float, resamples: int, seed: int
) -> dict[str, Interval]:
    """Tuned minus base for each metric, paired by example.

    Raises:
        DataValidationError: the two did not answer the same questions.
    """
    pairs = list(zip(base.predictions, tuned.predictions, strict=False))
    if base.n != tuned.n or any(first["id"] != second["id"] for first, second in pairs):
        raise DataValidationError("the two models did not answer the same questions", hint="evaluate both again")
    scored = [(first, second) for first, second in pairs if first["tokens"] and second["tokens"]]
    return {
        "exact_match": paired_difference(
            [row["exact_match"] for row in tuned.predictions],
            [row["exact_match"] for row in base.predictions],
            confidence,
            resamples,
            seed,
        ),
        "perplexity": paired_perplexity_difference(
            [second["nll"] for _, second in scored],
            [second["tokens"] for _, second in scored],
            [first["nll"] for first, _ in scored],
            [first["tokens"] for first, _ in scored],
            confidence,
            resamples,
            seed,
        ),
    }


def _finite_or_infinite(values: Mapping[str, Any]) -> dict[str, Any]:
    infinite = {"low": float("-inf"), "high": float("inf")}
    return {key: infinite.get(key) if value is None else value for key, value in values.items()}
