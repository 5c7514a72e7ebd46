"""The game as a gymnasium environment, one by one and many at once."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode

from shared_utils.errors import ConfigurationError
from snake_game.environment import ID, SnakeEnv, register
from snake_game.game import LEFT, UP, Game
from snake_game.heuristics import make_heuristic
from snake_game.observations import action_mask, observe
from snake_game.vector_environment import SnakeVectorEnv

register()


@pytest.mark.parametrize("observation", ["grid", "cells", "features", "text"])
@pytest.mark.parametrize("board", [4, 9])
def test_gymnasiums_own_checker_finds_nothing(observation, board):
    check_env(SnakeEnv(board, observation), skip_render_check=True)


def test_both_ways_of_rendering_pass_the_checker():
    for mode in ("ansi", "rgb_array"):
        check_env(gymnasium.make(ID, board=6, render_mode=mode).unwrapped)


def test_registering_twice_does_nothing():
    spec = gymnasium.spec(ID)
    register()
    assert gymnasium.spec(ID) is spec


def test_rewards_ends_and_statistics_of_a_game():
    env = SnakeEnv(4, "features", patience=5)
    _, info = env.reset(seed=1)
    assert info["action_mask"].tolist() == [True, True, True, False]
    assert env.game is not None
    env.game.set_position([(2, 2), (2, 1), (2, 0)], (2, 3))
    _, reward, terminated, truncated, info = env.step(1)
    assert (reward, terminated, truncated, info["score"], info["steps"]) == (1.0, False, False, 1, 1)
    _, reward, terminated, truncated, info = env.step(LEFT)  # straight back, so straight on into the wall
    assert (reward, terminated, truncated, info["invalid_moves"], info["won"]) == (-1.0, True, False, 1, False)
    env.reset()
    env.game.set_position([(1, 1), (1, 2), (2, 2), (2, 1)], (0, 0))
    results = [env.step(move) for move in (2, 1, 0, 3, 2)]
    assert [result[3] for result in results] == [False] * 4 + [True]
    assert not any(result[2] or result[1] for result in results)


def test_the_mask_is_the_games_legal_moves():
    for name in ("greedy", "dfs"):
        game, player = Game(5, 3), make_heuristic(name)
        while not game.end:
            assert np.flatnonzero(action_mask(game)).tolist() == game.legal_moves()
            game.step(player.choose(game).direction)


def test_the_grid_shows_head_snake_time_and_apple():
    game = Game(4, 0)
    game.set_position([(2, 2), (2, 1), (2, 0)], (0, 3))
    head, snake, time, apple = observe(game, "grid")
    assert np.argwhere(head).tolist() == [[2, 2]]
    assert np.argwhere(snake).tolist() == [[2, 0], [2, 1], [2, 2]]
    assert time[2].tolist() == pytest.approx([1 / 16, 2 / 16, 3 / 16, 0])
    assert np.argwhere(apple).tolist() == [[0, 3]]
    assert observe(game, "cells").tolist() == observe(game, "grid").ravel().tolist()


def test_the_features_by_hand():
    """Up, right, down, left: blocked, free cells ahead, direction; then apple, tail, length and hunger."""
    game = Game(4, 0, patience=8)
    game.set_position([(2, 2), (2, 1), (2, 0)], (0, 3))
    game.step(UP)
    expected = [0, 0, 1, 0, 1 / 4, 1 / 4, 0, 2 / 4, 1, 0, 0, 0, -1 / 4, 1 / 4, 1 / 4, -1 / 4, 3 / 16, 1 / 8]
    assert observe(game, "features").tolist() == pytest.approx(expected)


def same(one, other, where=""):
    """Whether two things that gymnasium gives are equal to the bit and of the same types."""
    if isinstance(one, dict):
        assert set(one) == set(other), where
        for key in one:
            same(one[key], other[key], f"{where}/{key}")
    elif isinstance(one, np.ndarray) and one.dtype == object:
        for a, b in zip(one, other, strict=True):
            same(a, b, where)
    elif one is None:
        assert other is None, where
    else:
        np.testing.assert_array_equal(one, other, err_msg=where)
        assert one.dtype == other.dtype, where


@pytest.mark.parametrize("mode", [AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP])
@pytest.mark.parametrize("observation", ["grid", "cells", "features"])
def test_many_games_at_once_are_step_for_step_those_of_single_environments(observation, mode):
    """Observations, rewards, ends and infos, over wins, deaths, starvation, invalid moves and new games."""
    arguments = {"num_envs": 6, "board": 4, "observation": observation}
    fast = gymnasium.make_vec(ID, vectorization_mode="vector_entry_point", autoreset_mode=mode, **arguments)
    slow = gymnasium.make_vec(ID, vectorization_mode="sync", vector_kwargs={"autoreset_mode": mode}, **arguments)
    assert fast.observation_space == slow.observation_space
    assert fast.metadata["autoreset_mode"] is mode
    draw, teacher = np.random.default_rng(2), make_heuristic("hamiltonian")
    one, other = fast.reset(seed=3), slow.reset(seed=3)
    same(one[0], other[0])
    same(one[1], other[1])
    wins = invalid = truncations = 0
    for step in range(600):
        actions = np.array([draw.choice(np.flatnonzero(mask)) for mask in one[-1]["action_mask"]])
        # The first game is played well, so that it is won; the second goes in circles; in the third some are invalid.
        actions[0] = teacher.choose(slow.envs[0].unwrapped.game).direction if step else 1
        actions[1] = step % 4
        actions[2] = draw.integers(4)
        one, other = fast.step(actions), slow.step(actions)
        for index in range(5):
            same(one[index], other[index], f"step {step}, part {index}")
        assert fast.observation_space.contains(one[0])
        ended = one[-1].get("final_info", one[-1])
        wins, invalid = wins + ended["won"].sum(), invalid + ended["invalid_moves"].sum()
        truncations += one[3].sum()
    assert wins > 1
    assert invalid > 1
    assert truncations > 1


def test_a_second_reset_goes_on_with_the_generators_and_a_seed_begins_anew():
    envs = SnakeVectorEnv(3, 6)
    first, _ = envs.reset(seed=9)
    second, _ = envs.reset()
    again, _ = envs.reset(seed=[9, 10, 11])
    assert not np.array_equal(first, second)
    assert np.array_equal(first, again)
    with pytest.raises(ValueError, match="2 seeds were given for 3 games"):
        envs.reset(seed=[1, 2])


def test_observations_already_given_do_not_change():
    envs = SnakeVectorEnv(4, 5)
    first, infos = envs.reset(seed=1)
    copies = first.copy(), infos["action_mask"].copy(), infos["steps"].copy()
    for _ in range(6):
        envs.step(np.zeros(4, np.int64))
    assert np.array_equal(first, copies[0])
    assert np.array_equal(infos["action_mask"], copies[1])
    assert np.array_equal(infos["steps"], copies[2])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"board": 3}, "board is 3"),
        ({"board": 33}, "board is 33"),
        ({"board": "6"}, "board is '6'"),
        ({"observation": "image"}, "observation is 'image'"),
        ({"patience": 0}, "patience is 0"),
    ],
)
def test_arguments_that_make_no_sense_are_one_clear_line(arguments, message):
    for kind in (SnakeEnv, SnakeVectorEnv):
        with pytest.raises(ConfigurationError, match=message):
            kind(**arguments)


def test_what_only_one_kind_of_environment_can_is_told():
    with pytest.raises(ConfigurationError, match="seen as grid") as error:
        SnakeVectorEnv(2, observation="text")
    assert "sync" in error.value.hint
    with pytest.raises(ConfigurationError, match="autoreset_mode is 'Disabled'"):
        SnakeVectorEnv(2, autoreset_mode=AutoresetMode.DISABLED)
    with pytest.raises(ConfigurationError, match="render_mode is 'human'"):
        SnakeEnv(render_mode="human")


def test_the_picture_of_a_game_has_the_colours_of_head_and_apple():
    from snake_game.picture import APPLE_COLOUR, HEAD_COLOUR

    env = SnakeEnv(6, render_mode="rgb_array")
    env.reset(seed=1)
    picture = env.render()
    assert picture.shape[2] == 3
    assert picture.dtype == np.uint8
    colours = {tuple(colour) for colour in picture.reshape(-1, 3)}
    assert {APPLE_COLOUR, HEAD_COLOUR} <= colours
