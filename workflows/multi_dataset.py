"""MultiDatasetPipeline: folders of records of several kinds -> a balanced mixture -> a tuned model, measured.

results = MultiDatasetPipeline(MultiDatasetConfig(
    heuristic_log_dirs=["logs/heuristics-bfs_*", "logs/heuristics-astar_*"], dataset_types=["BFS", "ASTAR"],
    max_samples_per_algorithm=15000, training_strategy="qlora", base_model_name="Qwen/Qwen2.5-0.5B-Instruct",
)).run_pipeline()

OUTPUT/data/         a file for each type, and evaluation.jsonl, which takes no part in training
OUTPUT/train/        the run folder of the training; `results.model_path`
OUTPUT/evaluation/   base/ and tuned/: evaluation.json, predictions.jsonl
OUTPUT/steps/        the result of each finished step; a step that stands there is not done again
OUTPUT/results.json
"""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal

from evaluation.settings import ComparisonSettings
from shared_utils.console import Console
from shared_utils.data_loader import load_records
from shared_utils.errors import ConfigurationError
from shared_utils.file_utils import ensure_output_dir, remove_leftovers, sha256_of, write_json_atomic
from shared_utils.model_names import STARTER, locate_base
from shared_utils.records import Record
from shared_utils.run_lock import run_lock
from training_methods.training_config import TrainingConfig, TrainingConfigBuilder
from workflows.dataset_directories import DatasetDirectoryManager
from workflows.fine_tuning import fine_tune
from workflows.fine_tuning_request import FineTuneRequest
from workflows.model_evaluation import measure_model
from workflows.steps import Steps


@dataclass(frozen=True)
class MultiDatasetConfig:
    """What is learnt from, how, and where it goes. What is None or not named keeps the default of the strategy.

    Attributes:
        heuristic_log_dirs: folders of records of any accepted kind, or patterns such as `logs/heuristics-bfs_*`.
        dataset_types: what to take of them, see `DatasetDirectoryManager`; none takes all types found.
        max_samples_per_algorithm: at most so many records of each type.
        balanced: as many records of each type as the scarcest has; else all, up to that limit.
        training_strategy: lora, qlora or full.
        base_model_name: hub name, model folder or `starter`.
        epochs, learning_rate, batch_size, max_length: of the training.
        settings: any other key, as `TrainingConfigBuilder.with_setting` takes it, for example `training.max_steps`.
        held_out_share: of the records of each type that only the evaluation sees.
        evaluation: how base and tuned model are measured.
    """

    heuristic_log_dirs: Sequence[str | Path]
    dataset_types: Sequence[str] = ()
    max_samples_per_algorithm: int = 15_000
    training_strategy: str = "lora"
    base_model_name: str = STARTER
    output_dir: str | Path = "outputs/multi_dataset"
    balanced: bool = True
    epochs: float | None = None
    learning_rate: float | None = None
    batch_size: int | None = None
    max_length: int | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    held_out_share: float = 0.1
    evaluation: ComparisonSettings = field(default_factory=lambda: ComparisonSettings(max_samples=500))
    seed: int = 42
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"

    def __post_init__(self) -> None:
        if isinstance(self.heuristic_log_dirs, str | Path) or isinstance(self.dataset_types, str):
            raise ConfigurationError(
                "heuristic_log_dirs and dataset_types are lists", hint='for example ["logs/bfs_*"]'
            )
        if self.max_samples_per_algorithm < 1 or not 0 <= self.held_out_share <= 0.5:
            raise ConfigurationError(
                f"max_samples_per_algorithm {self.max_samples_per_algorithm} or held_out_share {self.held_out_share} "
                "is not allowed",
                hint="1 record or more of each type; 0 to 0.5 of them held out",
            )
        self.training()

    def training(self) -> TrainingConfig:
        """The checked training.

        Raises:
            ConfigurationError: a setting is unknown, out of range, or does not go with another.
        """
        builder = TrainingConfigBuilder().with_strategy(self.training_strategy)
        builder.with_model(self.base_model_name, self.max_length)
        builder.with_training(self.epochs, self.learning_rate, self.batch_size)
        for key, value in self.settings.items():
            builder.with_setting(key, value)
        return builder.with_output(self.output_dir, "train").build()


@dataclass(frozen=True)
class MultiDatasetResults:
    """What a pipeline made.

    Attributes:
        model_path: the run folder of the training, which holds the model or adapter.
        records: type -> records found; `taken`: type -> records trained on or used to choose the best checkpoint.
        training: the summary of the training.
        base, tuned: each metric of the evaluation with its interval; empty where nothing held out has an answer.
        by_type: type -> `n`, `base` and `tuned`, each `{"exact_match", "perplexity"}`.
    """

    model_path: Path
    records: Mapping[str, int]
    taken: Mapping[str, int]
    training: Mapping[str, Any]
    base: Mapping[str, Any]
    tuned: Mapping[str, Any]
    by_type: Mapping[str, Any]


