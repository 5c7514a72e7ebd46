"""How good an agent is: episodes on seeds of their own, with its best known actions."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from training_methods.reinforcement_learning.agents.agent import Agent
from training_methods.reinforcement_learning.environments import EnvironmentSource, registered
from training_methods.reinforcement_learning.native_environments import native_environments
from training_methods.reinforcement_learning.vector_environments import Environments, LocalEnvironments

Array = Any

SIDE_BY_SIDE = 10  # environments of this process; a vector version takes as many as there are episodes
ENDLESS = 20_000  # steps after which an episode without an end counts as it stands
# Far from the seeds of training, which begin at the run's own.
SEEDS_WHILE_TRAINING, SEEDS_OF_FINAL = 1_000_003, 2_000_003


@dataclass(frozen=True)
class Evaluation:
    """Returns and lengths of the episodes."""

    returns: tuple[float, ...]
    lengths: tuple[int, ...]

    @property
    def mean(self) -> float:
        """Mean return."""
        return float(np.mean(self.returns))

    @property
    def deviation(self) -> float:
        """Standard deviation of the returns."""
        return float(np.std(self.returns))


class Evaluator:
    """Plays episodes of the same environment again and again.

    Every environment gives the same number of episodes, so that short ones do not crowd out long ones.

    Args:
        source: the environment; a limit of its own goes before `max_steps`.
        episodes: how many there are in an evaluation.
    """

    def __init__(self, source: EnvironmentSource, episodes: int) -> None:
        own = getattr(registered(source.name), "max_episode_steps", None)
        source = replace(source, max_steps=None) if own else source
        native = native_environments(source, episodes)
        self.environments: Environments = native or LocalEnvironments(source, min(episodes, SIDE_BY_SIDE))
        self._episodes = episodes

    def evaluate(self, agent: Agent, seed: int) -> Evaluation:
        """Play the episodes that a seed begins."""
        environments, count = self.environments, self.environments.num_envs
        left = np.full(count, self._episodes // count)
        left[: self._episodes % count] += 1
        observations, masks = environments.reset(seed)
        returns: Array = np.zeros(count)
        lengths: Array = np.zeros(count, np.int64)
        done: list[tuple[float, int]] = []
        while left.any():
            stepped = environments.step(agent.act(observations, masks, training=False).actions)
            observations, masks = stepped.observations, stepped.masks
            returns += stepped.rewards * stepped.valid
            lengths += stepped.valid
            ended = stepped.terminated | stepped.truncated | (lengths >= ENDLESS)
            for number in np.flatnonzero(ended).tolist():
                if left[number]:
                    done.append((float(returns[number]), int(lengths[number])))
                    left[number] -= 1
                returns[number] = lengths[number] = 0
        return Evaluation(tuple(reward for reward, _ in done), tuple(length for _, length in done))

    def close(self) -> None:
        """Let go of the environments."""
        self.environments.close()
