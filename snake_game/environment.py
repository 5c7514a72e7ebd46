"""The game as a gymnasium environment, `LLMToolkit/Snake-v0`.

register()
env = gymnasium.make("LLMToolkit/Snake-v0", board=6, observation="grid")
envs = gymnasium.make_vec("LLMToolkit/Snake-v0", num_envs=64, board=6)     # numpy, many games at once

Actions: 0 up, 1 right, 2 down, 3 left; straight back is invalid: it is counted, and the snake goes straight on.
Rewards: 1 for an apple, -1 for an end in the wall or the snake itself, else 0.
A game is terminated by that or by a full board, and truncated after `patience` steps without an apple.
"""

from __future__ import annotations

from typing import Any, get_args

import gymnasium
import numpy as np
from gymnasium import spaces

from shared_utils.errors import ConfigurationError
from snake_game.board_text import board_text
from snake_game.game import LARGEST_BOARD, SMALLEST_BOARD, Game
from snake_game.language_task import SnakeTask
from snake_game.observations import Kind, action_mask, observation_space, observe

ID = "LLMToolkit/Snake-v0"
APPLE_REWARD, DEATH_REWARD = 1.0, -1.0
RENDER_FPS = 10


def register() -> None:
    """Make the environment known to gymnasium; calling it again does nothing."""
    if ID not in gymnasium.registry:
        gymnasium.register(
            id=ID,
            entry_point="snake_game.environment:SnakeEnv",
            vector_entry_point="snake_game.vector_environment:SnakeVectorEnv",
        )


def check_arguments(board: int, observation: str, patience: int | None) -> None:
    """Refuse what no environment can be made of.

    Raises:
        ConfigurationError: names the argument and what is allowed.
    """
    if not isinstance(board, int) or not SMALLEST_BOARD <= board <= LARGEST_BOARD:
        raise ConfigurationError(
            f"{ID}: board is {board!r}", hint=f"a whole number from {SMALLEST_BOARD} to {LARGEST_BOARD}"
        )
    if observation not in get_args(Kind):
        raise ConfigurationError(f"{ID}: observation is {observation!r}", hint=f"one of {', '.join(get_args(Kind))}")
    if patience is not None and (not isinstance(patience, int) or patience < 1):
        raise ConfigurationError(f"{ID}: patience is {patience!r}", hint="a whole number of steps, at least 1, or null")


class SnakeEnv(gymnasium.Env[Any, np.int64]):
    """One game.

    `info` holds at each step `action_mask` (which moves are legal, shape (4,): those that do not end the game at once,
    or where all do, all but the one straight back), `score`, `steps`, `invalid_moves` and `won`; at the end of a game
    these are its statistics.

    Args:
        board: cells a side, 4 to 32.
        observation: grid (4 planes), cells (the same in a row, for networks without convolution), features (18 numbers)
            or text; see `observations.py`.
        patience: steps without an apple after which the game is given up; None takes twice the cells of the board.
        render_mode: ansi (text), rgb_array (a picture) or None.

    Raises:
        ConfigurationError: an argument is not allowed.
    """

    metadata = {"render_modes": ["ansi", "rgb_array"], "render_fps": RENDER_FPS}  # noqa: RUF012 - gymnasium's name

    def __init__(
        self,
        board: int = 10,
        observation: Kind = "grid",
        patience: int | None = None,
        render_mode: str | None = None,
    ) -> None:
        check_arguments(board, observation, patience)
        if render_mode not in (None, "ansi", "rgb_array"):
            raise ConfigurationError(f"{ID}: render_mode is {render_mode!r}", hint="ansi, rgb_array or none")
        self.render_mode = render_mode
        self.observation_space = observation_space(observation, board)
        self.action_space = spaces.Discrete(4)
        self._kind: Kind = observation
        self._board, self._patience = board, patience
        self.game: Game | None = None

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Begin a game; `seed` starts the apples of this and the following ones."""
        super().reset(seed=seed)
        self.game = Game(self._board, draw=lambda below: int(self.np_random.integers(below)), patience=self._patience)
        return observe(self.game, self._kind), self._info(self.game)

    def step(self, action: np.int64 | int) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Move one cell."""
        game = self._running()
        has_eaten = game.step(int(action))
        is_dead = game.end in ("wall", "body")
        reward = APPLE_REWARD if has_eaten else DEATH_REWARD if is_dead else 0.0
        is_over = is_dead or game.end == "won"
        return observe(game, self._kind), reward, is_over, game.end == "starved", self._info(game)

    def render(self) -> Any:
        """The board as text, or as a picture of shape (height, width, 3)."""
        if self.render_mode == "ansi":
            return board_text(self._running()) + "\n"
        if self.render_mode == "rgb_array":
            from snake_game.picture import draw_game

            return np.asarray(draw_game(self._running()).convert("RGB"))
        return None

    def language_task(self) -> SnakeTask:
        """Positions on this board as questions to a language model, for `train-rl --algorithm grpo`."""
        return SnakeTask(self._board)

    def _running(self) -> Game:
        if self.game is None:
            raise gymnasium.error.ResetNeeded("call reset before step or render")
        return self.game

    @staticmethod
    def _info(game: Game) -> dict[str, Any]:
        return {
            "action_mask": action_mask(game),
            "score": game.score,
            "steps": game.steps,
            "invalid_moves": game.invalid,
            "won": game.end == "won",
        }
