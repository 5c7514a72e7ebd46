"""Many games of Snake at once, in numpy: step for step what as many `SnakeEnv` give.

For each cell stands the moment at which the snake has left it, on a clock that stands still while a snake eats. A step
then writes one number, and a cell is free when its moment has come: nothing is moved.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium import spaces
from gymnasium.utils import seeding
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from shared_utils.errors import ConfigurationError
from snake_game.environment import APPLE_REWARD, DEATH_REWARD, ID, RENDER_FPS, check_arguments
from snake_game.game import START_LENGTH, Game
from snake_game.observations import (
    WALL,
    Bools,
    Floats,
    Ints,
    Kind,
    Positions,
    deltas,
    legal,
    observation_space,
    view,
)

_AUTORESET = {mode.value: mode for mode in (AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP)}


class SnakeVectorEnv(VectorEnv[Any, Any, Any]):
    """Several games; see `SnakeEnv` for actions, rewards and what `infos` hold, here stacked as gymnasium does it.

    Args:
        num_envs: how many games.
        board, observation, patience: as for `SnakeEnv`; text observations need single environments.
        autoreset_mode: NextStep, as gymnasium's own: the step after the end of a game begins the next one, its action
            is not used, its reward is 0. SameStep: the last step of a game gives the first observation of the next one;
            the last one of the old game is in `final_obs`, its statistics in `final_info`.

    Raises:
        ConfigurationError: an argument is not allowed.
    """

    _leaves: NDArray[np.int32]
    _clock: NDArray[np.int32]
    _offset: Ints
    _head: Ints
    _apple: Ints
    _length: Ints
    _direction: Ints
    _score: NDArray[np.int64]
    _steps: NDArray[np.int64]
    _hungry: NDArray[np.int64]
    _invalid: NDArray[np.int64]
    _won: Bools
    _has_ended: Bools

    def __init__(
        self,
        num_envs: int = 1,
        board: int = 10,
        observation: Kind = "grid",
        patience: int | None = None,
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
    ) -> None:
        check_arguments(board, observation, patience)
        if observation == "text":
            raise ConfigurationError(
                f"{ID}: many games at once are seen as grid, cells or features",
                hint='for text pass vectorization_mode="sync"',
            )
        mode = autoreset_mode.value if isinstance(autoreset_mode, AutoresetMode) else autoreset_mode
        if mode not in _AUTORESET:
            raise ConfigurationError(f"{ID}: autoreset_mode is {mode!r}", hint=f"one of {', '.join(_AUTORESET)}")
        self._mode = _AUTORESET[mode]
        self.metadata = {"render_modes": [], "render_fps": RENDER_FPS, "autoreset_mode": self._mode}
        self.num_envs = num_envs
        self.single_observation_space = observation_space(observation, board)
        self.single_action_space = spaces.Discrete(4)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._board, self._kind = board, observation
        self._start = Game(board, seed=0, patience=patience)
        self._deltas = deltas(board)
        self._generators: list[np.random.Generator | None] = [None] * num_envs
        self._make_state(num_envs, (board + 2) ** 2)

    def reset(
        self, *, seed: int | list[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Floats, dict[str, Any]]:
        """Begin all games anew; a number seeds game i with that number + i."""
        seeds = _seeds(seed, self.num_envs)
        for index, one in enumerate(seeds):
            if one is not None or self._generators[index] is None:
                self._generators[index] = seeding.np_random(one)[0]
            self._begin(index)
        self._has_ended[:] = False
        positions = self._positions()
        return view(positions, self._board, self._kind), self._infos(positions)

    def step(self, actions: NDArray[np.int64]) -> tuple[Floats, NDArray[np.float64], Bools, Bools, dict[str, Any]]:
        """Move every snake one cell."""
        is_next = self._has_ended.copy()
        reward, terminated, truncated = self._move(np.asarray(actions), ~is_next)
        self._has_ended = terminated | truncated
        for index in np.flatnonzero(is_next).tolist():
            self._begin(index)
        finals: dict[str, Any] = {}
        if self._mode is AutoresetMode.SAME_STEP and self._has_ended.any():
            finals = self._finals(self._has_ended)
            for index in np.flatnonzero(self._has_ended).tolist():
                self._begin(index)
            self._has_ended = np.zeros(self.num_envs, np.bool_)
        positions = self._positions()
        return (
            view(positions, self._board, self._kind),
            reward,
            terminated,
            truncated,
            {**finals, **self._infos(positions)},
        )

    def _make_state(self, count: int, cells: int) -> None:
        self._leaves = np.zeros((count, cells), np.int32)  # the moment at which the snake has left each cell
        self._clock = np.zeros(count, np.int32)
        self._rows = np.arange(count)
        # Cells are kept with the offset of their game, so that one flat index finds them.
        self._offset = self._rows * cells
        self._head, self._apple, self._length, self._direction = (np.zeros(count, np.intp) for _ in range(4))
        self._score, self._steps, self._hungry, self._invalid = (np.zeros(count, np.int64) for _ in range(4))
        self._won, self._has_ended = np.zeros(count, np.bool_), np.zeros(count, np.bool_)
        start = self._start
        self._empty = np.where(np.frombuffer(start.blocked, np.uint8) == 2, WALL, 0).astype(np.int32)
        self._empty[list(start.body)] = np.arange(1, START_LENGTH + 1)

    def _begin(self, index: int) -> None:
        self._leaves[index] = self._empty
        self._head[index] = self._offset[index] + self._start.body[-1]
        self._length[index], self._direction[index] = START_LENGTH, self._start.direction
        for counter in (self._clock, self._score, self._steps, self._hungry, self._invalid, self._won):
            counter[index] = 0
        self._put_apple(index)

    def _put_apple(self, index: int) -> None:
        """Draw from the free cells row by row, as `Game` does."""
        free = np.flatnonzero(self._leaves[index] <= self._clock[index])
        generator = self._generators[index]
        assert generator is not None  # `step` comes after `reset`
        self._apple[index] = self._offset[index] + free[int(generator.integers(len(free)))]

    def _move(self, actions: NDArray[np.int64], active: Bools) -> tuple[NDArray[np.float64], Bools, Bools]:
        """One step of the games that are `active`; reward, terminated and truncated."""
        is_back = active & (actions == self._direction ^ 2)
        self._invalid += is_back
        self._direction = np.where(active & ~is_back, actions, self._direction)
        target = self._head + self._deltas[self._direction]
        leaves = self._leaves.reshape(-1)
        is_alive = active & (leaves[target] <= self._clock + 1)
        has_eaten = is_alive & (target == self._apple)
        moves_on = is_alive & ~has_eaten
        self._clock += moves_on
        self._length += has_eaten
        self._head = np.where(is_alive, target, self._head)
        # Where a snake died this writes what stands there: its head leaves last.
        leaves[self._head] = self._clock + self._length
        self._steps += active
        self._score += has_eaten
        self._hungry = np.where(has_eaten, 0, self._hungry + moves_on)
        self._won = has_eaten & (self._length == self._start.cells)
        for index in np.flatnonzero(has_eaten).tolist():
            if self._won[index]:
                self._apple[index] = self._offset[index]  # `NO_APPLE`
            else:
                self._put_apple(index)
        is_dead = active & ~is_alive
        reward = has_eaten * APPLE_REWARD + is_dead * DEATH_REWARD
        return reward, is_dead | self._won, moves_on & (self._hungry >= self._start.patience)

    def _positions(self) -> Positions:
        remaining = np.maximum(self._leaves - self._clock[:, None], 0)
        # The wall keeps its number: the clock would wear it down.
        tail = (remaining == 1).argmax(axis=1) if self._kind == "features" else self._head
        return Positions(
            remaining,
            self._head - self._offset,
            tail,
            self._apple - self._offset,
            self._direction,
            self._length,
            (self._hungry / self._start.patience).astype(np.float32),
        )

    def _infos(self, positions: Positions) -> dict[str, Any]:
        values = {
            "action_mask": legal(positions, self._board),
            "score": self._score.copy(),
            "steps": self._steps.copy(),
            "invalid_moves": self._invalid.copy(),
            "won": self._won.copy(),
        }
        everywhere: dict[str, Any] = {f"_{name}": np.ones(self.num_envs, np.bool_) for name in values}
        return {**values, **everywhere}

    def _finals(self, ended: Bools) -> dict[str, Any]:
        """`final_obs` and `final_info` of the games that have ended, None and 0 for the others."""
        positions = self._positions()
        observations = view(positions, self._board, self._kind)
        final_obs: NDArray[np.object_] = np.full(self.num_envs, None, dtype=object)
        for index in np.flatnonzero(ended):
            final_obs[index] = observations[index]
        infos: dict[str, Any] = {}
        for name, value in self._infos(positions).items():
            infos[name] = np.zeros_like(value)
            infos[name][ended] = value[ended]
        return {"final_obs": final_obs, "_final_obs": ended.copy(), "final_info": infos, "_final_info": ended.copy()}


def _seeds(seed: int | list[int | None] | None, count: int) -> list[int | None]:
    """A seed for each game; None goes on with the generator that it has."""
    if seed is None or isinstance(seed, int):
        return [None if seed is None else seed + index for index in range(count)]
    if len(seed) != count:
        raise ValueError(f"{len(seed)} seeds were given for {count} games")
    return seed
