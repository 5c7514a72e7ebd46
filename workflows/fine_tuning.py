"""Records -> fine-tuned model in a run folder, resumable at any moment."""

from __future__ import annotations

import json
import math
import shlex
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from shared_utils.bug_report import package_versions
from shared_utils.console import Console
from shared_utils.data_loader import LoadedRecords, load_records, split_records
from shared_utils.errors import DataValidationError, Interrupted
from shared_utils.file_utils import (
    ensure_output_dir,
    remove_leftovers,
    sha256_of_text,
    write_json_atomic,
    write_text_atomic,
)
from shared_utils.model_names import STARTER, STARTER_NOTICE, locate_base
from shared_utils.records import Record
from shared_utils.run_lock import run_lock
from training_methods.transfer_learning.settings import (
    CheckpointSettings,
    EarlyStoppingSettings,
    InRunEvaluationSettings,
    LoggingSettings,
    Method,
    MethodSettings,
)
from workflows.run_folder import RUN_FILE, finished_result, save_model, timestamp
from workflows.training_data import Source, load_mixture, show_examples, tell_memory, tell_records, tell_sources

CACHE_NAME = ".cache"  # in the run folder: encoded records, which can be deleted at any time

# What may differ between a run and its continuation: it changes what is recorded, not what is learnt.
FREE_TO_CHANGE = {"training.save_steps", "training.logging_steps"}


@dataclass(frozen=True)
class FineTuneRequest:
    """Everything one fine-tuning needs; `config_yaml` and `command` are kept in the run folder."""

    run_dir: Path
    train_data: tuple[str, ...]
    eval_data: str | None
    method: Method
    settings: MethodSettings  # the section of the method
    checkpoint: CheckpointSettings
    early_stopping: EarlyStoppingSettings
    evaluation: InRunEvaluationSettings
    logging: LoggingSettings
    seed: int
    device: str
    config_yaml: str
    resume: str | None = None  # None: a new run; "": the newest whole checkpoint; else a checkpoint folder
    merge: bool = False
    weights: tuple[float, ...] | None = None  # proportions of the sources; None takes all records
    max_samples_per_source: int | None = None
    show_examples: int = 0  # rows to print as the model sees them


@dataclass(frozen=True)
class _Data:
    loaded: LoadedRecords
    train: list[Record]
    held_out: list[Record]
    identity: dict[str, object]
    sources: list[Source]


def fine_tune(request: FineTuneRequest, console: Console) -> dict[str, object]:
    """Train, and leave a complete run folder; the summary of the run.

    Raises:
        DataValidationError: unusable records, or a continuation with other data or settings.
        TrainingError: the loss was not finite, or the memory did not suffice.
        Interrupted: Ctrl-C or SIGTERM, after a checkpoint was written.
    """
    data = _load_data(request)
    locate_base(request.settings.model_name)  # a mistyped name must not cost the import of the libraries
    ensure_output_dir(request.run_dir)
    with run_lock(request.run_dir):
        remove_leftovers(request.run_dir)
        finished = finished_result(
            request.run_dir,
            data.identity,
            resume=request.resume is not None,
            resume_with=resume_command(request),
        )
        if finished is not None:
            console.info(f"{request.run_dir} is finished already")
            return finished
        return _train(request, data, console)


def dry_run(request: FineTuneRequest, console: Console) -> dict[str, object]:
    """Say what would be done: records, tokens, steps, memory and time; write nothing."""
    data = _load_data(request)
    tuner = _build_tuner(request, console)
    from training_methods.transfer_learning.estimates import estimate_seconds
    from training_methods.transfer_learning.fine_tuner import total_steps

    train, held_out = _encode(request, tuner, data, console)
    memory = _tell_plan(console, request, data, tuner, train)
    training = request.settings.training
    steps = total_steps(len(train), training)
    seconds = estimate_seconds(tuner, train, training, steps) if memory.fits else None
    console.info(
        f"{steps} steps of {training.per_device_train_batch_size} x {training.gradient_accumulation_steps} records"
        + (f"; about {seconds:,.0f} seconds" if seconds is not None else "")
        + "; nothing was written"
    )
    return {
        "run_dir": str(request.run_dir),
        "records": train.summary.records,
        "tokens": train.summary.tokens,
        "supervised_tokens": train.summary.supervised_tokens,
        "held_out": len(held_out) if held_out else 0,
        "steps": steps,
        "estimated_memory_mb": round(memory.total / 1e6, 1),
        "memory_mb": {name: round(size / 1e6, 1) for name, size in memory.parts.items()},
        "fits": memory.fits,
        "estimated_seconds": round(seconds, 3) if seconds is not None else None,
    }


def resume_command(request: FineTuneRequest) -> str:
    """The command line that goes on with this run."""
    words = ["python", "main.py", f"train-{request.method}", "--config", str(request.run_dir / "config.yaml")]
    words += ["--train-data", *request.train_data]
    if request.eval_data:
        words += ["--eval-data", request.eval_data]
    if request.weights is not None:
        words += ["--weights", *(f"{weight:g}" for weight in request.weights)]
    if request.max_samples_per_source is not None:
        words += ["--max-samples-per-source", str(request.max_samples_per_source)]
    return shlex.join([*words, "--output-dir", str(request.run_dir), "--resume"])


