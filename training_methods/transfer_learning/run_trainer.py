"""RunTrainer: transformers' Trainer with whole checkpoints, an exact loss log and a loss that means something.

What stays the library's: the loop, distribution, schedules, callbacks and resuming. What is ours: the passes
of one optimizer step (`fast_step`), which take the place of its accumulation; a checkpoint is sealed before it
takes its name (`checkpoints.py`); the loss between two log lines survives a restart; a loss that is not a number
stops the run.
"""

from __future__ import annotations

import json
import math
import shutil
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from transformers import (
    EarlyStoppingCallback,
    Trainer,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)

from shared_utils.errors import LLMToolkitError, SecurityError, TrainingError
from shared_utils.file_utils import remove_leftovers, to_json
from shared_utils.training_utils import MetricsLogger, TrainingMetrics
from training_methods.transfer_learning import checkpoints
from training_methods.transfer_learning.dataset import EncodedDataset, RandomOrderSampler
from training_methods.transfer_learning.fast_step.training_step import FastStep
from training_methods.transfer_learning.objectives import Objective
from training_methods.transfer_learning.run_metrics import METRICS_NAME, cut_metrics, peak_memory_bytes
from training_methods.transfer_learning.sample_replies import SAMPLES_NAME
from training_methods.transfer_learning.second_try import SecondTry

STATE_NAME = "toolkit_state.json"
FREE_BYTES_MEANING_FULL = 4 * 1024 * 1024


