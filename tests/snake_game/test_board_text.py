"""The game as words."""

from __future__ import annotations

import pytest

from snake_game.board_text import BoardCanvas, answer, board_text, parse_answer, question
from snake_game.game import DOWN, Game
from snake_game.heuristics import make_heuristic

BOARD = """\
. . . . . .
. . . A . .
v < . . . .
> > > H . .
. . . . . .
. . . . . ."""


def position():
    game = Game(6, 0)
    game.set_position([(3, 3), (3, 2), (3, 1), (3, 0), (2, 0), (2, 1)], (1, 3))
    return game


def test_a_board_shows_where_each_cell_of_the_snake_leads():
    assert board_text(position()) == BOARD


def test_a_question_tells_what_a_player_must_know():
    assert question(position()) == (
        BOARD + "\nHead: row 4, column 4. Apple: row 2, column 4. Length: 6.\nLegal moves: up, right, down."
    )


@pytest.mark.parametrize(("name", "size"), [("hamiltonian", 6), ("dfs", 8), ("astar", 5)])
def test_a_canvas_that_is_kept_up_shows_the_same_as_a_new_one(name, size):
    game, player = Game(size, 4), make_heuristic(name)
    canvas = BoardCanvas(game)
    while not game.end:
        assert canvas.text() == board_text(game)
        game.step(player.choose(game).direction)
        if not game.end or game.end == "won":
            canvas.update()
    assert game.end != "won" or canvas.text() == board_text(game)


@pytest.mark.parametrize("text", ["down\nGo down: it is near.", " Down", "DOWN.", "down: because"])
def test_an_answer_is_a_move_when_its_first_word_is(text):
    assert parse_answer(text) == DOWN


@pytest.mark.parametrize("text", ["", "Go down", "downwards", "I would go down", "south", "\n\n", "-", "2"])
def test_nothing_is_guessed_from_an_answer_that_begins_otherwise(text):
    assert parse_answer(text) is None


def test_the_answer_of_a_record_can_be_read_back():
    assert parse_answer(answer(DOWN, "Because.")) == DOWN
