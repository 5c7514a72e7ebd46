"""One model on one set of questions: what it answers, how right that is, and how sure the figures are."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import chain, islice
from pathlib import Path
from typing import TypedDict

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from evaluation.language_metrics import exact_match, generate_token_ids, token_nll
from evaluation.significance import Interval, bootstrap_interval, bootstrap_perplexity
from shared_utils.bug_report import package_versions
from shared_utils.console import Progress
from shared_utils.errors import DataValidationError, LLMToolkitError
from shared_utils.file_utils import write_json_atomic, write_jsonl_atomic
from shared_utils.prompt_formats import encode_conversation
from shared_utils.records import Message, Record


@dataclass(frozen=True)
class Metric:
    """A measured figure with its interval; figures with equal `signature` were computed alike."""

    value: float
    low: float
    high: float
    confidence: float
    n: int
    unit: str
    signature: str


class Prediction(TypedDict):
    """One example: the question, both answers, and each metric's part of it.

    `nll` is the sum of -log p in nats over the `tokens` tokens of the record's answers.
    """

    id: str
    prompt: list[Message]
    reference: str
    prediction: str
    exact_match: float
    nll: float
    tokens: int


@dataclass(frozen=True)
class EvaluationResult:
    """What `evaluate_model` found.

    `counts` says of how many records only a part or nothing was used, by reason; `speed` is in seconds
    and per second.
    """

    model: str
    data: str
    n: int
    metrics: Mapping[str, Metric]
    predictions: Sequence[Prediction]
    speed: Mapping[str, float]
    counts: Mapping[str, int] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=package_versions)


def evaluate_model(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    records: Sequence[Record],
    *,
    max_new_tokens: int = 64,
    batch_size: int = 16,
    max_samples: int | None = None,
    confidence: float = 0.95,
    resamples: int = 10_000,
    seed: int = 42,
    max_length: int = 512,
    progress: Progress | None = None,
    model_name: str = "",
    data_name: str = "",
) -> EvaluationResult:
    """Let a model answer every record, compare with the last assistant turn, and score its likelihood.

    Args:
        records: conversations that end with the answer of the assistant; others are counted.
            All answers of a conversation take part in the likelihood, the last one is compared.
        max_samples: when there are more records, this many are drawn with `seed`; their order stays.
        max_length: tokens of a record that are scored; what is longer is cut.
        progress: advanced twice a record, once for its likelihood and once for its answer.

    Raises:
        DataValidationError: no record can be used.
        LLMToolkitError: the model's likelihood of an answer is not a number.
    """
    usable = [record for record in records if _has_reference(record)]
    if not usable:
        raise DataValidationError(
            "no record ends with an answer of the assistant, so nothing can be compared",
            hint="evaluate on prompt-and-answer, instruction or messages records; see the data format page",
        )
    chosen = _draw(usable, max_samples, seed)
    started = time.perf_counter()
    encoded = [encode_conversation(tokenizer, record, max_length) for record in chosen]
    by_row = token_nll(model, list(chain.from_iterable(encoded)), batch_size, progress)
    nlls, tokens = _nll_by_record(by_row, [len(rows) for rows in encoded])
    _refuse_non_finite(chosen, nlls)
    scored = time.perf_counter()
    prompts = [record["messages"][:-1] for record in chosen]
    answer_ids = generate_token_ids(model, tokenizer, prompts, max_new_tokens, batch_size, progress)
    ended = time.perf_counter()
    answers = [str(text).strip() for text in tokenizer.batch_decode(answer_ids, skip_special_tokens=True)]
    predictions = [
        _prediction(record, answer, nll, count)
        for record, answer, nll, count in zip(chosen, answers, nlls, tokens, strict=True)
    ]
    return EvaluationResult(
        model=model_name,
        data=data_name,
        n=len(chosen),
        metrics=_metrics(predictions, confidence, resamples, seed, max_new_tokens, max_length),
        predictions=predictions,
        speed=_speed(len(chosen), sum(map(len, answer_ids)), scored - started, ended - scored),
        counts=_above_zero(
            without_answer=len(records) - len(usable),
            not_drawn=len(usable) - len(chosen),
            cut_to_max_length=sum(any(row.truncated for row in rows) for rows in encoded),
            answer_beyond_max_length=sum(count == 0 for count in tokens),
        ),
    )


def write_evaluation(result: EvaluationResult, folder: Path) -> tuple[Path, Path]:
    """Write `evaluation.json` and `predictions.jsonl`; infinite bounds become null. Returns both paths."""
    summary = {
        "model": result.model,
        "data": result.data,
        "n": result.n,
        "metrics": {name: _strict(asdict(metric)) for name, metric in result.metrics.items()},
        "speed": dict(result.speed),
        "counts": dict(result.counts),
        "versions": dict(result.versions),
    }
    predictions = folder / "predictions.jsonl"
    write_jsonl_atomic(predictions, result.predictions)
    write_json_atomic(folder / "evaluation.json", summary)
    return folder / "evaluation.json", predictions


def _metrics(
    predictions: Sequence[Prediction],
    confidence: float,
    resamples: int,
    seed: int,
    max_new_tokens: int,
    max_length: int,
) -> dict[str, Metric]:
    how = f"bootstrap-percentile|resamples:{resamples}|seed:{seed}"
    matches = [row["exact_match"] for row in predictions]
    metrics = {
        "exact_match": _metric(
            bootstrap_interval(matches, "mean", confidence, resamples, seed),
            "share of answers",
            f"exact_match|normalise:nfkc+casefold-punctuation-articles|greedy|max_new_tokens:{max_new_tokens}|{how}",
        )
    }
    scored = [row for row in predictions if row["tokens"]]
    if scored:
        nlls, tokens = [row["nll"] for row in scored], [row["tokens"] for row in scored]
        metrics["perplexity"] = _metric(
            bootstrap_perplexity(nlls, tokens, confidence, resamples, seed),
            "perplexity per answer token",
            f"perplexity|exp(nll/tokens)|tokenizer:own|max_length:{max_length}|{how}",
        )
    return metrics


def _speed(examples: int, generated_tokens: int, scoring: float, generation: float) -> dict[str, float]:
    return {
        "seconds": round(scoring + generation, 3),
        "scoring_seconds": round(scoring, 3),
        "generation_seconds": round(generation, 3),
        "generated_tokens": generated_tokens,
        "generated_tokens_per_second": round(generated_tokens / generation, 1),
        "examples_per_second": round(examples / (scoring + generation), 3),
    }


def _metric(interval: Interval, unit: str, signature: str) -> Metric:
    return Metric(
        interval.value,
        interval.low,
        interval.high,
        interval.confidence,
        interval.n,
        unit=unit,
        signature=signature,
    )


def _prediction(record: Record, answer: str, nll: float, tokens: int) -> Prediction:
    reference = record["messages"][-1]["content"]
    return {
        "id": record["id"],
        "prompt": record["messages"][:-1],
        "reference": reference,
        "prediction": answer,
        "exact_match": exact_match(answer, reference),
        "nll": nll,
        "tokens": tokens,
    }


def _has_reference(record: Record) -> bool:
    messages = record.get("messages", [])
    return len(messages) > 1 and messages[-1]["role"] == "assistant" and bool(messages[-1]["content"].strip())


def _draw(records: Sequence[Record], max_samples: int | None, seed: int) -> list[Record]:
    if max_samples is None or max_samples >= len(records):
        return list(records)
    # Files are often sorted by source, so the first records would not stand for all of them.
    return [records[index] for index in sorted(random.Random(seed).sample(range(len(records)), max_samples))]


def _nll_by_record(by_row: tuple[list[float], list[int]], rows: Sequence[int]) -> tuple[list[float], list[int]]:
    """Sums over the rows of each record; a template that rewrites earlier turns makes several of one."""
    nlls, tokens = iter(by_row[0]), iter(by_row[1])
    return [sum(islice(nlls, count)) for count in rows], [sum(islice(tokens, count)) for count in rows]


def _refuse_non_finite(records: Sequence[Record], nlls: Sequence[float]) -> None:
    broken = [record["id"] for record, nll in zip(records, nlls, strict=True) if not math.isfinite(nll)]
    if broken:
        raise LLMToolkitError(
            f"the loss is not a number for {len(broken)} of {len(records)} records, first {broken[0]}",
            hint="the weights are damaged or overflow in this number format; load the model in float32",
        )


def _strict(figures: dict[str, object]) -> dict[str, object]:
    """Strict JSON has no infinity."""
    return {
        name: None if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in figures.items()
    }


def _above_zero(**counts: int) -> dict[str, int]:
    return {name: count for name, count in counts.items() if count}
