"""A language model, trained by the rewards of its answers, in a run folder that can be gone on with at any moment."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from shared_utils.console import Console
from shared_utils.errors import ConfigurationError, DataValidationError, Interrupted, missing_extra
from shared_utils.file_utils import ensure_output_dir, remove_leftovers, write_json_atomic, write_text_atomic
from shared_utils.language_tasks import Question
from shared_utils.model_names import STARTER, STARTER_NOTICE, locate_base
from shared_utils.processes import process_count
from shared_utils.run_lock import run_lock
from workflows.answer_measurement import Answers, answer_questions
from workflows.grpo_outputs import finish_run, run_record
from workflows.grpo_questions import QuestionSet, load_questions, order_of_run
from workflows.grpo_request import GRPORequest, resume_command
from workflows.preference_start import whole_model
from workflows.run_folder import RUN_FILE, checkpoint_to_resume, finished_result, refuse_foreign_files

MEASURED_TOGETHER = 32  # questions answered at once before and after the training
EXAMPLES = 8  # answers that a dry run asks for


def train_grpo(request: GRPORequest, console: Console) -> dict[str, object]:
    """Train, and leave a complete run folder; the summary of the run.

    Raises:
        ConfigurationError: TRL is missing, there are no questions, or the reward cannot be loaded.
        DataValidationError: unusable records, or a continuation with other data or settings.
        TrainingError: the reward failed, the loss was not finite, or the memory did not suffice.
        Interrupted: Ctrl-C or SIGTERM, after a checkpoint was written.
    """
    _check_possible()
    questions = load_questions(request)
    identity = request.identity(questions.fingerprint)
    ensure_output_dir(request.run_dir)
    with run_lock(request.run_dir):
        remove_leftovers(request.run_dir)
        resume_with = resume_command(request)
        summary = finished_result(request.run_dir, identity, resume=request.resume is not None, resume_with=resume_with)
        if summary is not None:
            console.info(f"{request.run_dir} is finished already")
            return summary
        refuse_foreign_files(request.run_dir)
        return _Run(request, questions, console).go(identity)


def dry_run(request: GRPORequest, console: Console) -> dict[str, object]:
    """Say what would be done, and what the first answers are worth; write nothing."""
    _check_possible()
    questions = load_questions(request)
    settings = request.settings
    model = whole_model(settings.model_name, console, may_merge=False)
    run = _Run(_with_model(request, model), questions, console)
    asked = questions.held_out[:EXAMPLES]
    started = time.monotonic()
    answers = run.measured(run.build_tuner(), asked)
    seconds = time.monotonic() - started
    trainable = run.parameters[0]
    console.info(
        f"{settings.training.max_steps} steps of {settings.training.questions_per_step} questions, "
        f"{settings.num_generations} answers to each; {len(questions.train)} questions to train on, "
        f"{len(questions.held_out)} held out; {trainable:,} parameters are trained"
    )
    for question, text, judgement in zip(asked, answers.texts, answers.judgements, strict=True):
        console.info(f"{question.id}: {text!r:.60} is worth {judgement.reward:g}")
    console.info("nothing was written")
    return {
        "run_dir": str(request.run_dir),
        "steps": settings.training.max_steps,
        "answers_per_step": settings.answers_per_step,
        "questions": len(questions.train),
        "held_out": len(questions.held_out),
        "trainable_parameters": trainable,
        "first_rewards": [judgement.reward for judgement in answers.judgements],
        "seconds_for_first_answers": round(seconds, 3),
    }


def _check_possible() -> None:
    if find_spec("trl") is None:
        raise missing_extra("grpo", "trl", "train-rl --algorithm grpo")
    if process_count() > 1:
        raise ConfigurationError(
            "train-rl runs in one process", hint="start it with python main.py train-rl, without a launcher"
        )


def _with_model(request: GRPORequest, name: str) -> GRPORequest:
    return replace(request, settings=request.settings.model_copy(update={"model_name": name}))


class _Run:
    """One training from its first or its last checkpoint to its end."""

    def __init__(self, request: GRPORequest, questions: QuestionSet, console: Console) -> None:
        self.request, self.questions, self.console = request, questions, console
        self.length = request.settings.max_completion_length or questions.answer_tokens
        self.parameters = (0, 0)

    def go(self, identity: dict[str, object]) -> dict[str, object]:
        """Measure, train, measure again, and write everything."""
        from training_methods.transfer_learning.recorders import metrics_logger
        from training_methods.transfer_learning.run_callbacks import StopOnSignal

        request, console, started = self.request, self.console, time.time()
        if request.settings.model_name == STARTER:
            console.info(STARTER_NOTICE)
        name = whole_model(request.settings.model_name, console)
        locate_base(name)
        checkpoint = checkpoint_to_resume(request.resume, request.run_dir, console)
        self.request = _with_model(request, name)
        tuner = self.build_tuner()
        record = run_record(self.request, identity, started)
        write_text_atomic(request.run_dir / "config.yaml", request.config_yaml)
        write_json_atomic(request.run_dir / RUN_FILE, record)
        console.info(
            f"{len(self.questions.train)} questions to train on, {len(self.questions.held_out)} held out, "
            f"from {request.source}"
        )
        before = self.measured(tuner, self.questions.held_out)
        stop = StopOnSignal()
        with metrics_logger(request.run_dir, request.logging, checkpoint) as metrics, stop:
            trainer = self._trainer(tuner, metrics, stop)
            self._train(trainer, checkpoint)
        if stop.number is not None:
            raise Interrupted(stop.number, hint=f"go on with: {resume_command(request)}")
        after = self.measured(tuner, self.questions.held_out)
        return finish_run(self.request, self.questions, tuner, trainer, before, after, record, checkpoint)

    def build_tuner(self) -> Any:
        """The model with new adapters, and its tokenizer.

        Raises:
            DataValidationError: the model has no end token, or reads less than a question and its answer.
        """
        from shared_utils.model_utils import pick_device, stop_token_ids
        from training_methods.transfer_learning.models.lora_model import LoRAFineTuner

        settings = self.request.settings
        tuner = LoRAFineTuner(
            settings.model_name,
            settings.lora_r,
            settings.lora_alpha,
            0.0,
            settings.target_modules,
            device=pick_device(self.request.device).type,
            seed=self.request.seed,
            chat_template=settings.chat_template,
        )
        if not stop_token_ids(tuner.tokenizer):
            raise DataValidationError(
                f"{settings.model_name} has no end token, so its answers would never end",
                hint="name one as eos_token in its tokenizer_config.json",
            )
        self.parameters = tuner.parameter_counts()
        _check_lengths(tuner, [*self.questions.train, *self.questions.held_out], self.length, settings.model_name)
        return tuner

    def measured(self, tuner: Any, questions: list[Question]) -> Answers:
        """The likeliest answers of the model as it is, and what they are worth."""
        from evaluation.language_metrics import generate_answers

        tuner.model.eval()
        return answer_questions(
            lambda asked: generate_answers(
                tuner.model, tuner.tokenizer, [one.messages for one in asked], self.length, MEASURED_TOGETHER
            ),
            self.questions.judge,
            questions,
        )

    def _trainer(self, tuner: Any, metrics: Any, stop: Any) -> Any:
        from training_methods.reinforcement_learning.language_models.run_trainer import GRPORunTrainer, grpo_arguments

        request, settings = self.request, self.request.settings
        training = settings.training
        trainer = GRPORunTrainer(
            tuner.model,
            tuner.tokenizer,
            grpo_arguments(request.run_dir, settings, self.length, tuner.device, request.seed),
            self.questions.train,
            order_of_run(len(self.questions.train), training.max_steps, training.questions_per_step, request.seed),
            self.questions.judge,
            metrics,
            request.checkpoint.max_checkpoints,
        )
        trainer.add_callback(stop)
        return trainer

    def _train(self, trainer: Any, checkpoint: Path | None) -> None:
        from training_methods.reinforcement_learning.language_models.run_trainer import ShowReward
        from training_methods.transfer_learning.checkpoints import step_of
        from training_methods.transfer_learning.run_metrics import METRICS_NAME, cut_metrics
        from training_methods.transfer_learning.run_trainer import STATE_NAME

        first = step_of(checkpoint) if checkpoint else 0
        cut_metrics(self.request.run_dir / METRICS_NAME, first)
        seconds = 0.0
        if checkpoint is not None:
            seconds = json.loads((checkpoint / STATE_NAME).read_text(encoding="utf-8"))["seconds"]
        with self.console.progress(self.request.settings.training.max_steps, "training") as progress:
            progress.go_on_from(first)
            trainer.add_callback(ShowReward(progress.move_to))
            trainer.train_from(checkpoint, seconds)


def _check_lengths(tuner: Any, questions: list[Question], length: int, name: str) -> None:
    from shared_utils.prompt_formats import RecordEncoder

    limit = getattr(tuner.model.config.get_text_config(), "max_position_embeddings", None)
    if not limit:
        return
    encoder = RecordEncoder(tuner.tokenizer, 0)
    for question in questions:
        tokens = len(encoder.prompt(question.messages))
        if tokens + length > limit:
            raise DataValidationError(
                f"{question.id} has {tokens} tokens and its answer up to {length}, but {name} reads at most {limit}",
                hint="use --max-completion-length, shorter questions, a smaller board, or a model that reads more",
            )
