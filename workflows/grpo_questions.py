"""What a model is asked while rewards train it, and what is kept to measure it: from an environment or from files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from shared_utils.data_loader import UnusableRecord, iter_rows, record_files, split_records, usable_record
from shared_utils.errors import ConfigurationError, DataValidationError, TrainingError
from shared_utils.file_utils import sha256_of, sha256_of_text
from shared_utils.language_tasks import LanguageTask, Question
from shared_utils.records import Record
from training_methods.reinforcement_learning.language_models.rewards import FunctionJudge, Judge, TaskJudge, load_reward
from training_methods.reinforcement_learning.settings import EnvironmentSettings
from workflows.grpo_request import GRPORequest

HELD_OUT_SEEDS = 2**32  # held-out questions are drawn with the seed plus this
FILE_ANSWER_TOKENS = 256


@dataclass(frozen=True)
class QuestionSet:
    """The questions of a run.

    Attributes:
        train, held_out: no question stands in both.
        judge: rates the answers.
        answer_tokens: how long answers may be where the settings do not say.
        fingerprint: of the files; empty for an environment.
    """

    train: list[Question]
    held_out: list[Question]
    judge: Judge
    answer_tokens: int
    fingerprint: str


def load_questions(request: GRPORequest) -> QuestionSet:
    """The questions and their judge.

    Raises:
        ConfigurationError: the environment has no questions, or the reward cannot be loaded.
        DataValidationError: a file cannot be read, or has no question.
        TrainingError: the environment failed.
    """
    reward = request.settings.reward
    if request.environment is None:
        if reward is None:
            raise ConfigurationError("questions from files need a reward", hint="use --reward path/to/file.py:function")
        own = FunctionJudge(load_reward(reward), reward)
        train, held_out, fingerprint = _from_files(request)
        return QuestionSet(train, held_out, own, FILE_ANSWER_TOKENS, fingerprint)
    name = request.environment.id
    task = _task_of(request.environment)
    judge: Judge = FunctionJudge(load_reward(reward), reward, task) if reward else TaskJudge(task, name)
    train, held_out = _from_task(task, name, request)
    return QuestionSet(train, held_out, judge, task.answer_tokens, "")


def order_of_run(questions: int, steps: int, per_step: int, seed: int) -> list[int]:
    """The questions of all steps, one after the other: each once before any comes again, in an order by chance."""
    draw = Random(f"order:{seed}")
    order: list[int] = []
    while len(order) < steps * per_step:
        order += draw.sample(range(questions), questions)
    return order[: steps * per_step]


def _task_of(environment: EnvironmentSettings) -> LanguageTask:
    from training_methods.reinforcement_learning.environments import EnvironmentSource, make_environment
    from workflows.reinforcement_learning import register_own_environments

    register_own_environments()
    env = make_environment(EnvironmentSource(environment.id, environment.kwargs))
    try:
        offer = getattr(env.unwrapped, "language_task", None)
        if offer is None:
            raise ConfigurationError(
                f"{environment.id} has no questions for a language model",
                hint="use --env LLMToolkit/Snake-v0, an environment with a method language_task (see "
                "docs/reinforcement-learning.md), or --train-data with --reward",
            )
        try:
            task = offer()
        except Exception as error:
            raise _failed(environment.id, "language_task", error) from error
    finally:
        env.close()
    if not isinstance(task, LanguageTask):
        raise ConfigurationError(
            f"language_task of {environment.id} returned a {type(task).__name__}, which is no LanguageTask",
            hint="it needs answer_tokens, questions(count, seed) and judge(question, answer)",
        )
    return task


def _from_task(task: LanguageTask, name: str, request: GRPORequest) -> tuple[list[Question], list[Question]]:
    training = request.settings.training
    try:
        held_out = list(task.questions(training.eval_questions, request.seed + HELD_OUT_SEEDS))
        train = list(task.questions(training.train_questions, request.seed))
        kinds = {type(question).__name__ for question in (*held_out, *train) if not isinstance(question, Question)}
        if kinds:
            raise TypeError(f"a list of Question is needed, not of {', '.join(sorted(kinds))}")
    except Exception as error:
        raise _failed(name, "questions", error) from error
    kept = {str(question.prompt) for question in held_out}
    train = [question for question in train if str(question.prompt) not in kept]
    if not train or len(held_out) < 2:
        raise TrainingError(
            f"{name} gave {len(train)} questions to train on and {len(held_out)} others to measure with",
            hint="at least one and two are needed; check --env-kwargs",
        )
    return train, held_out


def _failed(name: str, what: str, error: Exception) -> TrainingError:
    return TrainingError(
        f"{what} of {name} failed: {type(error).__name__}: {error!s:.200}", hint="the fault lies in the environment"
    )


def _from_files(request: GRPORequest) -> tuple[list[Question], list[Question], str]:
    paths = request.train_data
    questions: list[Question] = []
    for where, row in iter_rows(paths):
        try:
            questions.append(to_question(row, where))
        except UnusableRecord:
            continue  # an empty prompt
    rows: list[Record] = [
        {"id": str(number), "source": question.id, "messages": question.messages}
        for number, question in enumerate(questions)
    ]
    train, held_out = split_records(rows, request.settings.training.eval_split)
    if len(held_out) < 2:
        raise DataValidationError(
            f"{', '.join(paths)}: {len(questions)} usable questions are too few to hold out two for the measurement",
            hint="give more records, or raise reinforcement_learning.grpo.training.eval_split",
        )
    fingerprint = sha256_of_text(*sorted(sha256_of(path) for path in record_files(paths)))
    return _chosen(questions, train), _chosen(questions, held_out), fingerprint


def _chosen(questions: Sequence[Question], rows: Sequence[Record]) -> list[Question]:
    return [questions[int(row["id"])] for row in rows]


def to_question(row: Mapping[str, Any], where: str) -> Question:
    """One record of a file as a question; its answer, where it has one, becomes the fact `reference`.

    Every kind of record with an answer is taken, and besides {"prompt": "...", "reference": ...}, where `reference`
    may be anything or missing. All other fields of the record become facts, too.

    Raises:
        UnusableRecord: the prompt is empty.
        DataValidationError: it is of no known kind, or has no question.
    """
    name = str(row.get("id") or where)
    if "prompt" in row and "completion" not in row:
        if not isinstance(row["prompt"], str) or not row["prompt"].strip():
            raise UnusableRecord(where, "an empty prompt, or one that is no text")
        facts = {key: value for key, value in row.items() if key not in ("id", "prompt")}
        return Question(name, row["prompt"], {"reference": None, **facts})
    record = usable_record(row, where)
    messages = record.get("messages") or []
    if len(messages) < 2 or messages[-1]["role"] != "assistant":
        raise DataValidationError(
            f"{where}: a question to answer is needed", hint='for example {"prompt": "2 + 2?", "reference": "4"}'
        )
    facts = {key: value for key, value in row.items() if key not in ("id", "messages", "conversations", "prompt")}
    return Question(name, _prompt(messages[:-1]), {**facts, "reference": messages[-1]["content"]})


def _prompt(messages: Sequence[Any]) -> Any:
    return messages[0]["content"] if len(messages) == 1 and messages[0]["role"] == "user" else list(messages)
