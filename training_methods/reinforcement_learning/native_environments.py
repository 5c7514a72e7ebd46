"""Environments whose makers vectorised them: all copies in one computation, such as gymnasium's CartPole."""

from __future__ import annotations

import warnings
from contextlib import suppress
from typing import Any

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv

from shared_utils.errors import LLMToolkitError, TrainingError
from training_methods.reinforcement_learning.agents.agent import Stepped
from training_methods.reinforcement_learning.environments import EnvironmentSource, registered
from training_methods.reinforcement_learning.space_reading import (
    action_writer,
    check_numbers,
    mask_of,
    observation_reader,
)

Array = Any


def native_environments(source: EnvironmentSource, count: int) -> NativeEnvironments | None:
    """The environment's own vector version, if it has one that can be used."""
    spec = registered(source.name)
    entry = str(getattr(spec, "vector_entry_point", None) or "")
    if not entry or "Jax" in entry:
        return None
    kwargs = dict(source.kwargs) | ({"max_episode_steps": source.max_steps} if source.max_steps else {})
    own = spec.max_episode_steps
    if source.max_steps and own and own < source.max_steps:
        kwargs.pop("max_episode_steps")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            vector = gymnasium.make_vec(source.name, count, vectorization_mode="vector_entry_point", **kwargs)
        except (gymnasium.error.Error, ImportError, TypeError):
            return None  # the single environment tells what is wrong, or does what the vector version cannot
    mode = vector.metadata.get("autoreset_mode")
    reader = observation_reader(vector.single_observation_space, source.name)
    if reader.read_batch is None or mode not in (AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP):
        vector.close()
        return None
    return NativeEnvironments(source.name, vector, next_step=mode == AutoresetMode.NEXT_STEP)


class NativeEnvironments:
    """An environment's own vector version: all of its copies in one computation."""

    kind = "native"

    def __init__(self, name: str, vector: VectorEnv[Any, Any, Any], *, next_step: bool) -> None:
        self._name, self._vector, self._next_step = name, vector, next_step
        self.num_envs = vector.num_envs
        reader = observation_reader(vector.single_observation_space, name)
        writer = action_writer(vector.single_action_space, name)
        self.observations, self.actions = reader.observations, writer.actions
        self._read, self._write = reader.read_batch or np.asarray, writer.write_batch
        self._current: Array = None
        self._ended = np.zeros(self.num_envs, bool)

    def reset(self, seed: int) -> tuple[Array, Array | None]:
        """Begin everywhere."""
        observations, info = self._vector.reset(seed=seed)
        self._current = self._read(observations)
        self._ended = np.zeros(self.num_envs, bool)
        return self._current, mask_of(info)

    def step(self, actions: Array) -> Stepped:
        """Act once everywhere."""
        try:
            observations, rewards, terminated, truncated, info = self._vector.step(self._write(actions))
        except (LLMToolkitError, KeyboardInterrupt):
            raise
        except Exception as error:
            raise TrainingError(
                f"{self._name} raised {type(error).__name__} in step(): {error}",
                hint="the fault lies in the environment",
            ) from error
        self._current = final = self._read(observations)
        check_numbers(self._name, final, "observation")
        check_numbers(self._name, rewards, "reward")
        valid = ~self._ended if self._next_step else np.ones(self.num_envs, bool)
        ended = terminated | truncated
        if self._next_step:
            self._ended = ended
        elif ended.any():
            final = self._current.copy()
            final[ended] = self._read(np.stack([info["final_obs"][number] for number in np.flatnonzero(ended)]))
        return Stepped(self._current, rewards, terminated, truncated, final, valid, mask_of(info))

    def state(self) -> tuple[dict[str, Array], dict[str, Any]]:
        """All numbers that the vector holds, and its random states."""
        arrays, facts = attribute_state(self._vector.unwrapped)
        arrays = {f"environments.{name}": array for name, array in arrays.items()}
        return arrays | {"ended": self._ended, "current": self._current}, facts

    def restore(self, arrays: dict[str, Array], facts: dict[str, Any]) -> Array:
        """Take the numbers over."""
        self._vector.reset(seed=0)
        prefix = "environments."
        own = {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}
        restore_attributes(self._vector.unwrapped, own, facts)
        self._ended, self._current = arrays["ended"].copy(), arrays["current"].copy()
        return self._current

    def close(self) -> None:
        """Close it."""
        with suppress(Exception):
            self._vector.close()


def attribute_state(owner: object) -> tuple[dict[str, Array], dict[str, Any]]:
    """Arrays, plain numbers and random states among the attributes of an object."""
    arrays: dict[str, Array] = {}
    facts: dict[str, Any] = {"numbers": {}, "random": {}}
    for name, value in vars(owner).items():
        if isinstance(value, np.ndarray) and value.dtype.kind in "biuf":
            arrays[name] = value.copy()
        elif isinstance(value, bool | int | float) and np.isfinite(value):
            facts["numbers"][name] = value
        elif isinstance(value, np.random.Generator):
            facts["random"][name] = value.bit_generator.state
        elif isinstance(value, list) and value and all(isinstance(one, np.random.Generator) for one in value):
            facts["random"][name] = [one.bit_generator.state for one in value]
    return arrays, facts


def restore_attributes(owner: object, arrays: dict[str, Array], facts: dict[str, Any]) -> None:
    """Put them back."""
    for name, array in arrays.items():
        setattr(owner, name, array.copy())
    for name, value in facts["numbers"].items():
        setattr(owner, name, value)
    for name, stored in facts["random"].items():
        generators = getattr(owner, name)
        for generator, state in (
            zip(generators, stored, strict=True) if isinstance(stored, list) else [(generators, stored)]
        ):
            generator.bit_generator.state = state
