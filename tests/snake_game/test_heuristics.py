"""Players that follow a rule."""

from __future__ import annotations

import re
from collections import deque

import pytest

from shared_utils.errors import ConfigurationError
from snake_game.game import DIRECTIONS, RIGHT, UP, Game
from snake_game.hamiltonian import loop_numbers
from snake_game.heuristics import HEURISTICS, make_heuristic
from snake_game.matches import play


def games(name, size, count):
    return [play(Game(size, f"{name}{number}"), make_heuristic(name, number)) for number in range(count)]


def slow_distance(game):
    """Steps of a shortest free way from head to apple, found in another way than the heuristics do; None: none."""
    walls = {game.place(cell) for cell in list(game.body)[1:]}
    queue, seen = deque([(game.place(game.body[-1]), 0)]), set()
    while queue:
        (row, column), steps = queue.popleft()
        if (row, column) == game.place(game.apple):
            return steps
        for place in ((row - 1, column), (row, column + 1), (row + 1, column), (row, column - 1)):
            if place not in seen and place not in walls and all(0 <= number < game.size for number in place):
                seen.add(place)
                queue.append((place, steps + 1))
    return None


@pytest.mark.parametrize("size", range(4, 17))
def test_the_loop_leads_through_all_cells_back_to_its_start(size):
    """On a board of odd size two cells share a number, and either can take the place of the other."""
    game = Game(size, 0)
    numbers, length = loop_numbers(size)
    by_number = {}
    for cell in game.inner:
        by_number.setdefault(numbers[cell], []).append(cell)
    assert sorted(by_number) == list(range(length))
    assert len(game.inner) - length == size % 2
    for number, cells in by_number.items():
        for cell in cells:
            for after in by_number[(number + 1) % length]:
                assert after - cell in game.deltas


@pytest.mark.parametrize("size", [4, 5, 6, 7, 8, 9, 11, 12])
def test_hamiltonian_wins_on_every_size(size):
    assert {result.end for result in games("hamiltonian", size, 12)} == {"won"}


@pytest.mark.parametrize(("size", "number"), [(5, 1004), (5, 1177), (7, 587)])
def test_hamiltonian_leaves_an_apple_that_would_put_two_cells_of_the_snake_at_one_place_of_the_loop(size, number):
    """On boards of odd size, a few games in a thousand come to that."""
    assert play(Game(size, f"hamiltonian{number}"), make_heuristic("hamiltonian")).end == "won"


def test_hamiltonian_wins_on_10x10_in_fewer_than_1700_steps_on_average():
    results = games("hamiltonian", 10, 25)
    assert {result.end for result in results} == {"won"}
    assert sum(result.steps for result in results) / len(results) < 1700


def test_bfs_takes_the_shortest_way_whenever_there_is_one():
    for number in range(20):
        game, player = Game(7, number), make_heuristic("bfs")
        while not game.end:
            expected, start = slow_distance(game), game.steps
            if expected is None:
                game.step(player.choose(game).direction)
                continue
            while not game.step(player.choose(game).direction):
                assert not game.end
            assert game.steps - start == expected


def test_bfs_reaches_about_15_on_6x6():
    scores = [result.score for result in games("bfs", 6, 200)]
    assert 14 < sum(scores) / len(scores) < 17


def test_dfs_keeps_to_its_way_and_so_reaches_the_apple():
    """Replanned at every step it would only go to and fro."""
    results = games("dfs", 6, 50)
    assert "starved" not in {result.end for result in results}
    assert sum(result.score for result in results) / len(results) > 9


def test_astar_is_better_than_bfs_and_never_meets_its_body_while_it_cares():
    assert sum(result.score for result in games("astar", 6, 60)) > 1.3 * sum(
        result.score for result in games("bfs", 6, 60)
    )
    for number in (*range(20), 23, 460, 557):
        game, player = Game(5, number), make_heuristic("astar")
        while not game.end and 2 * game.hungry <= game.patience:
            game.step(player.choose(game).direction)
        assert game.end in ("", "won")


def test_greedy_comes_nearer_and_goes_straight_where_two_moves_do():
    game = Game(8, 0)
    game.set_position([(4, 4), (4, 3), (4, 2)], (2, 6))
    assert make_heuristic("greedy").choose(game).direction == RIGHT
    game.set_position([(4, 4), (4, 3), (4, 2)], (2, 4))
    assert make_heuristic("greedy").choose(game).direction == UP


@pytest.mark.parametrize("name", HEURISTICS)
def test_each_move_is_legal_and_has_one_sentence_that_names_it(name):
    for number in range(5):
        game, player = Game(6, number), make_heuristic(name, number)
        while not game.end:
            direction, reason = player.choose(game)
            assert direction in game.legal_moves()
            assert re.fullmatch(r"[A-Z][^.!?]*\.", reason.replace("A*", "A"))
            assert DIRECTIONS[direction] in reason or "every move ends the game" in reason
            game.step(direction)


@pytest.mark.parametrize("name", HEURISTICS)
def test_a_player_notices_that_the_game_is_another(name):
    """What it planned for one game must not be played in the next one."""
    player, first = make_heuristic(name, 1), Game(8, 1)
    player.choose(first)
    other = Game(8, 2)
    other.set_position([(0, 0), (1, 0), (2, 0)], (0, 5))
    assert player.choose(other).direction == RIGHT


def test_a_player_notices_that_the_game_went_on_without_it():
    game = Game(10, 1)
    game.set_position([(5, 5), (5, 4), (5, 3)], (0, 5))
    player = make_heuristic("bfs")
    assert player.choose(game).direction == UP
    game.step(RIGHT)
    game.step(RIGHT)
    assert "takes 7 steps" in player.choose(game).reason


def test_an_unknown_heuristic_is_told_with_the_nearest():
    with pytest.raises(ConfigurationError, match="unknown algorithm: hamilton") as error:
        make_heuristic("hamilton")
    assert error.value.hint == "did you mean hamiltonian?"
