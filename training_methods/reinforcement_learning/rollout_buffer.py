"""What PPO learns from: the steps of all environments since the last update, and their advantages."""

from __future__ import annotations

from typing import Any

import numpy as np

from training_methods.reinforcement_learning.policy_learning import Minibatch
from training_methods.reinforcement_learning.spaces import Actions, Observations

Array = Any


def advantages_of(rewards: Array, values: Array, next_values: Array, ended: Array, gamma: float, lam: float) -> Array:
    """Generalised advantage estimates (Schulman et al. 2016, equation 16).

    Args:
        rewards, values: (steps, environments).
        next_values: value of the observation after each step; 0 after the end of a task.
        ended: whether an episode ended with the step, by its end or by a time limit.
        gamma: discount.
        lam: lambda of the paper.

    Returns:
        (steps, environments), float32.
    """
    deltas = rewards + np.float32(gamma) * next_values - values
    carry = np.float32(gamma * lam) * (1 - ended.astype(np.float32))
    advantages = np.empty_like(deltas)
    last = np.zeros(deltas.shape[1], deltas.dtype)
    for step in range(len(deltas) - 1, -1, -1):
        last = deltas[step] + carry[step] * last
        advantages[step] = last
    return advantages


class RolloutBuffer:
    """Steps in preallocated arrays of (steps + 1, environments).

    The row after the last one lends its value: V of the observation that follows the last step. It is then the
    first row of the next round, so no observation is put to the network twice.

    Args:
        steps: of each environment between updates.
        num_envs: environments.
        observations, actions: their shapes.
    """

    def __init__(self, steps: int, num_envs: int, observations: Observations, actions: Actions) -> None:
        rows = (steps + 1, num_envs)
        kind = np.float32 if actions.kind == "continuous" else np.int64
        parts = (actions.parts,) if actions.parts else ()
        self.steps = steps
        self.arrays: dict[str, Array] = {
            "inputs": np.zeros((*rows, *observations.shape), observations.dtype),
            "actions": np.zeros((*rows, *parts), kind),
            "log_probs": np.zeros(rows, np.float32),
            "values": np.zeros(rows, np.float32),
            "rewards": np.zeros(rows, np.float32),
            "ended": np.zeros(rows, bool),
            "bootstrap": np.zeros(rows, np.float32),
            "valid": np.ones(rows, bool),
            "masks": np.ones((*rows, actions.outputs), bool),
        }
        self.row = 0
        self.is_masked = False

    @property
    def is_full(self) -> bool:
        """Whether an update can be made."""
        return self.row > self.steps

    def add(self, **values: Array) -> None:
        """Store a step of each environment: a value for every array."""
        row = self.row
        for name, array in self.arrays.items():
            array[row] = values[name]
        self.row += 1

    def flattened(self, gamma: float, lam: float) -> Minibatch:
        """All steps that count."""
        arrays, steps = self.arrays, self.steps
        ended, values = arrays["ended"][:steps], arrays["values"]
        next_values = np.where(ended, arrays["bootstrap"][:steps], values[1:])
        advantages = advantages_of(arrays["rewards"][:steps], values[:steps], next_values, ended, gamma, lam)
        # Rows in which an environment only began anew are no steps: their actions did nothing.
        kept = np.flatnonzero(arrays["valid"][:steps].ravel())

        def rows(array: Array) -> Array:
            flat = array[:steps].reshape(-1, *array.shape[2:])
            return flat if len(kept) == len(flat) else flat[kept]

        return Minibatch(
            inputs=rows(arrays["inputs"]),
            actions=rows(arrays["actions"]),
            log_probs=rows(arrays["log_probs"]),
            values=rows(values),
            advantages=rows(advantages),
            returns=rows(advantages + values[:steps]),
            masks=rows(arrays["masks"]) if self.is_masked else None,
        )

    def start_anew(self) -> None:
        """Forget all but the last row, which becomes the first."""
        for array in self.arrays.values():
            array[0] = array[self.steps]
        self.row = 1

    def state(self) -> dict[str, Array]:
        """The rows in use."""
        return {f"rollout.{name}": array[: self.row].copy() for name, array in self.arrays.items()}

    def restore(self, arrays: dict[str, Array]) -> None:
        """Take over rows of `state`."""
        for name, array in self.arrays.items():
            stored = arrays[f"rollout.{name}"]
            array[: len(stored)] = stored
            self.row = len(stored)
        self.is_masked = not bool(self.arrays["masks"][: self.row].all())
