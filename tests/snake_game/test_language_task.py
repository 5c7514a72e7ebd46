"""Positions of Snake as questions: which there are, and what answers are worth."""

from __future__ import annotations

import gymnasium
import pytest

from shared_utils.language_tasks import LanguageTask, Question
from snake_game.board_text import INSTRUCTION
from snake_game.environment import ID, register
from snake_game.language_task import SnakeTask

ASKED = Question("q", "", {"legal": ["up", "left", "down"], "shortest": ["up", "left"], "safe": ["up"]})


@pytest.mark.parametrize(
    ("answer", "reward", "is_right", "is_legal"),
    [
        ("up", 1.0, True, True),
        ("Up\nGo up: the way is free.", 1.0, True, True),
        ("  up.", 1.0, True, True),
        ("left", 0.5, True, True),
        ("down", 0.0, False, True),
        ("right", -1.0, False, False),
        ("", -1.0, False, False),
        ("go up", -1.0, False, False),
        ("upward", -1.0, False, False),
        ("1. up", -1.0, False, False),
    ],
)
def test_an_answer_is_worth_what_its_first_word_is(answer, reward, is_right, is_legal):
    judgement = SnakeTask(4).judge(ASKED, answer)
    assert (judgement.reward, judgement.is_right, judgement.is_legal) == (reward, is_right, is_legal)


def test_a_safe_move_that_is_no_way_to_the_apple_is_worth_half():
    asked = Question("q", "", {"legal": ["up", "left"], "shortest": ["left"], "safe": ["up"]})
    assert [SnakeTask(4).judge(asked, word).reward for word in ("up", "left")] == [0.5, 0.5]


@pytest.mark.parametrize("board", [4, 6])
def test_questions_differ_come_again_with_their_seed_and_part_right_moves_from_wrong_ones(board):
    task = SnakeTask(board)
    questions = task.questions(40, 7)
    assert len({question.prompt for question in questions}) == 40
    assert questions == task.questions(40, 7)
    assert questions != task.questions(40, 8)
    for question in questions:
        facts = question.facts
        right = {*facts["shortest"], *facts["safe"]}
        assert right
        assert set(facts["legal"]) - right
        assert question.prompt.startswith(INSTRUCTION)
        assert f"Legal moves: {', '.join(facts['legal'])}." in question.prompt


def test_the_environment_offers_the_task():
    register()
    task = gymnasium.make(ID, board=5).unwrapped.language_task()
    assert isinstance(task, LanguageTask)
    assert task.questions(1, 0)[0].facts["board"] == 5
