"""One model measured on held-out questions, with its evaluation folder written."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from evaluation.settings import ComparisonSettings
from shared_utils.console import Console
from shared_utils.records import Record


def measure_model(
    model_name: str,
    records: Sequence[Record],
    settings: ComparisonSettings,
    folder: Path,
    console: Console,
    *,
    chat_template: str | None,
    new_tokens: Sequence[str],
    device: str,
    seed: int,
    data_name: str,
) -> dict[str, Any]:
    """Each metric with its interval; `evaluation.json` and `predictions.jsonl` are written into the folder.

    `new_tokens` are those that a fine-tuning adds: its base, which lacks them, is measured with the same vocabulary.

    Raises:
        DataValidationError: no record ends with an answer.
    """
    from evaluation.suite import evaluate_model, write_evaluation
    from shared_utils.model_utils import load_model, load_tokenizer
    from shared_utils.vocabulary import make_room

    tokenizer = load_tokenizer(model_name, chat_template, new_tokens)
    model = load_model(model_name, device)
    if new_tokens:
        make_room(model, len(tokenizer))
    with console.progress(2 * len(records), "evaluating") as progress:
        result = evaluate_model(
            model,
            tokenizer,
            records,
            max_new_tokens=settings.max_new_tokens,
            batch_size=settings.batch_size,
            max_samples=settings.max_samples,
            confidence=settings.confidence,
            resamples=settings.bootstrap_resamples,
            seed=seed,
            progress=progress,
            model_name=model_name,
            data_name=data_name,
        )
    write_evaluation(result, folder)
    return {
        name: {"value": metric.value, "low": metric.low, "high": metric.high} for name, metric in result.metrics.items()
    }