def _load_data(request: FineTuneRequest) -> _Data:
    training = request.settings.training
    loaded, sources = load_mixture(request.train_data, request.weights, request.max_samples_per_source, request.seed)
    fingerprints = dict(loaded.fingerprints)
    if training.strict and loaded.rejected:
        first = loaded.rejected[0]
        raise DataValidationError(f"{first.where}: {first.reason}", hint="mend the record, or train without --strict")
    if request.eval_data:
        evaluation = load_records([request.eval_data])
        fingerprints.update(evaluation.fingerprints)
        train, held_out = loaded.records, evaluation.records
    else:
        train, held_out = split_records(loaded.records, training.eval_split)
    if not train:
        raise DataValidationError(
            f"no usable record in {', '.join(request.train_data)}", hint="see docs/data-format.md for the kinds"
        )
    settings = _flat(request.settings.model_dump(mode="json"))
    identity: dict[str, object] = {key: value for key, value in settings.items() if key not in FREE_TO_CHANGE}
    identity |= {"method": request.method, "seed": request.seed, "data": sha256_of_text(*sorted(fingerprints.values()))}
    if request.weights is not None or request.max_samples_per_source is not None:
        identity["mixture"] = [list(request.weights or ()), request.max_samples_per_source]
    return _Data(replace(loaded, fingerprints=fingerprints), train, held_out, identity, sources)


def _train(request: FineTuneRequest, data: _Data, console: Console) -> dict[str, object]:
    from training_methods.transfer_learning.dataset import Collator, held_out_loss
    from training_methods.transfer_learning.fine_tuner import stored_precision, total_steps

    started = time.time()
    if request.settings.model_name == STARTER:
        console.info(STARTER_NOTICE)
    resume_from = _checkpoint_to_resume(request, console)
    tuner = _build_tuner(request, console)
    precision = tuner.use_precision(stored_precision(resume_from) or request.settings.training.precision)
    train, held_out = _encode(request, tuner, data, console, request.run_dir / CACHE_NAME)
    memory = _tell_plan(console, request, data, tuner, train)
    run = {**_run_record(request, data, started, train, memory), "precision": precision}
    write_text_atomic(request.run_dir / "config.yaml", request.config_yaml)
    write_json_atomic(request.run_dir / RUN_FILE, run)

    collator = Collator(tuner.tokenizer.pad_token_id)
    batch_size = request.settings.training.per_device_train_batch_size * 2
    base_loss = held_out_loss(tuner.model, held_out, collator, batch_size) if held_out else None
    steps = total_steps(len(train), request.settings.training)
    with console.progress(steps, "training") as progress:
        trainer: Any = tuner.train(
            train,
            request.run_dir,
            eval_dataset=held_out,
            training=request.settings.training,
            checkpoint=request.checkpoint,
            early_stopping=request.early_stopping,
            evaluation=request.evaluation,
            logging=request.logging,
            resume_from=resume_from,
            show_progress=progress.move_to,
        )
    if tuner.stopped_by is not None:
        raise Interrupted(tuner.stopped_by, hint=f"go on with: {resume_command(request)}")
    eval_loss = held_out_loss(tuner.model, held_out, collator, batch_size) if held_out else None
    summary = _summary(request, tuner, trainer, train, base_loss, eval_loss, resume_from, steps)
    _finish(request, data, tuner, summary, run, console)
    return summary


def _build_tuner(request: FineTuneRequest, console: Console) -> Any:
    from shared_utils.model_utils import pick_device
    from training_methods.transfer_learning.memory_needs import refuse_too_large
    from training_methods.transfer_learning.methods import build_tuner

    device = pick_device(request.device)
    refuse_too_large(request.settings, device)
    tuner: Any = build_tuner(request.settings, device=device.type, seed=request.seed)
    if request.method == "qlora":
        before, after = tuner.bytes_before_quantization, tuner.bytes_after_quantization
        console.info(f"weights of the base: {before / 1e6:,.1f} MB in float32, {after / 1e6:,.1f} MB quantised")
    return tuner


def _encode(
    request: FineTuneRequest, tuner: Any, data: _Data, console: Console, cache_dir: Path | None = None
) -> tuple[Any, Any]:
    from training_methods.transfer_learning.dataset import encode_dataset

    training = request.settings.training
    limit = getattr(tuner.model.config, "max_position_embeddings", None)
    if limit and training.max_length > limit:
        raise DataValidationError(
            f"max_length is {training.max_length}, but {request.settings.model_name} reads at most {limit} tokens",
            hint=f"use --max-length {limit}",
        )

    def encode(records: list[Record]) -> Any:
        with console.progress(len(records), "reading records") as progress:
            return encode_dataset(
                records,
                tuner.tokenizer,
                max_length=training.max_length,
                train_on_prompt=training.train_on_prompt,
                strict=training.strict,
                cache_dir=cache_dir,
                advance=progress.advance,
            )

    train, held_out = encode(data.train), encode(data.held_out) if data.held_out else None
    show_examples(console, tuner.tokenizer, train, request.show_examples)
    return train, held_out


