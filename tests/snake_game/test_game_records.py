"""Played games as training records."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared_utils.data_loader import to_record
from snake_game.board_text import INSTRUCTION, board_text, parse_answer
from snake_game.game_records import Share, new_game, record_lines


def everything(step):
    return True


@pytest.mark.parametrize("algorithm", ["bfs", "astar", "dfs", "hamiltonian"])
def test_each_step_of_a_game_is_a_record_that_training_takes(algorithm):
    """The board, the legal moves, the move and the reason, as the game had them."""
    rows = [json.loads(line) for line in record_lines(algorithm, 6, 42, 3, everything)]
    game, player = new_game(algorithm, 6, 42, 3)
    for row in rows:
        move = player.choose(game)
        assert row["instruction"] == INSTRUCTION
        assert row["input"].startswith(board_text(game) + "\nHead: row ")
        assert parse_answer(row["output"]) == move.direction
        assert row["output"].splitlines()[1] == move.reason
        assert row["metadata"] == {
            "algorithm": algorithm, "board": 6, "game": 3, "step": game.steps, "score": game.score,
        }  # fmt: skip
        assert to_record(row, "here")["messages"][1]["content"] == row["output"]
        game.step(move.direction)
    assert game.end
    assert len({row["id"] for row in rows}) == len(rows) == game.steps


def test_a_model_is_asked_in_the_words_that_it_was_trained_on():
    from workflows.snake_players import messages_about

    first = json.loads(next(record_lines("dfs", 6, 42, 3, everything)))
    assert messages_about(new_game("dfs", 6, 42, 3)[0]) == to_record(first, "here")["messages"][:1]


@given(total=st.integers(1, 300), data=st.data())
def test_a_share_takes_as_many_as_asked_for_evenly_spread(total, data):
    taken = data.draw(st.integers(0, total))
    chosen = [index for index in range(total) if Share(0, taken, total).takes(index)]
    assert len(chosen) == taken
    gaps = [after - before for before, after in pairwise(chosen)]
    assert not gaps or max(gaps) - min(gaps) <= 1
    cut = data.draw(st.integers(0, total))
    pieces = [index for index in range(cut) if Share(0, taken, total).takes(index)]
    pieces += [cut + index for index in range(total - cut) if Share(cut, taken, total).takes(index)]
    assert pieces == chosen
