"""The fixed positions and their right moves."""

from __future__ import annotations

import json

import pytest

from shared_utils.errors import DataValidationError
from shared_utils.file_utils import read_jsonl
from snake_game.game import DOWN, LEFT, RIGHT, UP, Game
from snake_game.positions import SHIPPED, as_row, load_positions, safe_moves, shipped_sizes, shortest_moves


def test_the_shipped_file_says_of_each_position_what_the_rules_say():
    """Each also has a legal move that is right and one that is wrong, so it can be failed by a player of legal moves."""
    rows = [row for _, row in read_jsonl(SHIPPED)]
    assert shipped_sizes() == {6, 8, 10}
    assert len({json.dumps([row["board"], row["body"], row["apple"]]) for row in rows}) == len(rows) == 900
    for board in (6, 8, 10):
        for position in load_positions(SHIPPED, board):
            game = position.game()
            assert set(shortest_moves(game)) == position.shortest
            assert set(safe_moves(game)) == position.safe
            right = position.shortest | position.safe
            assert right
            assert right < set(game.legal_moves())


def test_the_shipped_file_comes_from_its_script():
    from scripts.make_snake_positions import positions

    made = list(positions(6, 4, seed=7))
    assert made == [row for _, row in read_jsonl(SHIPPED)][:4]


def test_right_moves_of_a_position_by_hand():
    """The apple lies in a pocket out of which no way leads: either way is shortest, and none is safe."""
    game = Game(5, 0)
    game.set_position(
        [
            (1, 1),
            (2, 1),
            (3, 1),
            (3, 0),
            (4, 0),
            (4, 1),
            (4, 2),
            (3, 2),
            (2, 2),
            (1, 2),
            (0, 2),
            (0, 3),
            (0, 4),
            (1, 4),
        ],
        (0, 0),
    )
    assert game.legal_moves() == [UP, LEFT]
    assert shortest_moves(game) == [UP, LEFT]
    assert safe_moves(game) == []
    game.set_position([(2, 2), (2, 1), (2, 0)], (2, 4))
    assert shortest_moves(game) == [RIGHT]
    assert safe_moves(game) == [UP, RIGHT, DOWN]


def test_a_snake_that_eats_keeps_its_tail_where_it_is():
    """The apple is in the corner; the only way out of it is where the snake lies."""
    game = Game(5, 0)
    game.set_position([(3, 0), (3, 1), (4, 1), (4, 2)], (4, 0))
    assert shortest_moves(game) == [DOWN]
    assert safe_moves(game) == [UP]


def write(path, **changes):
    row = {**as_row("x", Game(6, 1)), **changes}
    path.write_text(
        json.dumps({key: value for key, value in row.items() if value is not None}) + "\n", encoding="utf-8"
    )
    return path


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"apple": None}, "line 1: 'apple' is missing"),
        ({"body": [[0, 0], [0, 2], [0, 3]]}, "line 1: not a position of Snake"),
        ({"body": [[0, 0], [0, "1"], [0, 2]]}, "rows and columns are whole numbers"),
        ({"body": 5}, "line 1: not a position of Snake"),
        ({"apple": [9, 9]}, "not on a board of 6x6"),
        ({"board": 99}, "not between 4 and 32"),
        ({"board": "6"}, "line 1: not a position of Snake"),
        ({"safe": ["north"]}, "moves are up, right, down, left"),
        ({"safe": [], "shortest": []}, "no move is right"),
        ({"board": 7}, "holds no position on a board of 6x6"),
    ],
)
def test_a_broken_file_of_positions_is_one_clear_line(tmp_path, changes, message):
    with pytest.raises(DataValidationError, match=message):
        load_positions(write(tmp_path / "positions.jsonl", **changes), 6)
