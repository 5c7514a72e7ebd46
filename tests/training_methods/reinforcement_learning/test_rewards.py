"""Rewards of one's own: how they are called, and what is told when they are wrong."""

from __future__ import annotations

import math

import pytest

from shared_utils.errors import ConfigurationError, LLMToolkitError, TrainingError
from shared_utils.language_tasks import Judgement, Question
from training_methods.reinforcement_learning.language_models.rewards import FunctionJudge, TaskJudge, load_reward

ASKED = Question("box 7", "What is in it?", {"reference": "pears"})


class Pears:
    answer_tokens = 4

    def questions(self, count, seed):
        return []

    def judge(self, question, answer):
        if answer == "crash":
            raise RuntimeError("no idea")
        return Judgement(math.nan if answer == "nan" else 1.0, answer == "pears", answer != "")


def test_a_function_gets_all_answers_to_a_question_and_its_facts():
    calls = []

    def reward(answers, question):
        calls.append((answers, question))
        return [len(answer) for answer in answers]

    judged = FunctionJudge(reward, "r").rate(ASKED, ["a", "bb"])
    assert [(one.reward, one.is_right, one.is_legal) for one in judged] == [(1.0, None, None), (2.0, None, None)]
    assert calls == [(["a", "bb"], {"id": "box 7", "prompt": "What is in it?", "reference": "pears"})]


def test_with_a_task_the_function_rewards_and_the_task_says_what_is_right():
    judged = FunctionJudge(lambda answers, question: [5.0] * len(answers), "r", Pears()).rate(ASKED, ["pears", ""])
    assert judged == [Judgement(5.0, True, True), Judgement(5.0, False, False)]


@pytest.mark.parametrize(
    ("function", "told"),
    [
        (lambda answers, question: 1 / 0, "failed on box 7: ZeroDivisionError"),
        (lambda answers: [1.0], "failed on box 7: TypeError"),
        (lambda answers, question: [math.nan] * 2, "returned nan for the answer 'a' to box 7"),
        (lambda answers, question: [1.0, math.inf], "returned inf for the answer 'b' to box 7"),
        (lambda answers, question: [1.0], "returned 1 rewards for 2 answers to box 7"),
        (lambda answers, question: 1.0, "returned 1.0 and no list, for box 7"),
        (lambda answers, question: [None, 1.0], "returned None and no number, for box 7"),
    ],
)
def test_a_reward_that_is_wrong_is_told_with_its_record(function, told):
    with pytest.raises(TrainingError) as error:
        FunctionJudge(function, "mine.py:reward").rate(ASKED, ["a", "b"])
    assert error.value.message.startswith("the reward mine.py:reward " + told)
    assert "the fault lies in the reward" in error.value.hint


@pytest.mark.parametrize(
    ("answer", "told"), [("crash", "failed on box 7: RuntimeError: no idea"), ("nan", "returned nan")]
)
def test_a_task_that_fails_is_told_with_its_record(answer, told):
    with pytest.raises(TrainingError, match=told):
        TaskJudge(Pears(), "Pears-v0").rate(ASKED, [answer])


def test_a_function_is_loaded_from_a_file_or_a_module(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text("def reward(answers, question):\n    return [0.25 for _ in answers]\n", encoding="utf-8")
    assert load_reward(f"{path}:reward")(["x"], {}) == [0.25]
    assert load_reward("statistics:mean") is __import__("statistics").mean


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("{0}/absent.py:reward", "no file"),
        ("no_such_module_at_all:reward", "no module 'no_such_module_at_all'"),
        ("{0}/mine.py:other", "has no function 'other'"),
        ("{0}/mine.py:number", "has no function 'number'"),
        ("reward", "a file or module and a function are needed"),
        ("{0}/broken.py:reward", "could not be imported: ValueError: oh"),
        ("{0}/needy.py:reward", "needs the package 'no_such_package_at_all'"),
    ],
)
def test_a_reward_that_cannot_be_loaded_is_told_in_one_line(tmp_path, name, told):
    (tmp_path / "mine.py").write_text("number = 3\n", encoding="utf-8")
    (tmp_path / "broken.py").write_text("raise ValueError('oh')\n", encoding="utf-8")
    (tmp_path / "needy.py").write_text("import no_such_package_at_all\n", encoding="utf-8")
    with pytest.raises(LLMToolkitError) as error:
        load_reward(name.format(tmp_path))
    assert told in error.value.message
    assert "environment" not in error.value.message + error.value.hint
    assert isinstance(error.value, ConfigurationError) == ("broken" not in name)
