"""What DQN learns from: transitions in a ring, drawn evenly or by their error."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from training_methods.reinforcement_learning.spaces import Observations

Array = Any

NONE = -1  # no following transition


@dataclass(frozen=True)
class Transitions:
    """A minibatch.

    Attributes:
        indices: where each stands in the buffer.
        observations, actions: (batch, *shape) and (batch,).
        rewards: discounted sums of up to `n_step` rewards.
        next_observations: after the last of these.
        discounts: what the value of those counts; 0 where the task has ended.
        weights: of each in the loss; None where all count the same.
    """

    indices: Array
    observations: Array
    actions: Array
    rewards: Array
    next_observations: Array
    discounts: Array
    weights: Array | None


class ReplayBuffer:
    """Transitions of all environments in the order they came, the oldest overwritten first.

    Each transition knows the one that followed in its episode, so that sums over several rewards are made when they
    are drawn and end where an episode was cut, whatever the number of environments.

    Args:
        capacity: transitions kept.
        observations: their shape.
        num_envs: environments.
    """

    def __init__(self, capacity: int, observations: Observations, num_envs: int) -> None:
        self.capacity = capacity
        self.arrays: dict[str, Array] = {
            "observations": np.zeros((capacity, *observations.shape), observations.dtype),
            "next_observations": np.zeros((capacity, *observations.shape), observations.dtype),
            "actions": np.zeros(capacity, np.int64),
            "rewards": np.zeros(capacity, np.float32),
            "terminated": np.zeros(capacity, np.float32),
            "following": np.full(capacity, NONE, np.int64),
        }
        self.stored = 0  # since the beginning
        self.latest: Array = np.full(num_envs, NONE, np.int64)  # of each environment, within a running episode

    def __len__(self) -> int:
        return min(self.stored, self.capacity)

    def add(
        self, observations: Array, actions: Array, rewards: Array, next_observations: Array, terminated: Array,
        ended: Array, environments: Array,
    ) -> Array:  # fmt: skip
        """Store a transition of each environment named; where they stand now.

        Args:
            observations, actions, rewards, next_observations, terminated: of each.
            ended: whether the episode ended with it, by its end or by a time limit.
            environments: numbers of the environments.
        """
        count = len(actions)
        places: Array = np.arange(self.stored, self.stored + count) % self.capacity
        arrays = self.arrays
        arrays["observations"][places] = observations
        arrays["actions"][places] = actions
        arrays["rewards"][places] = rewards
        arrays["next_observations"][places] = next_observations
        arrays["terminated"][places] = terminated
        arrays["following"][places] = NONE
        before = self.latest[environments]
        arrays["following"][before[before != NONE]] = places[before != NONE]
        self.latest[environments] = np.where(ended, NONE, places)
        self.stored += count
        return places

    def drawn(self, indices: Array, n_step: int, gamma: float, weights: Array | None = None) -> Transitions:
        """The transitions at some places, with the rewards of up to `n_step` steps (Sutton and Barto 2018, 7.1)."""
        arrays = self.arrays
        rewards, last = arrays["rewards"][indices], indices
        discounts: Array = np.full(len(indices), gamma, np.float32)
        if n_step > 1:
            open_ones: Array = np.ones(len(indices), bool)
            for _ in range(n_step - 1):
                following = arrays["following"][last]
                # The newest transition has no follower yet: its sum ends there and counts the value after it.
                open_ones = open_ones & (following != NONE)
                last = np.where(open_ones, following, last)
                rewards = rewards + np.where(open_ones, discounts * arrays["rewards"][last], np.float32(0))
                discounts = np.where(open_ones, discounts * np.float32(gamma), discounts)
        return Transitions(
            indices,
            arrays["observations"][indices],
            arrays["actions"][indices],
            rewards,
            arrays["next_observations"][last],
            discounts * (1 - arrays["terminated"][last]),
            weights,
        )

    def state(self) -> dict[str, Array]:
        """What is stored."""
        used = {f"replay.{name}": array[: len(self)].copy() for name, array in self.arrays.items()}
        return used | {"replay.stored": np.array([self.stored]), "replay.latest": self.latest.copy()}

    def restore(self, arrays: dict[str, Array]) -> None:
        """Take over what was stored."""
        for name, array in self.arrays.items():
            stored = arrays[f"replay.{name}"]
            array[: len(stored)] = stored
        self.stored = int(arrays["replay.stored"][0])
        self.latest = arrays["replay.latest"].copy()


class Priorities:
    """Draws places in proportion to their priorities, in a tree of sums (Schaul et al. 2016, appendix B.2.1).

    Args:
        capacity: places.
        alpha: how strongly priorities count (equation 1).
    """

    def __init__(self, capacity: int, alpha: float) -> None:
        self._leaves = 1 << (capacity - 1).bit_length()
        self._alpha = alpha
        self.sums = np.zeros(2 * self._leaves)  # node k has the children 2k and 2k + 1; the leaves come last
        self.largest = 1.0

    def set_new(self, places: Array) -> None:
        """New transitions get the largest priority, so that each is seen (section 3.3)."""
        self._set(places, np.full(len(places), self.largest))

    def set_errors(self, places: Array, errors: Array) -> None:
        """Priorities are the sizes of the temporal-difference errors; a little more than 0, so that none is lost."""
        sizes = np.abs(errors).astype(np.float64) + 1e-6
        self.largest = max(self.largest, float(sizes.max()))
        self._set(places, sizes)

    def draw(self, count: int, stored: int, beta: float, random: Any) -> tuple[Array, Array]:
        """Places, one from each of as many equal shares of the sum, and their weights (equation 2)."""
        total = self.sums[1]
        mass = (np.arange(count) + random.random(count)) * (total / count)
        nodes: Array = np.ones(count, np.int64)
        while nodes[0] < self._leaves:
            left: Array = 2 * nodes
            goes_right = mass >= self.sums[left]
            # Rounding must not lead to an empty branch.
            goes_right &= self.sums[left + 1] > 0
            mass = np.where(goes_right, mass - self.sums[left], mass)
            nodes = left + goes_right
        shares = self.sums[nodes] / total
        weights = (stored * np.maximum(shares, 1e-12)) ** -beta
        return nodes - self._leaves, (weights / weights.max()).astype(np.float32)

    def _set(self, places: Array, sizes: Array) -> None:
        nodes = np.asarray(places) + self._leaves
        self.sums[nodes] = sizes**self._alpha
        nodes = np.unique(nodes >> 1)
        while nodes[0] >= 1:
            self.sums[nodes] = self.sums[2 * nodes] + self.sums[2 * nodes + 1]
            nodes = np.unique(nodes >> 1)
