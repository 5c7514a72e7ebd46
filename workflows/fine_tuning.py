"""Records -> fine-tuned model in a run folder, resumable at any moment."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from deployment.model_registry import ModelRegistry
from shared_utils.console import Console
from shared_utils.errors import ConfigurationError, DataValidationError, Interrupted
from shared_utils.file_utils import (
    ensure_output_dir,
    remove_leftovers,
    write_json_atomic,
    write_text_atomic,
)
from shared_utils.model_names import STARTER, STARTER_NOTICE, locate_base
from shared_utils.processes import from_main, is_main_process, join, leave, main_first, process_count, together
from shared_utils.records import Record
from shared_utils.run_lock import run_lock
from workflows.fine_tuning_outputs import finish_run, run_record, run_summary
from workflows.fine_tuning_request import FineTuneRequest, TrainingData, load_training_data, resume_command
from workflows.preference_start import from_whole_model
from workflows.run_folder import RUN_FILE, checkpoint_to_resume, finished_result, refuse_foreign_files
from workflows.training_data import show_examples, tell_memory, tell_records, tell_sources

CACHE_NAME = ".cache"  # in the run folder: encoded records, which can be deleted at any time


def fine_tune(request: FineTuneRequest, console: Console) -> dict[str, object]:
    """Train, and leave a complete run folder; the summary of the run.

    Raises:
        DataValidationError: unusable records, or a continuation with other data or settings.
        TrainingError: the loss was not finite, or the memory did not suffice.
        Interrupted: Ctrl-C or SIGTERM, after a checkpoint was written.
    """
    _check_launch(request)
    join(request.device)
    registry = ModelRegistry(request.registry_dir)
    if request.register:  # a name that is taken is told before, not after
        together(lambda: registry.check_name(request.register or "", request.run_dir))
    data = together(lambda: load_training_data(request))
    if request.method == "dpo":
        request = from_whole_model(request, console)
    together(lambda: locate_base(request.settings.model_name))  # a mistyped name must not cost the libraries
    with _held(request.run_dir):
        summary = from_main(
            lambda: finished_result(
                request.run_dir,
                data.identity,
                resume=request.resume is not None,
                resume_with=resume_command(request),
            )
        )
        if summary is not None:
            console.info(f"{request.run_dir} is finished already")
        else:
            from_main(lambda: refuse_foreign_files(request.run_dir))
            summary = _train(request, data, console)
        if request.register:
            from_main(lambda: registry.add(request.register or "", request.run_dir))
            console.info(f"registered as {request.register}")
    leave()
    return summary


def _check_launch(request: FineTuneRequest) -> None:
    """Refuse what the chosen launch cannot do, before the processes wait for each other and anything is loaded."""
    from training_methods.transfer_learning.launch import current_launch

    launch = current_launch()
    if request.method == "dpo" and process_count() > 1:
        raise ConfigurationError(
            "train-dpo runs in one process", hint="start it with python main.py train-dpo, without a launcher"
        )
    if launch.divides_weights and request.merge:
        raise ConfigurationError(
            "--merge needs the whole model in one process, and this launch divides its weights",
            hint="train without --merge: the adapter is used as it is",
        )
    if launch.divides_weights and getattr(request.settings, "init_lora_weights", "default") in ("pissa", "olora"):
        raise ConfigurationError(
            "init_lora_weights pissa and olora change the base, which this launch divides over the processes",
            hint="use init_lora_weights default, or the launch settings of configs/accelerate/ddp.yaml",
        )


@contextmanager
def _held(run_dir: Path) -> Iterator[None]:
    """Hold the run folder; of several processes the main one does it for all."""
    with ExitStack() as held:

        def take() -> None:
            ensure_output_dir(run_dir)
            held.enter_context(run_lock(run_dir))
            remove_leftovers(run_dir)

        from_main(take)
        yield


def dry_run(request: FineTuneRequest, console: Console) -> dict[str, object]:
    """Say what would be done: records, tokens, steps, memory and time; write nothing."""
    if request.register:
        ModelRegistry(request.registry_dir).check_name(request.register, request.run_dir)
    data = load_training_data(request)
    if request.method == "dpo":
        request = from_whole_model(request, console, may_merge=False)
    locate_base(request.settings.model_name)
    tuner = _build_tuner(request, console)
    from training_methods.transfer_learning.estimates import estimate_seconds
    from training_methods.transfer_learning.training_arguments import total_steps

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


def _train(request: FineTuneRequest, data: TrainingData, console: Console) -> dict[str, object]:
    from training_methods.transfer_learning.checkpoints import step_of
    from training_methods.transfer_learning.fine_tuner import stored_precision
    from training_methods.transfer_learning.training_arguments import records_of_run, total_steps

    started = time.time()
    if request.settings.model_name == STARTER:
        console.info(STARTER_NOTICE)
    resume_from = from_main(lambda: checkpoint_to_resume(request.resume, request.run_dir, console))
    tuner = together(lambda: _build_tuner(request, console))
    precision = tuner.use_precision(stored_precision(resume_from) or request.settings.training.precision)
    train, held_out = main_first(lambda: _encode(request, tuner, data, console, request.run_dir / CACHE_NAME))
    memory = _tell_plan(console, request, data, tuner, train)
    run = {**run_record(request, data, started, train, memory), "precision": precision}
    if is_main_process():
        write_text_atomic(request.run_dir / "config.yaml", request.config_yaml)
        write_json_atomic(request.run_dir / RUN_FILE, run)

    training = request.settings.training
    if tuner.objective.preparation:
        with console.progress(len(train), tuner.objective.preparation) as progress:
            asked = records_of_run(len(train), training, request.seed)
            tuner.prepare(train, training, precision, asked, progress.advance)
    base = tuner.measure(held_out, training, precision) if held_out else {}
    steps = total_steps(len(train), training)
    with console.progress(steps, "training") as progress:
        progress.go_on_from(step_of(resume_from) if resume_from else 0)
        trainer: Any = tuner.train(
            train,
            request.run_dir,
            eval_dataset=held_out,
            training=training,
            checkpoint=request.checkpoint,
            early_stopping=request.early_stopping,
            evaluation=request.evaluation,
            logging=request.logging,
            resume_from=resume_from,
            show_progress=progress.move_to,
        )
    if tuner.stopped_by is not None:
        raise Interrupted(tuner.stopped_by, hint=f"go on with: {resume_command(request)}")
    tuned = tuner.measure(held_out, training, precision) if held_out else {}
    summary = run_summary(request, tuner, trainer, train, base, tuned, resume_from, steps, memory)
    from_main(lambda: finish_run(request, data, tuner, summary, run, console))
    return summary


def _build_tuner(request: FineTuneRequest, console: Console) -> Any:
    from shared_utils.model_utils import pick_device
    from training_methods.transfer_learning.memory_needs import refuse_too_large
    from training_methods.transfer_learning.methods import build_tuner
    from training_methods.transfer_learning.precision import check_precision

    device = pick_device(request.device)
    check_precision(request.settings.training.precision, device)
    refuse_too_large(request.settings, device)
    tuner: Any = build_tuner(request.settings, device=device.type, seed=request.seed)
    if hasattr(tuner, "bytes_before_quantization"):
        before, after = tuner.bytes_before_quantization, tuner.bytes_after_quantization
        console.info(f"weights of the base: {before / 1e6:,.1f} MB in float32, {after / 1e6:,.1f} MB quantised")
    return tuner


def _encode(
    request: FineTuneRequest, tuner: Any, data: TrainingData, console: Console, cache_dir: Path | None = None
) -> tuple[Any, Any]:
    from training_methods.transfer_learning.token_range import check_token_ids

    training = request.settings.training
    limit = getattr(tuner.model.config, "max_position_embeddings", None)
    if limit and training.max_length > limit:
        raise DataValidationError(
            f"max_length is {training.max_length}, but {request.settings.model_name} reads at most {limit} tokens",
            hint=f"use --max-length {limit}",
        )

    def encode(records: list[Record]) -> Any:
        with console.progress(len(records), "reading records") as progress:
            return tuner.objective.encode(records, tuner.tokenizer, training, cache_dir, progress.advance)

    train, held_out = encode(data.train), encode(data.held_out) if data.held_out else None
    for dataset in (train, held_out):
        check_token_ids(tuner.model, dataset, request.settings.model_name)
    show_examples(console, tuner.tokenizer, train, request.show_examples)
    return train, held_out


def _tell_plan(console: Console, request: FineTuneRequest, data: TrainingData, tuner: Any, train: Any) -> Any:
    """What is trained on and the memory it takes, told before training; the memory plan."""
    from training_methods.transfer_learning.memory import plan_memory

    training = request.settings.training
    tell_sources(console, data.sources)
    tell_records(console, data.loaded.rejected, len(data.held_out), train, training.max_length)
    plan = plan_memory(tuner, train, training)
    tell_memory(console, plan)
    return plan
