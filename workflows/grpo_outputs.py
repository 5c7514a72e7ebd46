"""What a training by rewards leaves behind: its summary, model, answers, card, curves and `run.json`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from shared_utils.bug_report import package_versions
from shared_utils.file_utils import write_json_atomic, write_jsonl_atomic, write_text_atomic
from workflows.answer_measurement import Answers, compare, in_words
from workflows.fine_tuning_request import flat_settings
from workflows.grpo_questions import QuestionSet
from workflows.grpo_request import GRPORequest, resume_command
from workflows.run_folder import RUN_FILE, save_model, timestamp

ANSWERS_FILE = "answers.jsonl"


def run_record(request: GRPORequest, identity: dict[str, object], started: float) -> dict[str, object]:
    """What `run.json` says while the run goes on."""
    return {
        "status": "running",
        "command": resume_command(request).removesuffix(" --resume"),
        "algorithm": "grpo",
        "model": request.settings.model_name,
        "seed": request.seed,
        "identity": identity,
        "versions": package_versions(),
        "started": timestamp(started),
        "result": None,
    }


def finish_run(
    request: GRPORequest,
    questions: QuestionSet,
    tuner: Any,
    trainer: Any,
    before: Answers,
    after: Answers,
    record: dict[str, object],
    checkpoint: Path | None,
) -> dict[str, object]:
    """Write the model, the answers, card and curves; `run.json` says `done` only when all of it stands."""
    from shared_utils.training_logging import TrainingLoggingUtils
    from training_methods.reinforcement_learning.language_models.reward_curves import write_reward_curves

    run_dir = request.run_dir
    summary = _summary(request, questions, tuner, trainer, checkpoint)
    summary["held_out"] = len(questions.held_out)
    summary["measured"] = compare(before, after, request.confidence)
    save_model(run_dir, tuner)
    write_jsonl_atomic(run_dir / ANSWERS_FILE, _answers(questions, before, after))
    write_text_atomic(run_dir / "README.md", _card(request, summary))
    title = f"{Path(request.settings.model_name).name}, GRPO on {Path(request.source).name}"
    write_reward_curves(run_dir / "curves.png", TrainingLoggingUtils.read_metrics(run_dir), title)
    write_json_atomic(run_dir / RUN_FILE, {**record, "status": "done", "finished": timestamp(), "result": summary})
    return summary


def _summary(
    request: GRPORequest, questions: QuestionSet, tuner: Any, trainer: Any, checkpoint: Path | None
) -> dict[str, Any]:
    trainable, total = tuner.parameter_counts()
    steps = trainer.state.global_step
    return {
        "run_dir": str(request.run_dir),
        "algorithm": "grpo",
        "model": request.settings.model_name,
        "env": request.environment.id if request.environment else None,
        "reward": request.settings.reward,
        "trainable_parameters": trainable,
        "total_parameters": total,
        "steps": steps,
        "answers": steps * request.settings.answers_per_step,
        "questions": len(questions.train),
        "train_loss": trainer.mean_train_loss,
        "seconds": round(trainer.seconds, 2),
        "confidence": request.confidence,
        "resumed_from": str(checkpoint) if checkpoint else None,
    }


def _answers(questions: QuestionSet, before: Answers, after: Answers) -> Iterator[dict[str, object]]:
    for index, question in enumerate(questions.held_out):
        yield {
            "id": question.id,
            "before": before.texts[index],
            "after": after.texts[index],
            "reward_before": before.judgements[index].reward,
            "reward_after": after.judgements[index].reward,
        }


def _card(request: GRPORequest, summary: dict[str, Any]) -> str:
    from training_methods.reinforcement_learning.language_models.grpo_card import GRPOFacts, grpo_card

    return grpo_card(
        GRPOFacts(
            base_model=request.settings.model_name,
            source=request.source,
            arguments=request.environment.kwargs if request.environment else {},
            reward=request.settings.reward or "the environment's",
            seed=request.seed,
            settings=flat_settings(request.settings.model_dump(mode="json")),
            summary=summary,
            figures=list(in_words(summary["measured"])),
            versions=package_versions(),
        )
    )
