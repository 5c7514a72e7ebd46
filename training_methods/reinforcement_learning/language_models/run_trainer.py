"""TRL's GRPOTrainer in our run folder: our prompts, our metrics, whole checkpoints, nothing sent anywhere.

What stays TRL's: sampling, advantages within groups, the loss and the reference. Its settings follow Shao et al. 2024
(arXiv:2402.03300): the clipped loss of equation 3 with the KL estimate of equation 4, rewards normalised by mean and
deviation of their group (section 4.1.2), one update for each sampled batch. Answers that a model gives before an update
are never used after it, so the clip range has nothing to do and is left where it is.
"""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from transformers import PrinterCallback, TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from trl import GRPOConfig, GRPOTrainer

from shared_utils.errors import TrainingError
from shared_utils.file_utils import to_json
from shared_utils.language_tasks import Judgement, Question
from shared_utils.model_utils import stop_token_ids
from shared_utils.prompt_formats import RecordEncoder
from shared_utils.training_utils import MetricsLogger, TrainingMetrics
from training_methods.reinforcement_learning.grpo_settings import GRPOSettings
from training_methods.reinforcement_learning.language_models.rewards import Judge
from training_methods.transfer_learning import checkpoints
from training_methods.transfer_learning.drafting_trainer import DraftingTrainer
from training_methods.transfer_learning.run_errors import in_our_words, save_error
from training_methods.transfer_learning.run_metrics import peak_memory_bytes
from training_methods.transfer_learning.run_trainer import STATE_NAME

# What a line of metrics.jsonl takes from TRL, and its name there.
FIGURES = {
    "loss": "loss",
    "grad_norm": "grad_norm",
    "learning_rate": "learning_rate",
    "reward": "reward",
    "reward_std": "reward_std",
    "frac_reward_zero_std": "groups_without_spread",
    "kl": "kl",
    "entropy": "entropy",
    "completions/mean_length": "completion_length",
    "completions/clipped_ratio": "cut_answers",
    "right_answers": "right_answers",
    "illegal_answers": "illegal_answers",
}


def grpo_arguments(run_dir: Path, settings: GRPOSettings, length: int, device: torch.device, seed: int) -> GRPOConfig:
    """What TRL is told.

    Args:
        run_dir: the run folder.
        settings: what was asked for.
        length: tokens of an answer at most.
        device: where the model is.
        seed: start of the samples.
    """
    training = settings.training
    return GRPOConfig(
        output_dir=str(run_dir),
        max_steps=training.max_steps,
        per_device_train_batch_size=settings.answers_per_pass,
        gradient_accumulation_steps=settings.answers_per_step // settings.answers_per_pass,
        num_generations=settings.num_generations,
        num_iterations=1,
        max_completion_length=length,
        temperature=settings.temperature,
        beta=settings.beta,
        use_bias_correction_kl=False,  # equation 4 as it stands
        loss_type=settings.loss_type,
        scale_rewards="group",
        learning_rate=settings.learning_rate,
        lr_scheduler_type="constant",
        max_grad_norm=training.max_grad_norm,
        disable_dropout=True,
        shuffle_dataset=False,  # the questions come in the order of the run
        logging_steps=1,
        logging_nan_inf_filter=False,
        save_strategy="steps",
        save_steps=min(training.save_steps, max(1, math.ceil(training.max_steps / 2))),
        activation_checkpointing=False,
        bf16=device.type == "cuda" and torch.cuda.is_bf16_supported(),
        use_cpu=device.type == "cpu",
        seed=seed,
        data_seed=seed,
        report_to=[],
        disable_tqdm=True,
        dataloader_pin_memory=device.type == "cuda",
    )


