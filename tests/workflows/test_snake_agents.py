"""Agents of `train-rl` as players of Snake."""

from __future__ import annotations

import json

import numpy as np
import pytest

import training_methods
from snake_game.game import Game
from snake_game.observations import action_mask, observe
from workflows.snake_agents import AgentPlayer, agent, is_agent


class _Chosen:
    """What an agent's `act` gives, as far as players look at it."""

    def __init__(self, actions):
        self.actions = actions


class _TurnsRight:
    """An agent that takes the last legal move of the mask, and shows what it was given."""

    def act(self, observations, masks=None, *, training=True):
        assert not training
        self.seen = observations, masks
        return _Chosen(np.array([np.flatnonzero(mask)[-1] for mask in masks]))


def test_an_agent_sees_what_its_environment_showed_it():
    games = [Game(6, seed) for seed in range(3)]
    mind = _TurnsRight()
    moves = AgentPlayer(mind, "cells").choose_all(games)
    assert [move.direction for move in moves] == [game.legal_moves()[-1] for game in games]
    assert "down" in moves[0].reason
    observations, masks = mind.seen
    for index, game in enumerate(games):
        assert np.array_equal(observations[index], observe(game, "cells"))
        assert np.array_equal(masks[index], action_mask(game))


@pytest.mark.skipif(not hasattr(training_methods, "PPOAgent"), reason="this toolkit cannot train agents yet")
@pytest.mark.parametrize(("observation", "state_dim"), [("cells", 144), ("features", 18)])
def test_the_run_folder_of_an_agent_plays(tmp_path, run_command, observation, state_dim):
    made = training_methods.PPOAgent(state_dim=state_dim, action_dim=4, hidden_dim=16)
    made.save(tmp_path / "agent.safetensors")
    environment = {"id": "LLMToolkit/Snake-v0", "kwargs": {"board": 6, "observation": observation}}
    record = {"algorithm": "ppo", "environment": environment}
    (tmp_path / "run.json").write_text(json.dumps(record), encoding="utf-8")
    assert is_agent(str(tmp_path))
    player = agent(str(tmp_path), 6)
    game = Game(6, 1)
    assert player.batch is not None
    assert player.batch.choose(game).direction in game.legal_moves()
    result = run_command("snake", "evaluate", "--player", tmp_path, "--board", 6, "--games", 5, "--json")
    assert result.code == 0, result.err
    assert json.loads(result.out)["players"][str(tmp_path)]["kind"] == "agent"
