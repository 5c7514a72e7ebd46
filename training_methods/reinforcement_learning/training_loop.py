"""The loop of every agent: act, see what comes of it, remember, learn."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np

from shared_utils.errors import TrainingError
from training_methods.reinforcement_learning.agents.agent import Agent, Stepped
from training_methods.reinforcement_learning.vector_environments import Environments

Array = Any

RECENT_EPISODES = 100


class TrainingLoop:
    """An agent in its environments, with the counts of what happened.

    Args:
        agent: acts and learns.
        environments: where.
        seed: environment `i` begins with the seed plus `i`.

    Attributes:
        timesteps, episodes: done so far, in all environments together.
        recent_returns: of the last hundred episodes.
    """

    def __init__(self, agent: Agent, environments: Environments, seed: int) -> None:
        self.agent, self.environments = agent, environments
        self.timesteps = self.episodes = 0
        self.recent_returns: deque[float] = deque(maxlen=RECENT_EPISODES)
        self._seed = seed
        self._observations: Array = None
        self._masks: Array | None = None
        self._returns = np.zeros(environments.num_envs)
        self._lengths: Array = np.zeros(environments.num_envs, np.int64)
        self._figures: dict[str, list[float]] = {}  # since the record before: sums and counts
        self._ended: list[tuple[float, int]] = []

    def begin(self) -> None:
        """Start the first episodes."""
        self._observations, self._masks = self.environments.reset(self._seed)

    def run(self, is_time: Callable[[TrainingLoop, bool], bool]) -> None:
        """Step until `is_time`, which is asked after each step with this loop and whether something was learnt.

        Raises:
            TrainingError: an environment failed, or a loss is no finite number.
        """
        agent, environments = self.agent, self.environments
        while True:
            choice = agent.act(self._observations, self._masks)
            stepped = environments.step(choice.actions)
            agent.observe(self._observations, choice, stepped)
            self._observations, self._masks = stepped.observations, stepped.masks
            self._count(stepped)
            losses = agent.update()
            if losses:
                self._note(losses)
            if is_time(self, bool(losses)):
                return

    def _count(self, stepped: Stepped) -> None:
        valid = stepped.valid
        self.timesteps += int(np.count_nonzero(valid))
        self._returns += stepped.rewards * valid
        self._lengths += valid
        ended = stepped.terminated | stepped.truncated
        if not ended.any():
            return
        for number in np.flatnonzero(ended).tolist():
            self.episodes += 1
            self.recent_returns.append(float(self._returns[number]))
            self._ended.append((float(self._returns[number]), int(self._lengths[number])))
            self._returns[number] = self._lengths[number] = 0

    def _note(self, losses: dict[str, float]) -> None:
        for name, value in losses.items():
            if not math.isfinite(value):
                raise TrainingError(
                    f"{name} became {value} after {self.timesteps} steps",
                    hint="lower --learning-rate, or set normalize_observations and normalize_rewards",
                )
            entry = self._figures.setdefault(name, [0.0, 0.0])
            entry[0] += value
            entry[1] += 1

    def take_figures(self) -> dict[str, float]:
        """The means of what was measured since the last call."""
        figures = {name: total / count for name, (total, count) in self._figures.items()}
        if self._ended:
            figures["episode_return"] = float(np.mean([reward for reward, _ in self._ended]))
            figures["episode_length"] = float(np.mean([length for _, length in self._ended]))
        self._figures, self._ended = {}, []
        return {"timesteps": self.timesteps, "episodes": self.episodes, **figures}

    def state(self) -> tuple[dict[str, Array], dict[str, Any]]:
        """Arrays and facts that `restore` goes on from."""
        arrays, facts = self.environments.state()
        arrays |= {"loop.observations": self._observations, "loop.returns": self._returns}
        arrays["loop.lengths"] = self._lengths
        if self._masks is not None:
            arrays["loop.masks"] = self._masks
        counts = {
            "timesteps": self.timesteps,
            "episodes": self.episodes,
            "recent_returns": list(self.recent_returns),
            "figures": self._figures,
            "ended": self._ended,
        }
        return arrays, {"environments": facts, "environment_kind": self.environments.kind, "loop": counts}

    def restore(self, arrays: dict[str, Array], facts: dict[str, Any]) -> bool:
        """Go on where a state was taken; whether the environments came to the same place.

        Where they did not, because they draw on chance that no seed governs, new episodes begin.
        """
        counts = facts["loop"]
        self.timesteps, self.episodes = int(counts["timesteps"]), int(counts["episodes"])
        self.recent_returns = deque(counts["recent_returns"], maxlen=RECENT_EPISODES)
        self._figures = {name: list(entry) for name, entry in counts["figures"].items()}
        self._ended = [(float(reward), int(length)) for reward, length in counts["ended"]]
        self._observations, self._masks = arrays["loop.observations"], arrays.get("loop.masks")
        self._returns, self._lengths = arrays["loop.returns"].copy(), arrays["loop.lengths"].copy()
        if facts["environment_kind"] == self.environments.kind:
            reached = self.environments.restore(arrays, facts["environments"])
            if np.array_equal(reached, self._observations):
                return True
        self._observations, self._masks = self.environments.reset(self._seed + self.timesteps)
        self._returns[:] = 0
        self._lengths[:] = 0
        return False
