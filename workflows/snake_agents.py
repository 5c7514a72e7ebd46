"""Agents that `train-rl` has trained, as players of Snake."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

import training_methods
from shared_utils.errors import ConfigurationError, DataValidationError
from shared_utils.model_names import read_json_file
from snake_game.environment import ID
from snake_game.game import DIRECTIONS, Game, Move
from snake_game.observations import Kind, action_mask, observe
from workflows.snake_players import Contestant

AGENT_CLASSES = {"ppo": "PPOAgent", "dqn": "DQNAgent"}
AGENT_FILE = "agent.safetensors"


class AgentPlayer:
    """Takes the move that a trained agent finds best of the legal ones.

    Args:
        agent: of `training_methods`.
        kind: what it sees.
    """

    def __init__(self, agent: Any, kind: Kind) -> None:
        self._agent, self._kind = agent, kind

    def choose(self, game: Game) -> Move:
        """The agent's move."""
        return self.choose_all([game])[0]

    def choose_all(self, games: Sequence[Game]) -> list[Move]:
        """The agent's move in each game."""
        observations = np.stack([observe(game, self._kind) for game in games])
        masks = np.stack([action_mask(game) for game in games])
        actions = self._agent.act(observations, masks, training=False).actions
        return [
            Move(int(action), f"The agent finds {DIRECTIONS[int(action)]} the best of the legal moves.")
            for action in actions
        ]


def is_agent(name: str) -> bool:
    """Whether a name is the run folder of an agent, whatever it plays."""
    path = Path(name) / "run.json"
    return path.is_file() and read_json_file(path).get("algorithm") in AGENT_CLASSES


def agent(name: str, board: int) -> Contestant:
    """The agent of a run folder.

    Raises:
        ConfigurationError: it plays on a board of another size.
        DataValidationError: it plays something else, or its training has not ended.
    """
    run = read_json_file(Path(name) / "run.json")
    environment = run.get("environment") or {}
    if environment.get("id") != ID:
        raise DataValidationError(
            f"{name} is an agent for {environment.get('id')}, not for Snake",
            hint=f"train one: python main.py train-rl --env {ID}",
        )
    kwargs = environment.get("kwargs") or {}
    own_board = kwargs.get("board", 10)
    if own_board != board:
        raise ConfigurationError(
            f"{name} plays on a board of {own_board}x{own_board}, not {board}x{board}", hint=f"add --board {own_board}"
        )
    path = Path(name) / AGENT_FILE
    if not path.is_file():
        raise DataValidationError(f"{name} is a training that has not ended", hint="go on with it, with --resume")
    loaded = getattr(training_methods, AGENT_CLASSES[run["algorithm"]]).load(path)
    player = AgentPlayer(loaded, kwargs.get("observation", "grid"))
    return Contestant(name, "agent", lambda seed: player, player)
