"""What a fine-tuning leaves behind: its summary, model, card, curves and `run.json`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from shared_utils.bug_report import package_versions
from shared_utils.console import Console
from shared_utils.file_utils import write_json_atomic, write_text_atomic
from shared_utils.records import Record
from workflows.fine_tuning_request import FineTuneRequest, TrainingData, flat_settings, resume_command
from workflows.preference_figures import preference_figures
from workflows.run_folder import RUN_FILE, save_model, timestamp


def run_summary(
    request: FineTuneRequest,
    tuner: Any,
    trainer: Any,
    train: Any,
    base: Mapping[str, float],
    tuned: Mapping[str, float],
    resume_from: Path | None,
    steps: int,
    memory: Any,
) -> dict[str, object]:
    """The summary keys that the command promises."""
    from training_methods.transfer_learning.peak_memory import peak_by_part

    trainable, total = tuner.parameter_counts()
    peak = peak_by_part(tuner, trainer.optimizer, memory.parts["program"])
    return {
        "run_dir": str(request.run_dir),
        "model": request.settings.model_name,
        "method": request.method,
        "trainable_parameters": trainable,
        "total_parameters": total,
        "records": train.summary.records,
        "tokens": train.summary.tokens,
        "supervised_tokens": train.summary.supervised_tokens,
        "steps": trainer.state.global_step,
        "train_loss": trainer.mean_train_loss,
        **_held_out_figures(request, base, tuned),
        "best_step": trainer.state.best_global_step or trainer.state.global_step,
        "seconds": round(trainer.seconds, 2),
        "tokens_per_second": round(trainer.tokens_seen / max(trainer.seconds, 1e-9), 1),
        "peak_memory_mb": round(sum(peak.values()) / 1e6, 1),
        "peak_memory_by_part_mb": {name: round(size / 1e6, 1) for name, size in peak.items()},
        "stopped_early": trainer.state.global_step < steps,
        "resumed_from": str(resume_from) if resume_from else None,
        **_quantised_memory(tuner),
    }


def _held_out_figures(
    request: FineTuneRequest, base: Mapping[str, float], tuned: Mapping[str, float]
) -> dict[str, object]:
    """What was measured on held-out records before and after; nulls where none were held out."""
    losses = {"eval_loss": tuned.get("eval_loss"), "base_eval_loss": base.get("eval_loss")}
    if request.method == "dpo":
        return {**losses, **preference_figures(base, tuned)}
    return {**losses, "eval_perplexity": tuned.get("eval_perplexity")}


def _quantised_memory(tuner: Any) -> dict[str, object]:
    """Of a quantised base: its size before and after."""
    if not hasattr(tuner, "bytes_before_quantization"):
        return {}
    return {
        "base_memory_mb": round(tuner.bytes_before_quantization / 1e6, 1),
        "quantized_memory_mb": round(tuner.bytes_after_quantization / 1e6, 1),
    }


def finish_run(
    request: FineTuneRequest,
    data: TrainingData,
    tuner: Any,
    summary: dict[str, object],
    run: dict[str, object],
    console: Console,
) -> None:
    """Write the model, its card and curves; `run.json` says `done` only when all of it stands."""
    from shared_utils.curves import write_curves
    from shared_utils.training_logging import TrainingLoggingUtils

    save_model(request.run_dir, tuner)
    write_text_atomic(request.run_dir / "README.md", _card(request, data, tuner.objective, summary))
    write_curves(
        request.run_dir / "curves.png",
        TrainingLoggingUtils.read_metrics(request.run_dir),
        f"{Path(request.settings.model_name).name}, {request.method}",
        tuner.objective.loss_unit,
    )
    if request.merge:
        report = tuner.merge(request.run_dir / "merged", [_text_of(record) for record in data.train[:3]])
        console.info(f"merged into the full-precision base: {report.in_words()}")
    write_json_atomic(request.run_dir / RUN_FILE, {**run, "status": "done", "finished": timestamp(), "result": summary})


def _card(request: FineTuneRequest, data: TrainingData, objective: Any, summary: dict[str, Any]) -> str:
    from training_methods.transfer_learning.model_card import CardFacts, model_card

    return model_card(
        CardFacts(
            base_model=request.settings.model_name,
            method=str(summary["method"]),
            data_words=objective.data_words,
            result_words=objective.result_words,
            settings=flat_settings(request.settings.model_dump(mode="json")),
            data_files=list(data.loaded.fingerprints),
            records=summary["records"],
            held_out_records=len(data.held_out),
            steps=summary["steps"],
            train_loss=summary["train_loss"],
            base_eval_loss=summary["base_eval_loss"],
            eval_loss=summary["eval_loss"],
            seconds=summary["seconds"],
            peak_memory_mb=summary["peak_memory_by_part_mb"],
            base_memory_mb=summary.get("base_memory_mb"),
            quantized_memory_mb=summary.get("quantized_memory_mb"),
            versions=package_versions(),
        )
    )


def _text_of(record: Record) -> str:
    if "text" in record:
        return record["text"]
    return "\n".join(message["content"] for message in record["messages"])


def run_record(
    request: FineTuneRequest, data: TrainingData, started: float, train: Any, memory: Any
) -> dict[str, object]:
    """What `run.json` says while the run goes on."""
    return {
        "status": "running",
        "command": resume_command(request).removesuffix(" --resume"),
        "model": request.settings.model_name,
        "seed": request.seed,
        "data": data.loaded.fingerprints,
        "identity": data.identity,
        "records": {**asdict(train.summary), "rows": len(train), "held_out": len(data.held_out)},
        "sources": [asdict(source) for source in data.sources],
        "memory_bytes": {**memory.parts, "total": memory.total, "available": memory.available},
        "versions": package_versions(),
        "started": timestamp(started),
        "result": None,
    }
