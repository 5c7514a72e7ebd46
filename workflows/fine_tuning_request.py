"""What one fine-tuning is asked to do, and the records that it is given."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from shared_utils.data_loader import LoadedRecords, RecordReader, load_records, split_records, usable_record
from shared_utils.errors import DataValidationError
from shared_utils.file_utils import sha256_of_text
from shared_utils.preference_records import to_pair
from shared_utils.processes import process_count
from shared_utils.records import Record
from training_methods.transfer_learning.settings import (
    CheckpointSettings,
    EarlyStoppingSettings,
    InRunEvaluationSettings,
    LoggingSettings,
    Method,
    MethodSettings,
)
from workflows.training_data import Source, load_mixture

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
    register: str | None = None  # name of the finished model in the registry
    registry_dir: str = "registry"


@dataclass(frozen=True)
class TrainingData:
    """The records of a run, and what it must share with its continuation."""

    loaded: LoadedRecords
    train: list[Record]
    held_out: list[Record]
    identity: dict[str, object]
    sources: list[Source]


def resume_command(request: FineTuneRequest) -> str:
    """The command line that goes on with this run."""
    start = ["python"] if process_count() == 1 else ["accelerate", "launch", "--num_processes", str(process_count())]
    words = [*start, "main.py", f"train-{request.method}", "--config", str(request.run_dir / "config.yaml")]
    words += ["--train-data", *request.train_data]
    if request.eval_data:
        words += ["--eval-data", request.eval_data]
    if request.weights is not None:
        words += ["--weights", *(f"{weight:g}" for weight in request.weights)]
    if request.max_samples_per_source is not None:
        words += ["--max-samples-per-source", str(request.max_samples_per_source)]
    if request.merge:
        words.append("--merge")
    if request.register:
        words += ["--register", request.register]
    return shlex.join([*words, "--output-dir", str(request.run_dir), "--resume"])


def load_training_data(request: FineTuneRequest) -> TrainingData:
    """Read the records, and divide them into those to train on and those held out.

    Raises:
        DataValidationError: a source cannot be read, or holds no usable record.
    """
    training = request.settings.training
    read: RecordReader = to_pair if request.method == "dpo" else usable_record
    loaded, sources = load_mixture(
        request.train_data, request.weights, request.max_samples_per_source, request.seed, read
    )
    fingerprints = dict(loaded.fingerprints)
    if training.strict and loaded.rejected:
        first = loaded.rejected[0]
        raise DataValidationError(f"{first.where}: {first.reason}", hint="mend the record, or train without --strict")
    if request.eval_data:
        evaluation = load_records([request.eval_data], read)
        fingerprints.update(evaluation.fingerprints)
        train, held_out = loaded.records, evaluation.records
    else:
        train, held_out = split_records(loaded.records, training.eval_split)
    if not train:
        raise DataValidationError(
            f"no usable record in {', '.join(request.train_data)}: {reasons_left_out(loaded) or 'nothing in it'}",
            hint="see docs/data-format.md for the kinds",
        )
    settings = flat_settings(request.settings.model_dump(mode="json"))
    identity: dict[str, object] = {key: value for key, value in settings.items() if key not in FREE_TO_CHANGE}
    identity["processes"] = process_count()
    identity |= {"method": request.method, "seed": request.seed, "data": sha256_of_text(*sorted(fingerprints.values()))}
    if request.weights is not None or request.max_samples_per_source is not None:
        identity["mixture"] = [list(request.weights or ()), request.max_samples_per_source]
    return TrainingData(replace(loaded, fingerprints=fingerprints), train, held_out, identity, sources)


def reasons_left_out(loaded: LoadedRecords) -> str:
    """Why records were left out, how many for each reason, and where the first of them stands."""
    places: dict[str, list[str]] = {}
    for one in loaded.rejected:
        places.setdefault(one.reason, []).append(one.where)
    return "; ".join(f"{len(where)} with {reason}, first at {where[0]}" for reason, where in places.items())


def flat_settings(values: dict[str, Any], prefix: str = "") -> dict[str, object]:
    """Nested settings as one level, with dots in the names."""
    flat: dict[str, object] = {}
    for key, value in values.items():
        flat |= flat_settings(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
    return flat