class MultiDatasetPipeline:
    """Loads, checks, balances, trains and evaluates; a run that was stopped goes on where it was.

    Args:
        config: what to do.
        console: told what happens; None says nothing but warnings.
    """

    def __init__(self, config: MultiDatasetConfig, console: Console | None = None) -> None:
        self.config = config
        self.console = console or Console(quiet=True)
        self.run_dir = Path(config.output_dir)

    def run_pipeline(self) -> MultiDatasetResults:
        """Do every step that is not done yet.

        Raises:
            DataValidationError: a folder or type holds no usable record, or the output folder holds another pipeline.
            TrainingError: the loss was not finite, or the memory did not suffice.
        """
        locate_base(self.config.base_model_name)
        manager = DatasetDirectoryManager(self.config.heuristic_log_dirs)
        ensure_output_dir(self.run_dir)
        with run_lock(self.run_dir):
            remove_leftovers(self.run_dir)
            steps = Steps(self.run_dir / "steps", self.console, total=4)
            steps.check_identity(self._identity(manager))
            return self._run_steps(steps, manager)

    def _run_steps(self, steps: Steps, manager: DatasetDirectoryManager) -> MultiDatasetResults:
        data = steps.run("data", "sorting the records by type", lambda: self._organize(manager))
        training = steps.run("train", f"fine-tuning {self.config.base_model_name}", lambda: self._train(data))
        records = load_records([data["evaluation"]]).records if data["evaluation"] else []
        figures: dict[str, dict[str, Any]] = {"base": {}, "tuned": {}}
        if any("messages" in record for record in records):
            models = {"base": self.config.base_model_name, "tuned": str(self.run_dir / "train")}
            for name, model in models.items():
                what = f"asking the {name} model {len(records)} held-out questions"
                figures[name] = steps.run(name, what, partial(self._measure, name, model, records))
        results = MultiDatasetResults(
            model_path=self.run_dir / "train",
            records=data["records"],
            taken=self._taken(data["train"]),
            training=training,
            by_type=self._by_type(data["records"]) if figures["tuned"] else {},
            **figures,
        )
        write_json_atomic(self.run_dir / "results.json", {**asdict(results), "model_path": str(results.model_path)})
        return results

    def _identity(self, manager: DatasetDirectoryManager) -> dict[str, object]:
        config = self.config
        return {
            "the records": {str(path): sha256_of(path) for _, path in manager.files},
            "dataset_types": list(config.dataset_types),
            "max_samples_per_algorithm": config.max_samples_per_algorithm,
            "balanced": config.balanced,
            "the training": config.training().as_dict(),
            "held_out_share": config.held_out_share,
            "evaluation": config.evaluation.model_dump(mode="json"),
            "seed": config.seed,
        }

    def _organize(self, manager: DatasetDirectoryManager) -> dict[str, Any]:
        data = manager.organize(self.run_dir / "data", self.config.dataset_types, self.config.held_out_share)
        for kind, count in data.left_out.items():
            self.console.info(f"left out: {count} records of type {kind}")
        train = {kind: str(path) for kind, path in data.train.items()}
        evaluation = str(data.evaluation) if data.evaluation and data.evaluation.stat().st_size else None
        return {"train": train, "evaluation": evaluation, "records": data.records, "left_out": data.left_out}

    def _train(self, data: dict[str, Any]) -> dict[str, Any]:
        import yaml

        training = self.config.training()
        files = tuple(data["train"].values())
        common = {"seed": self.config.seed, "device": self.config.device}
        request = FineTuneRequest(
            run_dir=training.run_dir,
            train_data=files,
            eval_data=None,  # the held-out records choose nothing, not even the best checkpoint
            method=training.strategy,
            settings=training.settings,
            checkpoint=training.checkpoint,
            early_stopping=training.early_stopping,
            evaluation=training.evaluation,
            logging=training.logging,
            seed=self.config.seed,
            device=self.config.device,
            config_yaml=yaml.safe_dump({"common": common, **training.as_dict()}, sort_keys=False, allow_unicode=True),
            resume="" if (training.run_dir / "run.json").exists() else None,
            weights=(1.0,) * len(files) if self.config.balanced else None,
            max_samples_per_source=self.config.max_samples_per_algorithm,
        )
        return fine_tune(request, self.console)

    def _measure(self, name: str, model: str, records: Sequence[Record]) -> dict[str, Any]:
        settings = self.config.training().settings
        return measure_model(
            model,
            records,
            self.config.evaluation,
            self.run_dir / "evaluation" / name,
            self.console,
            chat_template=settings.training.chat_template,
            new_tokens=settings.new_tokens,
            device=self.config.device,
            seed=self.config.seed,
            data_name=str(self.run_dir / "data"),
        )

    def _taken(self, files: Mapping[str, str]) -> dict[str, int]:
        run = json.loads((self.run_dir / "train" / "run.json").read_text(encoding="utf-8"))
        by_file = {source["name"]: source["taken"] for source in run["sources"]}
        return {kind: by_file[path] for kind, path in files.items()}

    def _by_type(self, kinds: Iterable[str]) -> dict[str, Any]:
        """The figures of both models for the records of each type; the same examples for both."""
        from evaluation.stored_results import read_evaluation

        figures: dict[str, Any] = defaultdict(dict)
        for name in ("base", "tuned"):
            rows: dict[str, list[Any]] = defaultdict(list)
            for row in read_evaluation(self.run_dir / "evaluation" / name).predictions:
                rows[next(kind for kind in kinds if row["id"].startswith(f"{kind}: "))].append(row)
            for kind, of_type in rows.items():
                tokens = sum(row["tokens"] for row in of_type)
                nll = sum(row["nll"] for row in of_type)
                figures[kind]["n"] = len(of_type)
                figures[kind][name] = {
                    "exact_match": sum(row["exact_match"] for row in of_type) / len(of_type),
                    "perplexity": math.exp(min(nll / tokens, 700.0)) if tokens else None,
                }
        return dict(figures)
