"""What answers are worth: the judge of an environment, or a function of the user's.

def reward(answers, question):
    '''One number for each of several answers to one question.

    answers: what the model said, as texts; question: a dict with `id`, `prompt`, and the facts of the
    environment or the fields of the record, with its answer as `reference`.
    '''
    return [float(question["reference"] in answer) for answer in answers]
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from shared_utils.errors import ConfigurationError, TrainingError
from shared_utils.language_tasks import Judgement, LanguageTask, Question
from training_methods.reinforcement_learning.environments import module_of

RewardFunction = Callable[[list[str], dict[str, Any]], Sequence[float]]


class Judge(Protocol):
    """Rates answers."""

    def rate(self, question: Question, answers: Sequence[str]) -> list[Judgement]:
        """How good each of several answers to one question is."""
        ...


class TaskJudge:
    """The reward of an environment.

    Args:
        task: of the environment.
        name: of the environment, for errors.
    """

    def __init__(self, task: LanguageTask, name: str) -> None:
        self._task, self._name = task, name

    def rate(self, question: Question, answers: Sequence[str]) -> list[Judgement]:
        """How good each answer is.

        Raises:
            TrainingError: the environment failed, or gave no number.
        """
        return [self._judgement(question, answer) for answer in answers]

    def _judgement(self, question: Question, answer: str) -> Judgement:
        try:
            judgement = self._task.judge(question, answer)
            reward = float(judgement.reward)
        except Exception as error:
            raise _failed(self._name, question, error) from error
        _check_finite(self._name, question, answer, reward)
        return judgement


class FunctionJudge:
    """The reward of a function of the user's.

    Args:
        function: called with the answers to one question, and the question.
        name: as the user gave it.
        task: says besides which answers are right and legal; None where there is no environment.
    """

    def __init__(self, function: RewardFunction, name: str, task: LanguageTask | None = None) -> None:
        self._function, self._name, self._task = function, name, task

    def rate(self, question: Question, answers: Sequence[str]) -> list[Judgement]:
        """How good each answer is.

        Raises:
            TrainingError: the function failed, or did not return a finite number for each answer.
        """
        asked = {**question.facts, "id": question.id, "prompt": question.prompt}
        try:
            returned = self._function(list(answers), asked)
        except Exception as error:
            raise _failed(self._name, question, error) from error
        rewards = [self._number(question, one) for one in self._listed(question, returned, len(answers))]
        for answer, reward in zip(answers, rewards, strict=True):
            _check_finite(self._name, question, answer, reward)
        if self._task is None:
            return [Judgement(reward) for reward in rewards]
        told = TaskJudge(self._task, self._name).rate(question, answers)
        return [
            Judgement(reward, judgement.is_right, judgement.is_legal)
            for reward, judgement in zip(rewards, told, strict=True)
        ]

    def _listed(self, question: Question, returned: object, expected: int) -> list[Any]:
        try:
            values = list(returned)  # type: ignore[call-overload]
        except TypeError:
            raise _wrong(self._name, f"returned {returned!r:.60} and no list, for {question.id}") from None
        if len(values) != expected:
            raise _wrong(self._name, f"returned {len(values)} rewards for {expected} answers to {question.id}")
        return values

    def _number(self, question: Question, value: Any) -> float:
        try:
            return float(value)
        except (TypeError, ValueError):
            raise _wrong(self._name, f"returned {value!r:.60} and no number, for {question.id}") from None


def load_reward(name: str) -> RewardFunction:
    """The function that `module:function` or `path/to/file.py:function` names; its module is run.

    Raises:
        ConfigurationError: there is no such file, module or function.
    """
    place, separator, attribute = name.rpartition(":")
    if not separator or not place:
        raise ConfigurationError(
            f"--reward {name}: a file or module and a function are needed", hint="for example path/to/file.py:function"
        )
    found = getattr(module_of(place, "reward"), attribute, None)
    if not callable(found):
        raise ConfigurationError(f"{place} has no function '{attribute}'", hint="check the name after the colon")
    function: RewardFunction = found
    return function


def _failed(name: str, question: Question, error: Exception) -> TrainingError:
    return _wrong(name, f"failed on {question.id}: {type(error).__name__}: {error!s:.200}")


def _check_finite(name: str, question: Question, answer: str, reward: float) -> None:
    if not math.isfinite(reward):
        raise _wrong(name, f"returned {reward} for the answer {answer!r:.60} to {question.id}")


def _wrong(name: str, what: str) -> TrainingError:
    return TrainingError(
        f"the reward {name} {what}",
        hint="the fault lies in the reward: it takes a list of answers and the question, and returns a number for each",
    )
