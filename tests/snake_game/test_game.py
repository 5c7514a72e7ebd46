"""The rules of Snake."""

from __future__ import annotations

import ast
import sys
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snake_game.game import DOWN, LEFT, NO_APPLE, RIGHT, START_LENGTH, UP, Game
from tests.conftest import ROOT


def at(size, body, apple, **arguments):
    game = Game(size, seed=0, **arguments)
    game.set_position(body, apple)
    return game


def test_the_rules_need_nothing_but_python():
    tree = ast.parse((ROOT / "snake_game" / "game.py").read_text(encoding="utf-8"))
    modules = [node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    modules += [alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names]
    assert {name.split(".")[0] for name in modules} <= sys.stdlib_module_names


def test_the_snake_starts_in_the_middle_three_long_heading_right():
    game = Game(6, seed=1)
    assert [game.place(cell) for cell in game.body] == [(3, 1), (3, 2), (3, 3)]
    assert game.direction == RIGHT
    assert game.apple not in game.body


@pytest.mark.parametrize("size", [3, 33, 0, -5])
def test_a_board_has_4_to_32_cells_a_side(size):
    with pytest.raises(ValueError, match="not between 4 and 32"):
        Game(size)


def test_an_apple_makes_the_snake_longer_and_the_score_higher():
    game = at(6, [(2, 2), (2, 1), (2, 0)], apple=(2, 3))
    assert game.step(RIGHT)
    assert [game.place(cell) for cell in game.body] == [(2, 0), (2, 1), (2, 2), (2, 3)]
    assert (game.score, game.hungry, game.steps, game.end) == (1, 0, 1, "")


@pytest.mark.parametrize(
    ("body", "move", "end"),
    [
        ([(0, 2), (0, 1), (0, 0)], UP, "wall"),
        ([(2, 5), (2, 4), (2, 3)], RIGHT, "wall"),
        ([(2, 2), (2, 3), (3, 3), (3, 2), (3, 1)], DOWN, "body"),
    ],
)
def test_a_snake_dies_in_the_wall_or_in_itself(body, move, end):
    game = at(6, body, apple=(5, 5))
    game.step(move)
    assert game.end == end


def test_the_cell_that_the_tail_leaves_is_free():
    """A snake in a ring may follow itself for ever."""
    game = at(6, [(2, 2), (2, 3), (3, 3), (3, 2)], apple=(5, 5))
    assert DOWN in game.legal_moves()
    game.step(DOWN)
    assert game.end == ""


def test_straight_back_is_counted_and_the_snake_goes_straight_on():
    game = at(6, [(2, 2), (2, 1), (2, 0)], apple=(5, 5))
    game.step(LEFT)
    assert game.place(game.body[-1]) == (2, 3)
    assert game.invalid == 1


def test_a_full_board_is_won_and_has_no_apple():
    rows = [(0, [0, 1, 2, 3]), (1, [3, 2, 1, 0]), (2, [0, 1, 2, 3]), (3, [3, 2, 1, 0])]
    path = [(row, column) for row, columns in rows for column in columns]
    game = at(4, path[1:], apple=path[0])
    game.step(LEFT)
    assert game.end == "won"
    assert game.apple == NO_APPLE
    assert game.score == 1


def test_a_snake_that_does_not_eat_is_given_up():
    game = at(6, [(2, 2), (2, 3), (3, 3), (3, 2)], apple=(5, 5), patience=4)
    for move in (DOWN, RIGHT, UP, LEFT):
        assert not game.end
        game.step(move)
    assert game.end == "starved"


def test_where_every_move_is_deadly_all_but_the_one_back_are_legal():
    game = at(6, [(0, 0), (0, 1), (1, 1), (1, 0), (2, 0), (2, 1)], apple=(5, 5))
    assert game.direction == LEFT
    assert game.legal_moves() == [UP, DOWN, LEFT]


def test_a_seed_gives_the_same_apples_and_another_seed_others():
    assert Game(10, 5).apple == Game(10, 5).apple
    assert len({Game(10, seed).apple for seed in range(50)}) > 20


def test_apples_lie_anywhere_that_is_free():
    game = Game(4, seed=3)
    seen = set()
    for _ in range(2000):
        game.reset()
        seen.add(game.apple)
    assert seen == set(game.inner) - set(game.body)


@pytest.mark.parametrize(
    ("body", "apple", "message"),
    [
        ([(2, 2), (2, 1)], (0, 0), "3 or more"),
        ([(2, 2), (2, 1), (2, 2)], (0, 0), "different cells"),
        ([(2, 2), (2, 0), (2, 1)], (0, 0), "beside the next"),
        ([(0, 0), (0, -1), (0, -2)], (3, 3), "not on a board"),
        ([(2, 2), (2, 1), (2, 0)], (4, 9), "not on a board"),
        ([(2, 2), (2, 1), (2, 0)], (2, 1), "apple lies on the snake"),
        ([(1, 0), (0, 5), (0, 4)], (3, 3), "beside the next"),
    ],
)
def test_an_impossible_position_is_refused(body, apple, message):
    with pytest.raises(ValueError, match=message):
        at(6, body, apple)


@given(size=st.integers(4, 9), seed=st.integers(0, 2**32), moves=st.lists(st.integers(0, 3), max_size=120))
def test_a_game_stays_whole_whatever_is_played(size, seed, moves):
    """The snake is connected, marked on the board and on no other cell, and the apple is free, until the end."""
    game = Game(size, seed)
    for move in moves:
        legal = game.legal_moves()
        before = len(game.body)
        has_eaten = game.step(move)
        body = list(game.body)
        assert [cell for cell in game.inner if game.blocked[cell]] == sorted(body)
        assert {after - here for here, after in pairwise(body)} <= set(game.deltas)
        assert len(body) == before + has_eaten == START_LENGTH + game.score
        if move in legal and len(legal) > 1:
            assert game.end in ("", "won", "starved") or not any(
                game.blocked[body[-1] + delta] == 0 for delta in game.deltas
            )
        if game.end:
            return
        assert game.blocked[game.apple] == 0
