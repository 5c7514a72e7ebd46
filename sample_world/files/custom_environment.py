"""An environment of your own for reinforcement learning: keep a Nebbin singing.

A Nebbin sings while its water is between 80 and 95 degrees. It cools by the draught, which changes slowly; heated too
long it boils, and a kettle that boils dry is spoilt. Who acts at random hardly hears it; heating below 84 degrees
makes it sing for about 165 of 200 steps. Change the rules and see what agents make of them.
"""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

WAIT, HEAT, POUR = range(3)
SINGING = (80.0, 95.0)  # degrees
LAST_STEP = 200


class KettleEnv(gymnasium.Env[NDArray[np.float32], np.int64]):
    """Actions: wait, heat, pour in cold water. Reward: 1 for each step in which it sings, -20 when it boils dry."""

    def __init__(self) -> None:
        # Temperature as a share of boiling, water left, draught.
        self.observation_space = spaces.Box(np.array([0, 0, 0], np.float32), np.array([1, 1, 1], np.float32))
        self.action_space = spaces.Discrete(3)
        self.temperature, self.water, self.draught, self.steps = 20.0, 1.0, 0.5, 0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """A full, lukewarm kettle."""
        super().reset(seed=seed)
        self.temperature = float(self.np_random.uniform(20, 60))
        self.water, self.draught, self.steps = 1.0, float(self.np_random.uniform(0, 1)), 0
        return self._observation(), {}

    def step(self, action: np.int64 | int) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        """One minute."""
        self.steps += 1
        self.draught = float(np.clip(self.draught + self.np_random.normal(0, 0.1), 0, 1))
        # Little water is quickly hot.
        self.temperature += {WAIT: 0.0, HEAT: 4.0 / (0.4 + self.water), POUR: -12.0}[int(action)]
        self.temperature = float(np.clip(self.temperature - 3.0 * self.draught, 0, 100))
        self.water = min(1.0, self.water + (0.2 if action == POUR else 0.0))
        if self.temperature > SINGING[1]:
            self.water = max(0.0, self.water - 0.05)
        is_dry = self.water == 0
        is_singing = SINGING[0] <= self.temperature <= SINGING[1]
        reward = -20.0 if is_dry else float(is_singing)
        return self._observation(), reward, is_dry, self.steps >= LAST_STEP, {}

    def _observation(self) -> NDArray[np.float32]:
        return np.array([self.temperature / 100, self.water, self.draught], np.float32)
