"""The steps that every way of fine-tuning shares: tokenizer, records, training, saving."""

from __future__ import annotations

import json
import logging as log  # `logging` is a section of the settings here
import shutil
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

import torch
from transformers import (
    EarlyStoppingCallback,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PrinterCallback,
    Trainer,
    TrainerCallback,
)

from shared_utils.data_loader import to_record
from shared_utils.errors import LLMToolkitError
from shared_utils.model_utils import load_tokenizer, pick_device, set_seed, stop_token_ids
from shared_utils.processes import from_main, is_main_process, join
from shared_utils.prompt_formats import encode_prompt
from shared_utils.records import Record
from shared_utils.training_utils import MetricsLogger
from training_methods.transfer_learning.dataset import EncodedDataset, encode_dataset
from training_methods.transfer_learning.fast_step.training_step import FastStep
from training_methods.transfer_learning.launch import current_launch, may_skip_weights
from training_methods.transfer_learning.objectives import AnswerLikelihood, Objective
from training_methods.transfer_learning.precision import Precision, check_precision, resolved_precision
from training_methods.transfer_learning.recorders import metrics_logger
from training_methods.transfer_learning.run_callbacks import ReportProgress, StopOnSignal
from training_methods.transfer_learning.run_trainer import STATE_NAME, RunTrainer
from training_methods.transfer_learning.sample_replies import WriteSampleReplies
from training_methods.transfer_learning.settings import (
    CheckpointSettings,
    EarlyStoppingSettings,
    InRunEvaluationSettings,
    LoggingSettings,
    TrainingSettings,
)
from training_methods.transfer_learning.token_range import check_token_ids
from training_methods.transfer_learning.training_arguments import (
    RunSettings,
    records_of_run,
    total_steps,
    training_arguments,
)

BYTES_PER_TRAINED_PARAMETER = 12  # a float32 weight and the two moments of AdamW, as a checkpoint holds them