def _tell_plan(console: Console, request: FineTuneRequest, data: _Data, tuner: Any, train: Any) -> Any:
    """What is trained on and the memory it takes, told before training; the memory plan."""
    from training_methods.transfer_learning.memory import plan_memory

    training = request.settings.training
    tell_sources(console, data.sources)
    tell_records(console, data.loaded.rejected, len(data.held_out), train, training.max_length)
    plan = plan_memory(tuner, train, training)
    tell_memory(console, plan)
    return plan


def _checkpoint_to_resume(request: FineTuneRequest, console: Console) -> Path | None:
    from training_methods.transfer_learning import checkpoints

    if request.resume is None:
        return None
    if request.resume:
        return checkpoints.require_valid(Path(request.resume))
    newest, skipped = checkpoints.newest_valid(request.run_dir)
    for one in skipped:
        console.warn(f"{one.path} is passed over: {one.reason}")
    console.info(f"going on from {newest}" if newest else "no whole checkpoint yet; starting from the beginning")
    return newest


def _summary(
    request: FineTuneRequest,
    tuner: Any,
    trainer: Any,
    train: Any,
    base_loss: float | None,
    eval_loss: float | None,
    resume_from: Path | None,
    steps: int,
) -> dict[str, object]:
    from training_methods.transfer_learning.run_trainer import peak_memory_bytes

    trainable, total = tuner.parameter_counts()
    return {
        "run_dir": str(request.run_dir),
        "model": request.settings.model_name,
        "method": tuner.method,
        "trainable_parameters": trainable,
        "total_parameters": total,
        "records": train.summary.records,
        "tokens": train.summary.tokens,
        "supervised_tokens": train.summary.supervised_tokens,
        "steps": trainer.state.global_step,
        "train_loss": trainer.mean_train_loss,
        "eval_loss": eval_loss,
        "eval_perplexity": math.exp(min(eval_loss, 700.0)) if eval_loss is not None else None,
        "base_eval_loss": base_loss,
        "best_step": trainer.state.best_global_step or trainer.state.global_step,
        "seconds": round(trainer.seconds, 2),
        "tokens_per_second": round(trainer.tokens_seen / max(trainer.seconds, 1e-9), 1),
        "peak_memory_mb": round(peak_memory_bytes() / 1e6, 1),
        "stopped_early": trainer.state.global_step < steps,
        "resumed_from": str(resume_from) if resume_from else None,
        **_quantised_memory(tuner),
    }


def _quantised_memory(tuner: Any) -> dict[str, object]:
    """For QLoRA: the size of the base before and after it was quantised."""
    if tuner.method != "qlora":
        return {}
    return {
        "base_memory_mb": round(tuner.bytes_before_quantization / 1e6, 1),
        "quantized_memory_mb": round(tuner.bytes_after_quantization / 1e6, 1),
    }


def _finish(
    request: FineTuneRequest,
    data: _Data,
    tuner: Any,
    summary: dict[str, object],
    run: dict[str, object],
    console: Console,
) -> None:
    """Write the model, its card and curves; `run.json` says `done` only when all of it stands."""
    from shared_utils.curves import write_curves
    from training_methods.transfer_learning.run_trainer import METRICS_NAME

    save_model(request.run_dir, tuner)
    write_text_atomic(request.run_dir / "README.md", _card(request, data, summary))
    lines = (request.run_dir / METRICS_NAME).read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    write_curves(request.run_dir / "curves.png", rows, f"{request.settings.model_name}, {tuner.method}")
    if request.merge:
        report = tuner.merge(request.run_dir / "merged", [_text_of(record) for record in data.train[:3]])
        console.info(f"merged into the full-precision base: {report.in_words()}")
    write_json_atomic(request.run_dir / RUN_FILE, {**run, "status": "done", "finished": timestamp(), "result": summary})


def _card(request: FineTuneRequest, data: _Data, summary: dict[str, Any]) -> str:
    from training_methods.transfer_learning.model_card import CardFacts, model_card

    return model_card(
        CardFacts(
            base_model=request.settings.model_name,
            method=str(summary["method"]),
            settings=_flat(request.settings.model_dump(mode="json")),
            data_files=list(data.loaded.fingerprints),
            records=summary["records"],
            held_out_records=len(data.held_out),
            steps=summary["steps"],
            train_loss=summary["train_loss"],
            base_eval_loss=summary["base_eval_loss"],
            eval_loss=summary["eval_loss"],
            base_memory_mb=summary.get("base_memory_mb"),
            quantized_memory_mb=summary.get("quantized_memory_mb"),
            versions=package_versions(),
        )
    )


def _text_of(record: Record) -> str:
    if "text" in record:
        return record["text"]
    return "\n".join(message["content"] for message in record["messages"])


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, object]:
    flat: dict[str, object] = {}
    for key, value in values.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
    return flat


def _run_record(request: FineTuneRequest, data: _Data, started: float, train: Any, memory: Any) -> dict[str, object]:
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
