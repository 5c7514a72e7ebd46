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
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch
from transformers import (
    EarlyStoppingCallback,
    TrainerControl,
    TrainingArguments,
)

from shared_utils.errors import TrainingError
from shared_utils.file_utils import remove_leftovers, to_json
from shared_utils.processes import (
    from_main,
    gathered,
    is_main_process,
    process_count,
    process_index,
    wait_for_all,
)
from shared_utils.training_utils import MetricsLogger, TrainingMetrics
from training_methods.transfer_learning import checkpoints
from training_methods.transfer_learning.dataset import EncodedDataset, RandomOrderSampler
from training_methods.transfer_learning.drafting_trainer import DraftingTrainer
from training_methods.transfer_learning.fast_step.packing import without_records
from training_methods.transfer_learning.fast_step.training_step import FastStep
from training_methods.transfer_learning.launch import current_launch
from training_methods.transfer_learning.objectives import Objective
from training_methods.transfer_learning.run_callbacks import FollowRun
from training_methods.transfer_learning.run_errors import in_our_words, save_error
from training_methods.transfer_learning.run_metrics import METRICS_NAME, cut_metrics, peak_memory_bytes
from training_methods.transfer_learning.sample_replies import SAMPLES_NAME
from training_methods.transfer_learning.step_shares import StepShares, share_loader

STATE_NAME = "toolkit_state.json"