class GRPORunTrainer(DraftingTrainer, GRPOTrainer):
    """Trains a model with adapters by the rewards of its answers.

    Args:
        model: a `PeftModel` that answers as its base does; the base is the reference.
        tokenizer: with a chat template.
        args: from `grpo_arguments`.
        questions: what is asked.
        order: the questions of the run, by their places in `questions`, those of each step one after the other.
        judge: rates the answers.
        metrics: told every step.
        max_checkpoints: checkpoints kept.
    """

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        args: GRPOConfig,
        questions: Sequence[Question],
        order: Sequence[int],
        judge: Judge,
        metrics: MetricsLogger,
        max_checkpoints: int,
    ) -> None:
        self.run_dir = Path(args.output_dir)
        self.judge = judge
        self.questions = questions
        self.recorder = metrics
        self.max_checkpoints = max_checkpoints
        self.mean_train_loss = 0.0
        self._encoder = RecordEncoder(tokenizer, 0)
        self._prompt_ids: dict[int, list[int]] = {}
        self._start_time = time.monotonic()
        self._seconds_before = 0.0
        # All that ends an answer elsewhere in the toolkit ends it here.
        model.generation_config.eos_token_id = stop_token_ids(tokenizer)
        super().__init__(
            model=model,
            reward_funcs=self.rewards,
            args=args,
            train_dataset=Dataset.from_dict({"prompt": [str(number) for number in order]}),
            processing_class=tokenizer,
        )
        if "ref" in self.model.peft_config:
            self.model.delete_adapter("ref")  # a copy of the new adapter; the base without any is the same
        self.remove_callback(PrinterCallback)  # stdout belongs to the result

    def _send_telemetry(self) -> None:
        """Nothing of a run is told to anybody."""

    # ---- questions and rewards ------------------------------------------------------------------

    def _tokenize_prompts(self, prompts: list[str]) -> tuple[list[list[int]], None, dict[str, Any]]:
        """The token ids that the model is asked with everywhere in the toolkit."""
        return [self._ids_of(int(number)) for number in prompts], None, {}

    def _ids_of(self, number: int) -> list[int]:
        if number not in self._prompt_ids:
            self._prompt_ids[number] = self._encoder.prompt(self.questions[number].messages)
        return self._prompt_ids[number]

    def rewards(
        self, prompts: list[str], completions: list[str], log_metric: Callable[[str, float], None], **_: Any
    ) -> list[float]:
        """The reward of each answer; all answers to a question are rated together."""
        places: dict[str, list[int]] = {}
        for place, number in enumerate(prompts):
            places.setdefault(number, []).append(place)
        judgements: dict[int, Judgement] = {}
        for number, group in places.items():
            answers = [completions[place].strip() for place in group]
            judgements.update(zip(group, self.judge.rate(self.questions[int(number)], answers), strict=True))
        rated = [judgements[place] for place in range(len(prompts))]
        for name, marks in (
            ("right_answers", [one.is_right for one in rated if one.is_right is not None]),
            ("illegal_answers", [not one.is_legal for one in rated if one.is_legal is not None]),
        ):
            if marks:
                log_metric(name, sum(marks) / len(marks))
        return [judgement.reward for judgement in rated]

    def _run_epoch(self, **options: Any) -> None:
        # A run that was killed behind its last step has a checkpoint of the end; the library would train on from it.
        if self.state.global_step >= self.args.max_steps:
            self.control.should_training_stop = True
        else:
            super()._run_epoch(**options)

    # ---- the log --------------------------------------------------------------------------------

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Write one line of `metrics.jsonl`, and tell the callbacks."""
        super().log(logs, start_time)
        if "loss" not in logs:
            return  # the library's closing summary; run.json has ours
        if not math.isfinite(logs["loss"]):
            raise TrainingError(
                f"the loss became {logs['loss']} at step {self.state.global_step}",
                hint="lower --learning-rate, or go on from the last checkpoint with --resume",
            )
        figures = {ours: logs[theirs] for theirs, ours in FIGURES.items() if logs.get(theirs) is not None}
        figures |= {"seconds": round(self.seconds, 3), "memory_mb": round(peak_memory_bytes() / 1e6, 1)}
        self.recorder.log_metrics(TrainingMetrics.from_figures(self.state.global_step, figures))

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
        self._checkpoint_root = draft_root
        try:
            super(GRPOTrainer, self)._save_checkpoint(model, trial)  # TRL's own writes a card over the run's
            (draft_root / final.name / STATE_NAME).write_text(to_json({"seconds": self.seconds}), encoding="utf-8")
            checkpoints.seal(draft_root / final.name, final)
            checkpoints.remove_old(self.run_dir, self.max_checkpoints, None)
        except Exception as error:
            raise save_error(error, final) from error
        finally:
            self._checkpoint_root = None
            shutil.rmtree(draft_root, ignore_errors=True)

    def train_from(self, checkpoint: Path | None, seconds_before: float = 0.0) -> None:
        """Train to the end, from the start or from a checkpoint.

        Raises:
            TrainingError: a loss was not finite, a reward failed, the memory or the disk did not suffice.
        """
        self._seconds_before = seconds_before
        self._start_time = time.monotonic()
        try:
            output = self.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
        except Exception as error:
            told = in_our_words(error, checkpoint)
            if told is error:
                raise
            raise told from error
        self.mean_train_loss = float(output.training_loss)


class ShowReward(TrainerCallback):
    """Moves the progress display at each step, with the mean reward of its answers.

    Args:
        show: called with the step and a note.
    """

    def __init__(self, show: Callable[[int, str], None]) -> None:
        self._show = show

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: Mapping[str, float] | None = None,
        **_: Any,
    ) -> None:
        """Show the step; every step is logged."""
        if logs and "reward" in logs:
            self._show(state.global_step, f"reward {logs['reward']:.3f}")
