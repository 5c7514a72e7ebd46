"""Observations and rewards brought to a common scale, by statistics that are saved with the agent."""

from __future__ import annotations

from typing import Any

import numpy as np

Array = Any

LIMIT = np.float32(10.0)  # what is further from the mean says no more than this
EPSILON = 1e-8


class RunningStatistics:
    """Mean and variance of all rows seen, exact whatever the sizes of the batches (Chan et al. 1983).

    Args:
        shape: of a row.
    """

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.mean: Array = np.zeros(shape, np.float64)
        self.variance: Array = np.ones(shape, np.float64)
        self.count = 0.0

    def update(self, rows: Array) -> None:
        """Take in rows, (batch, *shape)."""
        if not len(rows):
            return
        mean, variance, count = rows.mean(0, dtype=np.float64), rows.var(0, dtype=np.float64), len(rows)
        total = self.count + count
        shift = mean - self.mean
        squares = self.variance * self.count + variance * count + shift * shift * (self.count * count / total)
        self.mean = self.mean + shift * (count / total)
        self.variance, self.count = squares / total, total

    def arrays(self, name: str) -> dict[str, Array]:
        """The state, as a checkpoint holds it."""
        return {f"{name}.mean": self.mean, f"{name}.variance": self.variance, f"{name}.count": np.array([self.count])}

    def restore(self, name: str, arrays: dict[str, Array]) -> None:
        """Take over a state."""
        self.mean, self.variance = arrays[f"{name}.mean"].copy(), arrays[f"{name}.variance"].copy()
        self.count = float(arrays[f"{name}.count"][0])


class ObservationScaler:
    """Observations with mean 0 and variance 1, limited to 10 (Andrychowicz et al. 2021, section 3.3)."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.statistics = RunningStatistics(shape)

    def scaled(self, observations: Array) -> Array:
        """Scaled observations, float32."""
        statistics = self.statistics
        scaled = (observations - statistics.mean) / np.sqrt(statistics.variance + EPSILON)
        return np.clip(scaled, -LIMIT, LIMIT).astype(np.float32)


class RewardScaler:
    """Rewards divided by the deviation of the discounted return so far (Engstrom et al. 2020, section 3).

    Args:
        num_envs: environments.
        gamma: discount.
    """

    def __init__(self, num_envs: int, gamma: float) -> None:
        self.statistics = RunningStatistics(())
        self._gamma = gamma
        self.returns: Array = np.zeros(num_envs, np.float64)

    def scaled(self, rewards: Array, ended: Array, valid: Array) -> Array:
        """Scaled rewards of a step of each environment, float32; `valid` marks the true steps."""
        self.returns = self.returns * self._gamma + rewards
        self.statistics.update(self.returns[valid])
        self.returns[ended] = 0.0
        scaled = rewards / np.sqrt(self.statistics.variance + EPSILON)
        return np.clip(scaled, -LIMIT, LIMIT).astype(np.float32)