class FineTuner(ABC):
    """A model being fine-tuned; subclasses say which weights are trained.

    Args:
        model_name: hub name, model folder or `starter`.
        device: auto, cpu, cuda or mps.
        seed: start of every random choice.
        chat_template: name or file; None takes the model's own.
        new_tokens: added to the vocabulary where it lacks them; their embeddings are trained.
    """

    method: str

    def __init__(
        self,
        model_name: str,
        *,
        device: str = "auto",
        seed: int = 42,
        chat_template: str | None = None,
        new_tokens: Sequence[str] = (),
    ) -> None:
        self.model_name = model_name
        self.device = pick_device(device)
        join(self.device.type)
        self.seed = seed
        self.tokenizer: PreTrainedTokenizerBase = load_tokenizer(model_name, chat_template, new_tokens)
        self.new_tokens = list(new_tokens)
        set_seed(seed)
        self.model: PreTrainedModel = self._build_model()
        self.objective: Objective = AnswerLikelihood()  # what `train` minimises
        self.stopped_by: int | None = None  # the signal that ended training early
        self.whole_weights: dict[str, torch.Tensor] | None = None  # put together again after FSDP or ZeRO-3

    @abstractmethod
    def _build_model(self) -> PreTrainedModel:
        """Load the model with the weights to be trained marked as such."""

    @abstractmethod
    def _save_weights(self, folder: Path) -> None:
        """Write the trained weights into a folder."""

    def _before_training(self, trainer: Trainer) -> None:  # noqa: B027  # most ways have nothing to add
        """A last word on the trainer, for example on its optimizer."""

    def prepare_dataset(self, texts: Sequence[str], max_length: int = 512) -> EncodedDataset:
        """Raw texts, with the loss on every token."""
        records: list[Record] = [
            {"id": f"text {number}", "source": f"text {number}", "text": text} for number, text in enumerate(texts, 1)
        ]
        return encode_dataset(records, self.tokenizer, max_length=max_length)

    def prepare_instruction_dataset(
        self,
        records: Sequence[dict[str, Any]] | Sequence[Record],
        max_length: int = 512,
        *,
        train_on_prompt: bool = False,
        strict: bool = False,
    ) -> EncodedDataset:
        """Records of any accepted kind, with the loss on answers only."""
        normal = [to_record(row, str(row.get("source") or f"record {number}")) for number, row in enumerate(records, 1)]
        return encode_dataset(
            normal, self.tokenizer, max_length=max_length, train_on_prompt=train_on_prompt, strict=strict
        )

    def parameter_counts(self) -> tuple[int, int]:
        """Trainable and total parameters."""
        trainable = sum(weight.numel() for weight in self.model.parameters() if weight.requires_grad)
        return trainable, sum(weight.numel() for weight in self.model.parameters())

    def memory(self) -> dict[str, int]:
        """Bytes by part: weights, and what training adds for gradients and the optimizer."""
        trainable, _ = self.parameter_counts()
        weights = sum(weight.numel() * weight.element_size() for weight in self.model.parameters())
        return {"weights": weights, "gradients": trainable * 4, "optimizer": trainable * 8}

    def train(
        self,
        train_dataset: EncodedDataset,
        output_dir: str | Path = "./outputs",
        *,
        eval_dataset: EncodedDataset | None = None,
        training: TrainingSettings | None = None,
        checkpoint: CheckpointSettings | None = None,
        early_stopping: EarlyStoppingSettings | None = None,
        evaluation: InRunEvaluationSettings | None = None,
        logging: LoggingSettings | None = None,
        resume_from: Path | None = None,
        show_progress: Callable[[int, str], None] | None = None,
    ) -> Trainer:
        """Train, and leave the result in `self.model`.

        Args:
            train_dataset: from one of the `prepare_` methods.
            output_dir: the run folder; checkpoints, `metrics.jsonl` and event files go there.
            eval_dataset: held-out records; without it there is no evaluation and no early stopping.
            training, checkpoint, early_stopping, evaluation, logging: None takes the defaults.
            resume_from: a checkpoint to go on from.
            show_progress: called with the step and a note at every step.

        Raises:
            TrainingError: the loss was not finite, or the memory did not suffice.
            LLMToolkitError: the disk is too full for the checkpoints.
        """
        settings = RunSettings(
            training or TrainingSettings(),
            checkpoint or CheckpointSettings(),
            early_stopping or EarlyStoppingSettings(),
            evaluation or InRunEvaluationSettings(),
            logging or LoggingSettings(),
        )
        for dataset in (train_dataset, eval_dataset):
            check_token_ids(self.model, dataset, self.model_name)
        run_dir = Path(output_dir)
        run_dir.mkdir(parents=True, exist_ok=True)
        from_main(lambda: self._check_disk(run_dir, settings.checkpoint.max_checkpoints))
        stop, metrics = StopOnSignal(), metrics_logger(run_dir, settings.logging, resume_from)
        precision = self.use_precision(stored_precision(resume_from) or settings.training.precision)
        trainer = self._trainer(run_dir, settings, precision, train_dataset, eval_dataset, metrics)
        for callback in (stop, *self._callbacks(run_dir, settings, eval_dataset)):
            trainer.add_callback(callback)
        if show_progress:
            trainer.add_callback(ReportProgress(show_progress, lambda: trainer.tokens_now))
        self._before_training(trainer)
        with stop, metrics:
            trainer.mean_train_loss = trainer.train_from(resume_from)
        self.stopped_by = stop.number
        if self.stopped_by is None and settings.early_stopping.restore_best_weights:
            trainer.restore_best()
        if trainer.launch.divides_weights:
            self.whole_weights = self._gathered_weights(trainer)
        self.model.eval()
        return trainer

    def _callbacks(
        self, run_dir: Path, settings: RunSettings, eval_dataset: EncodedDataset | None
    ) -> list[TrainerCallback]:
        """What happens at evaluations: the run may end, and replies are written."""
        callbacks: list[TrainerCallback] = []
        if eval_dataset is None:
            return callbacks
        if settings.early_stopping.patience:
            callbacks.append(EarlyStoppingCallback(settings.early_stopping.patience, settings.early_stopping.min_delta))
        can_reply = is_main_process() and not current_launch().divides_weights  # the others wait meanwhile
        if settings.evaluation.generate_samples and can_reply:
            samples = settings.evaluation.num_samples
            callbacks.append(WriteSampleReplies(self.tokenizer, self.reply_to_ids, eval_dataset, run_dir, samples))
        return callbacks

    def _trainer(
        self,
        run_dir: Path,
        settings: RunSettings,
        precision: Precision,
        train_dataset: EncodedDataset,
        eval_dataset: EncodedDataset | None,
        metrics: MetricsLogger,
    ) -> RunTrainer:
        training = settings.training
        step = self.step_for(training, precision)
        for note in step.notes:
            log.getLogger(__name__).info(note)
        self.objective.prepare(step, train_dataset, records_of_run(len(train_dataset), training, self.seed))
        arguments = training_arguments(
            run_dir,
            settings,
            precision,
            total_steps(len(train_dataset), training),
            eval_dataset is not None,
            self.device,
            self.seed,
            self._has_frozen_base(),
            may_skip_weights(self.model.config),
        )
        trainer = RunTrainer(
            model=self.model,
            objective=self.objective,
            fast_step=step,
            precision=precision,
            args=arguments,
            tokenizer=self.tokenizer,
            train_dataset=train_dataset,
            eval_dataset=eval_dataset,
            metrics=metrics,
            max_eval_batches=settings.evaluation.eval_steps,
            max_checkpoints=settings.checkpoint.max_checkpoints,
            save_best_only=settings.checkpoint.save_best_only,
        )
        trainer.remove_callback(PrinterCallback)  # stdout belongs to the result
        return trainer

    def _gathered_weights(self, trainer: RunTrainer) -> dict[str, torch.Tensor]:
        """The weights that a launch divided, put together again; tied ones under one name."""
        whole = trainer.accelerator.get_state_dict(trainer.model_wrapped)
        tied = {name for name, _ in self.model.named_parameters(remove_duplicate=False)}
        tied -= {name for name, _ in self.model.named_parameters()}
        return {name: weight for name, weight in (whole or {}).items() if name not in tied}

    def use_precision(self, precision: Precision) -> Precision:
        """Choose the number format of training, and bring the weights that are not trained into it.

        Weights that are trained stay in float32: an update is often smaller than the step of bfloat16.

        Raises:
            ConfigurationError: fp16 was asked for without a CUDA device.
        """
        check_precision(precision, self.device)
        config = self.model.config.get_text_config()
        size = int(getattr(config, "hidden_size", 0) or 0)
        chosen = from_main(lambda: resolved_precision(precision, self.device, size))  # a race may end either way
        if chosen == "bf16" and self._has_frozen_base():
            for weight in self.model.parameters():
                if not weight.requires_grad and weight.dtype == torch.float32:
                    weight.data = weight.data.to(torch.bfloat16)
        return chosen

    def step_for(self, training: TrainingSettings, precision: Precision) -> FastStep:
        """What computes the losses of a run with these settings."""
        rows = self.objective.rows_per_record
        return FastStep(
            self.model,
            most_tokens=training.per_device_train_batch_size * training.max_length * rows,
            rows_together=rows,
            most_records=training.per_device_train_batch_size,
            pad_token_id=self.tokenizer.pad_token_id,
            # NEFTune's noise shrinks with the length of a row, which packing changes.
            packing=training.packing and not training.neftune_noise_alpha,
            fuse=precision != "fp16",
            only_plain=current_launch().note,
        )

    def prepare(
        self,
        dataset: EncodedDataset,
        training: TrainingSettings,
        precision: Precision,
        indices: Sequence[int] | None = None,
        advance: Callable[[int], None] | None = None,
    ) -> None:
        """What the objective has to know of these records (None: all) from the model before it is trained."""
        self.objective.prepare(self.step_for(training, precision), dataset, indices, advance)

    def measure(self, dataset: EncodedDataset, training: TrainingSettings, precision: Precision) -> dict[str, float]:
        """The objective's figures of held-out records, `eval_loss` first, with the weights as they are."""
        batch_size = training.per_device_train_batch_size * 2
        divided = self.model if self.whole_weights is not None else None
        return self.objective.held_out(self.step_for(training, precision), dataset, batch_size, divided=divided)

    def _has_frozen_base(self) -> bool:
        trainable, total = self.parameter_counts()
        return trainable < total / 2

    def save(self, output_dir: str | Path) -> None:
        """Write the trained weights and the tokenizer with its chat template into a folder."""
        folder = Path(output_dir)
        folder.mkdir(parents=True, exist_ok=True)
        self.tokenizer.save_pretrained(folder)
        self._save_weights(folder)
        # peft writes a card of its own without content; the run folder has a real one.
        (folder / "README.md").unlink(missing_ok=True)

    def generate(self, prompt: str, max_new_tokens: int = 64) -> str:
        """The likeliest answer to one question."""
        return self.reply_to_ids(encode_prompt(self.tokenizer, [{"role": "user", "content": prompt}]), max_new_tokens)

    @torch.inference_mode()
    def reply_to_ids(self, ids: list[int], max_new_tokens: int) -> str:
        """The likeliest answer to a prompt given as token ids."""
        inputs = torch.tensor([ids], device=self.model.device)
        output = self.model.generate(
            input_ids=inputs,
            attention_mask=torch.ones_like(inputs),
            max_new_tokens=max_new_tokens,
            do_sample=False,
            eos_token_id=stop_token_ids(self.tokenizer),
            pad_token_id=self.tokenizer.pad_token_id,
        )
        return str(self.tokenizer.decode(output[0, len(ids) :], skip_special_tokens=True)).strip()

    def _check_disk(self, run_dir: Path, checkpoints: int) -> None:
        trainable, _ = self.parameter_counts()
        tokenizer = 2 * len(self.tokenizer.backend_tokenizer.to_str()) if self.tokenizer.is_fast else 0
        # One more is being written while the oldest still stands, and the finished model comes last.
        needed = (trainable * BYTES_PER_TRAINED_PARAMETER + tokenizer) * (checkpoints + 2)
        free = shutil.disk_usage(run_dir).free
        if free < needed:
            raise LLMToolkitError(
                f"the disk is too full: the run needs about {needed / 1e6:,.0f} MB in {run_dir}, "
                f"{free / 1e6:,.0f} MB are free",
                hint="make room, choose another --output-dir, or lower checkpoint.max_checkpoints",
            )


def stored_precision(checkpoint: Path | None) -> Precision | None:
    """The number format that a checkpoint was made in."""
    if checkpoint is None:
        return None
    state = json.loads((checkpoint / STATE_NAME).read_text(encoding="utf-8"))
    return cast(Precision | None, state.get("precision"))