class RunTrainer(Trainer):
    """Trains on an `EncodedDataset` and writes a run folder's checkpoints and `metrics.jsonl`.

    Args:
        model, args: as for transformers' Trainer; `args.output_dir` is the run folder.
        tokenizer: saved with every checkpoint.
        objective: what is minimised and measured.
        fast_step: computes the losses; `args.per_device_train_batch_size` records make one optimizer step.
        train_dataset, eval_dataset: encoded records; without the second nothing is evaluated.
        precision: the number format that was chosen; a continued run takes the same.
        metrics: told what is measured at each logging step.
        max_eval_batches: the most batches of one evaluation.
        max_checkpoints: how many checkpoints stay.
        save_best_only: keep only the best and the newest.
    """

    def __init__(
        self,
        *,
        model: torch.nn.Module,
        args: TrainingArguments,
        tokenizer: Any,
        objective: Objective,
        fast_step: FastStep,
        precision: str,
        train_dataset: EncodedDataset,
        eval_dataset: EncodedDataset | None,
        callbacks: list[TrainerCallback],
        metrics: MetricsLogger,
        max_eval_batches: int | None,
        max_checkpoints: int,
        save_best_only: bool,
    ) -> None:
        self.run_dir = Path(args.output_dir)
        self.records = train_dataset
        self.held_out = eval_dataset
        self.objective = objective
        self.fast_step = fast_step
        self._second_try = SecondTry(model)
        self.precision = precision
        self.metrics = metrics
        self.max_eval_batches = max_eval_batches
        self.max_checkpoints = 2 if save_best_only else max_checkpoints
        self.tokens_seen = 0
        self._tokens_since_log = 0
        self._last_log_time = time.monotonic()
        self._seconds_before = 0.0
        self._start_time = time.monotonic()
        self._resumed_from: Path | None = None
        self.control: TrainerControl
        self._sampler = RandomOrderSampler(len(train_dataset), args.seed)
        super().__init__(
            model=model,
            args=args,
            train_dataset=train_dataset,
            eval_dataset=eval_dataset,
            processing_class=tokenizer,
            data_collator=objective.collate,
            callbacks=[*callbacks, _FollowRun(self)],
        )

    # ---- order of the records ---------------------------------------------------------------------

    def _get_train_sampler(self, train_dataset: Any = None) -> RandomOrderSampler:
        return self._sampler

    def start_epoch(self, epoch: int) -> None:
        """Choose the order of an epoch; called before its first batch is drawn."""
        self._sampler.epoch = epoch

    def _run_epoch(self, **options: Any) -> None:
        # A run that was killed behind its last step has a checkpoint of the end; the library would train on from it.
        if self._has_ended():
            self.control.should_training_stop = True
        else:
            super()._run_epoch(**options)

    def _has_ended(self) -> bool:
        callbacks = self.callback_handler.callbacks
        out_of_patience = any(
            one.early_stopping_patience_counter >= one.early_stopping_patience
            for one in callbacks
            if isinstance(one, EarlyStoppingCallback)
        )
        return self.state.global_step >= self.state.max_steps or out_of_patience

    # ---- one step -------------------------------------------------------------------------------

    def training_step(
        self, model: torch.nn.Module, inputs: dict[str, Any], num_items_in_batch: torch.Tensor | int | None = None
    ) -> torch.Tensor:
        """The forward and backward passes of one optimizer step; its loss per supervised token.

        A loss that is not finite stops the run and names the records.
        """
        indices = inputs.pop("record_index")
        self._tokens_since_log += int(inputs["lengths"].sum())
        model.train()
        if callable(getattr(self.optimizer, "train", None)):
            self.optimizer.train()
        ready = self._prepare_inputs(inputs)
        loss = self._second_try(lambda: self._passes(model, ready, num_items_in_batch), self.state.global_step + 1)
        if not math.isfinite(float(loss)):
            names = ", ".join(dict.fromkeys(self.records.record_ids[int(index)] for index in indices))
            raise TrainingError(
                f"the loss became {float(loss)} at step {self.state.global_step + 1}, on the records {names}",
                hint="lower --learning-rate, look at these records, or go on from the last checkpoint with --resume",
            )
        return loss

    def _get_num_items_in_batch(self, batch_samples: list[Any], device: torch.device) -> torch.Tensor | None:
        """By what the losses of a step are divided, over all processes; the library knows supervised tokens only."""
        if not batch_samples:
            return None
        count = torch.stack([self.objective.count(batch) for batch in batch_samples]).sum().to(device)
        return self.accelerator.gather(count).sum() if self.args.world_size > 1 else count

    def _passes(
        self, model: torch.nn.Module, inputs: dict[str, Any], num_items_in_batch: torch.Tensor | int | None
    ) -> torch.Tensor:
        count = num_items_in_batch if num_items_in_batch is not None else self.objective.count(inputs)
        # Processes average their gradients; the count goes over all of them.
        share = self.accelerator.num_processes if num_items_in_batch is not None else 1
        passes = self.fast_step.passes(inputs)
        total = torch.zeros((), device=self.args.device)
        for number, records in enumerate(passes, start=1):
            is_last = number == len(passes)
            with (
                nullcontext() if is_last else self.accelerator.no_sync(model),
                self.fast_step.keeping_apart(records),
            ):
                with self.compute_loss_context_manager():
                    loss = self.objective.loss(self.fast_step, model, records, inputs) * share / count
                self.accelerator.backward(loss)
            total += loss.detach()
        return total

    # ---- evaluation -----------------------------------------------------------------------------

    def evaluate(
        self, eval_dataset: Any = None, ignore_keys: list[str] | None = None, metric_key_prefix: str = "eval"
    ) -> dict[str, float]:
        """The objective's figures of the held-out records; `eval_loss` decides which weights are best."""
        if self.held_out is None:
            return {}
        metrics = self.objective.held_out(
            self.fast_step, self.held_out, self.args.per_device_eval_batch_size, self.max_eval_batches
        )
        if not math.isfinite(metrics["eval_loss"]):
            raise TrainingError(
                f"the held-out loss became {metrics['eval_loss']} at step {self.state.global_step}",
                hint="lower --learning-rate, or go on from the last checkpoint with --resume",
            )
        self.log(dict(metrics))
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        if self.state.best_metric is None or metrics["eval_loss"] < self.state.best_metric:
            self.control.should_save = True  # the best weights must be there to go back to
        return metrics

    # ---- the log --------------------------------------------------------------------------------

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Write one line of `metrics.jsonl`, and tell the callbacks."""
        if "loss" in logs:
            logs.update(self.objective.take_metrics())
        super().log(logs, start_time)
        if "loss" not in logs and "eval_loss" not in logs:
            return  # the library's closing summary; run.json has ours
        measured: dict[str, Any] = {name: value for name, value in logs.items() if name != "epoch"}
        if "loss" in logs:
            now = time.monotonic()
            self.tokens_seen += self._tokens_since_log
            measured["tokens"] = self.tokens_seen
            measured["tokens_per_second"] = round(self._tokens_since_log / max(now - self._last_log_time, 1e-9), 1)
            self._tokens_since_log, self._last_log_time = 0, now
        measured["seconds"] = round(self.seconds, 3)
        measured["memory_mb"] = round(peak_memory_bytes() / 1e6, 1)
        if self.is_world_process_zero():  # one of several processes writes
            epoch = round(self.state.epoch or 0.0, 6)
            self.metrics.log_metrics(TrainingMetrics.from_figures(self.state.global_step, {"epoch": epoch, **measured}))

    @property
    def tokens_now(self) -> int:
        """Tokens trained on, those before a restart included."""
        return self.tokens_seen + self._tokens_since_log

    @property
    def seconds(self) -> float:
        """Wall seconds trained, those before a restart included."""
        return self._seconds_before + time.monotonic() - self._start_time

    # ---- checkpoints ----------------------------------------------------------------------------

    def _save_checkpoint(self, model: torch.nn.Module, trial: Any) -> None:
        """Write a checkpoint beside its place, seal it, and let it take its name."""
        final = self.run_dir / f"checkpoint-{self.state.global_step}"
        draft_root = checkpoints.temporary_path(final)
        shutil.rmtree(draft_root, ignore_errors=True)
        self._checkpoint_root: Path | None = draft_root
        try:
            super()._save_checkpoint(model, trial)
            draft = draft_root / final.name
            if self.state.best_global_step:  # the library may have named the draft
                self.state.best_model_checkpoint = str(self.run_dir / f"checkpoint-{self.state.best_global_step}")
                self.state.save_to_json(str(draft / "trainer_state.json"))
            (draft / STATE_NAME).write_text(to_json(self._own_state()), encoding="utf-8")
            checkpoints.seal(draft, final)
        except Exception as error:
            raise self._save_error(error, final) from error
        finally:
            self._checkpoint_root = None
            shutil.rmtree(draft_root, ignore_errors=True)
        checkpoints.remove_old(self.run_dir, self.max_checkpoints, self.state.best_global_step)

    def _get_output_dir(self, trial: Any) -> str:
        # While a checkpoint is written, the library must write below the draft.
        root = getattr(self, "_checkpoint_root", None)
        return str(root) if root is not None else str(super()._get_output_dir(trial))

    def _save(self, output_dir: str | None = None, state_dict: dict[str, Any] | None = None) -> None:
        super()._save(output_dir, state_dict)
        # A pickle of the arguments; config.yaml and run.json say the same without running code.
        Path(output_dir or self.args.output_dir, "training_args.bin").unlink(missing_ok=True)

    def _own_state(self) -> dict[str, object]:
        return {
            "loss_since_log": float(self._tr_loss),
            "loss_logged": self._total_loss_scalar,
            "step_last_logged": self._globalstep_last_logged,
            "tokens_seen": self.tokens_seen,
            "tokens_since_log": self._tokens_since_log,
            "seconds": self.seconds,
            "precision": self.precision,
            "objective": self.objective.state(),
        }

    def restore_loss_log(self) -> None:
        """Take up the sums behind the next log line where the checkpoint left them."""
        if self._resumed_from is None:
            self.objective.restore({})
            return
        state = json.loads((self._resumed_from / STATE_NAME).read_text(encoding="utf-8"))
        self._tr_loss += state["loss_since_log"]
        self._total_loss_scalar = state["loss_logged"]
        self._globalstep_last_logged = state["step_last_logged"]
        self._initial_global_step = 0
        self.objective.restore(state.get("objective", {}))
        self.tokens_seen = state["tokens_seen"]
        self._tokens_since_log = state["tokens_since_log"]
        self._seconds_before = state["seconds"]
        self._start_time = self._last_log_time = time.monotonic()

    def train_from(self, checkpoint: Path | None) -> float:
        """Train to the end, from the start or from a checkpoint; the mean training loss of the whole run.

        Raises:
            TrainingError: the loss was not finite, the memory or the disk did not suffice.
        """
        remove_leftovers(self.run_dir)
        self._resumed_from = checkpoint
        for name in (METRICS_NAME, SAMPLES_NAME):
            cut_metrics(self.run_dir / name, checkpoints.step_of(checkpoint) if checkpoint else 0)
        try:
            with self.fast_step.active():
                output = self.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
        except torch.OutOfMemoryError as error:
            raise _out_of_memory() from error
        except Exception as error:
            if type(error).__name__ == "UnpicklingError":
                raise SecurityError(
                    f"{checkpoint} holds a pickle that is more than numbers; it was not run: {error!s:.100}",
                    hint="delete this checkpoint; weights come as safetensors files",
                ) from error
            if "can't allocate memory" in str(error) or "not enough memory" in str(error):
                raise _out_of_memory() from error
            raise
        return float(output.training_loss)

    def restore_best(self) -> None:
        """Go back to the weights of the best evaluation, when they are not the last ones."""
        best = self.state.best_global_step
        if best and best != self.state.global_step:
            # The library forgets a checkpoint that is not where it was, as after the folder was moved.
            self.state.best_model_checkpoint = str(self.run_dir / f"checkpoint-{best}")
            self._load_best_model()

    def _save_error(self, error: Exception, checkpoint: Path) -> Exception:
        # Libraries report a full disk in words of their own, so the disk itself is asked.
        if shutil.disk_usage(self.run_dir).free > FREE_BYTES_MEANING_FULL and getattr(error, "errno", 0) != 28:
            return error
        return LLMToolkitError(
            f"the disk is full: {checkpoint} could not be written",
            hint="make room and run the same command with --resume; earlier checkpoints are intact",
        )


class _FollowRun(TrainerCallback):
    """Puts the running sums back once the library has set them to zero, and tells each epoch's number."""

    def __init__(self, trainer: RunTrainer) -> None:
        self.trainer = trainer

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Called after the library has prepared a run or a resumed run."""
        self.trainer.restore_loss_log()

    def on_epoch_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Called before an epoch, or the rest of one, is drawn."""
        self.trainer.start_epoch(int(state.epoch or 0))


def _out_of_memory() -> TrainingError:
    return TrainingError(
        "the memory of this machine does not suffice for this run",
        hint="lower --batch-size and raise --gradient-accumulation-steps, lower --max-length, "
        "or use --gradient-checkpointing",
    )