class RunTrainer(DraftingTrainer):
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
        self.launch = current_launch()
        super().__init__(
            model=model,
            args=args,
            train_dataset=train_dataset,
            eval_dataset=eval_dataset,
            processing_class=tokenizer,
            data_collator=objective.collate,
            callbacks=[FollowRun(self.restore_loss_log, self.start_epoch)],
        )

    # ---- order of the records ---------------------------------------------------------------------

    def _get_train_sampler(self, train_dataset: Any = None) -> RandomOrderSampler:
        return self._sampler

    def get_train_dataloader(self) -> Any:
        """Batches of one optimizer step; of several processes each gets its share of the step's records."""
        if process_count() == 1:
            return super().get_train_dataloader()
        step_size = self.args.per_device_train_batch_size * process_count()
        shares = StepShares(self._sampler, self.records.lengths, step_size, process_count(), process_index())
        return share_loader(self.records, shares, self.args.device, self.args.dataloader_pin_memory)

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
        loss = self._passes(model, ready, num_items_in_batch)
        self._check_finite(float(loss), indices)
        return loss

    def _check_finite(self, loss: float, indices: torch.Tensor) -> None:
        names = [self.records.record_ids[int(index)] for index in indices]
        bad = [one for one in gathered(None if math.isfinite(loss) else (loss, names)) if one is not None]
        if bad:
            on = ", ".join(dict.fromkeys(name for _, names in bad for name in names))
            error = TrainingError(
                f"the loss became {bad[0][0]} at step {self.state.global_step + 1}, on the records {on}",
                hint="lower --learning-rate, look at these records, or go on from the last checkpoint with --resume",
            )
            error.is_told_elsewhere = not is_main_process()
            raise error

    def _get_num_items_in_batch(self, batch_samples: list[Any], device: torch.device) -> torch.Tensor | None:
        """By what the losses of a step are divided, over all processes; the library knows supervised tokens only."""
        if not batch_samples:
            return None
        count = torch.stack([self.objective.count(batch) for batch in batch_samples]).sum().to(device)
        return self.accelerator.gather(count).sum() if self.args.world_size > 1 else count

    def _passes(
        self, model: torch.nn.Module, inputs: dict[str, Any], num_items_in_batch: torch.Tensor | int | None
    ) -> torch.Tensor:
        count = num_items_in_batch  # over all processes
        if count is None:
            count = sum(gathered(int(self.objective.count(inputs))))
        # Processes average their gradients and losses.
        scale = process_count() / count
        passes = self.fast_step.passes(inputs) if len(inputs["lengths"]) else []
        most = max(gathered(len(passes))) if self.launch.every_pass_talks else 1
        while len(passes) < most:  # whoever has less to do takes part all the same
            passes += self.fast_step.passes(without_records(self.args.device))
        total = torch.zeros((), device=self.args.device)
        for number, records in enumerate(passes, start=1):
            with self._one_of_several(model, is_last=number == len(passes)), self.fast_step.keeping_apart(records):
                with self.compute_loss_context_manager():
                    loss = self.objective.loss(self.fast_step, model, records, inputs) * scale
                self.accelerator.backward(loss, **({"scale_wrt_gas": False} if self.launch.is_deepspeed else {}))
            total += loss.detach()
        return total

    def _one_of_several(self, model: torch.nn.Module, *, is_last: bool) -> AbstractContextManager[None]:
        """Around a pass: gradients travel between processes once a step, where they can wait."""
        if self.launch.is_deepspeed:
            self.accelerator.gradient_state._set_sync_gradients(is_last)  # else each pass would step the optimizer
        # Whole gradients that wait would take the memory that divided ones save.
        waits = not is_last and self.launch.sharing == "copies"
        return self.accelerator.no_sync(model) if waits else nullcontext()

    # ---- evaluation -----------------------------------------------------------------------------

    def evaluate(
        self, eval_dataset: Any = None, ignore_keys: list[str] | None = None, metric_key_prefix: str = "eval"
    ) -> dict[str, float]:
        """The objective's figures of the held-out records; `eval_loss` decides which weights are best."""
        if self.held_out is None:
            return {}
        metrics = self.objective.held_out(
            self.fast_step,
            self.held_out,
            self.args.per_device_eval_batch_size,
            self.max_eval_batches,
            divided=self.model_wrapped if self.launch.divides_weights else None,
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
            tokens = sum(gathered(self._tokens_since_log))
            self.tokens_seen += tokens
            measured["tokens"] = self.tokens_seen
            measured["tokens_per_second"] = round(tokens / max(now - self._last_log_time, 1e-9), 1)
            self._tokens_since_log, self._last_log_time = 0, now
        measured["seconds"] = round(self.seconds, 3)
        measured["memory_mb"] = round(peak_memory_bytes() / 1e6, 1)
        if is_main_process():
            epoch = round(self.state.epoch or 0.0, 6)
            self.metrics.log_metrics(TrainingMetrics.from_figures(self.state.global_step, {"epoch": epoch, **measured}))

    @property
    def tokens_now(self) -> int:
        """Tokens trained on, those before a restart included; of several processes those of this one."""
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
        from_main(lambda: shutil.rmtree(draft_root, ignore_errors=True))
        self._checkpoint_root = draft_root
        try:
            super()._save_checkpoint(model, trial)  # every process adds its random state
            if self.state.best_global_step:  # the library may have named the draft
                self.state.best_model_checkpoint = str(self.run_dir / f"checkpoint-{self.state.best_global_step}")
            state = self._own_state()
            wait_for_all()
            if is_main_process():
                self._finish_checkpoint(draft_root / final.name, final, state)
        except Exception as error:
            raise save_error(error, final) from error
        finally:
            self._checkpoint_root = None
            if is_main_process():
                shutil.rmtree(draft_root, ignore_errors=True)
        wait_for_all()

    def _finish_checkpoint(self, draft: Path, final: Path, state: dict[str, object]) -> None:
        if self.state.best_global_step:
            self.state.save_to_json(str(draft / "trainer_state.json"))
        (draft / STATE_NAME).write_text(to_json(state), encoding="utf-8")
        checkpoints.seal(draft, final)
        checkpoints.remove_old(self.run_dir, self.max_checkpoints, self.state.best_global_step)

    def _own_state(self) -> dict[str, object]:
        return {
            "loss_since_log": gathered(float(self._tr_loss)),  # one of each process
            "loss_logged": self._total_loss_scalar,
            "step_last_logged": self._globalstep_last_logged,
            "tokens_seen": self.tokens_seen,
            "tokens_since_log": sum(gathered(self._tokens_since_log)),
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
        self._tr_loss += state["loss_since_log"][process_index()]
        self._total_loss_scalar = state["loss_logged"]
        self._globalstep_last_logged = state["step_last_logged"]
        self._initial_global_step = 0
        self.objective.restore(state.get("objective", {}))
        self.tokens_seen = state["tokens_seen"]
        self._tokens_since_log = state["tokens_since_log"] if is_main_process() else 0  # summed over all later
        self._seconds_before = state["seconds"]
        self._start_time = self._last_log_time = time.monotonic()

    def train_from(self, checkpoint: Path | None) -> float:
        """Train to the end, from the start or from a checkpoint; the mean training loss of the whole run.

        Raises:
            TrainingError: the loss was not finite, the memory or the disk did not suffice.
        """
        self._resumed_from = checkpoint
        from_main(lambda: self._clear_away(checkpoint))
        try:
            with self.fast_step.active():
                output = self.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
        except Exception as error:
            told = in_our_words(error, checkpoint)
            if told is error:
                raise
            raise told from error
        return float(output.training_loss)

    def _clear_away(self, checkpoint: Path | None) -> None:
        """Remove what a run that was stopped left unfinished, and the metrics after the checkpoint."""
        remove_leftovers(self.run_dir)
        for name in (METRICS_NAME, SAMPLES_NAME):
            cut_metrics(self.run_dir / name, checkpoints.step_of(checkpoint) if checkpoint else 0)

    def restore_best(self) -> None:
        """Go back to the weights of the best evaluation, when they are not the last ones."""
        best = self.state.best_global_step
        if best and best != self.state.global_step:
            # The library forgets a checkpoint that is not where it was, as after the folder was moved.
            self.state.best_model_checkpoint = str(self.run_dir / f"checkpoint-{best}")
            self._load_best_model()
