"""Several environments stepped together: in this process, in processes of their own, or as one vectorised whole.

Each tells an ended episode at once: the observations to act on next are those of the new episode, and the last ones
of the old are given beside them. Gymnasium's own vector versions begin a new episode one step later; that step is
marked as not valid.
"""

from __future__ import annotations

import multiprocessing
import signal
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, Protocol

import numpy as np
from gymnasium.vector import AsyncVectorEnv, AutoresetMode
from gymnasium.vector.async_vector_env import AsyncState

from shared_utils.errors import ConfigurationError, LLMToolkitError, TrainingError
from training_methods.reinforcement_learning.agents.agent import Stepped
from training_methods.reinforcement_learning.environments import EnvironmentSource
from training_methods.reinforcement_learning.native_environments import native_environments
from training_methods.reinforcement_learning.prepared_environment import WATCH, PreparedEnvironment, hung
from training_methods.reinforcement_learning.space_reading import MASK, check_numbers, mask_of
from training_methods.reinforcement_learning.spaces import Actions, Observations

Array = Any


class Environments(Protocol):
    """Environments that are stepped together."""

    kind: str
    num_envs: int
    observations: Observations
    actions: Actions

    def reset(self, seed: int) -> tuple[Array, Array | None]:
        """Begin everywhere; observations and masks."""

    def step(self, actions: Array) -> Stepped:
        """Act once everywhere.

        Raises:
            TrainingError: an environment failed, hung, broke the API, or gave what is no number.
        """

    def state(self) -> tuple[dict[str, Array], dict[str, Any]]:
        """What `restore` needs, as arrays and facts."""

    def restore(self, arrays: dict[str, Array], facts: dict[str, Any]) -> Array:
        """Come to a stored place; the observations there, which equal the stored ones if it could be done."""

    def close(self) -> None:
        """Let go of everything."""


def make_environments(source: EnvironmentSource, count: int, how: str, step_timeout: float) -> Environments:
    """Environments in the way asked for; `auto` takes the environment's own vector version where it has one.

    Raises:
        ConfigurationError: there is no such environment, or it has no vector version and one was asked for.
    """
    if how == "subprocess":
        return SubprocessEnvironments(source, count, step_timeout)
    if how == "native" or (how == "auto" and count > 1):
        native = native_environments(source, count)
        if native is not None:
            return native
        if how == "native":
            raise ConfigurationError(
                f"{source.name} has no vector version of its own", hint="use training.vectorization sync or subprocess"
            )
    return LocalEnvironments(source, count)


class LocalEnvironments:
    """Environments of this process, one after another."""

    kind = "sync"

    def __init__(self, source: EnvironmentSource, count: int) -> None:
        self._name = source.name
        self._envs = [PreparedEnvironment(source) for _ in range(count)]
        self.num_envs = count
        self.observations, self.actions = self._envs[0].observations, self._envs[0].actions
        self._current: Array = np.zeros((count, *self.observations.shape), self.observations.dtype)
        self._masks: Array | None = None
        self._all: Array = np.ones(count, bool)

    def reset(self, seed: int) -> tuple[Array, Array | None]:
        """Begin everywhere; environment `i` gets the seed plus `i`."""
        self._masks = None
        WATCH.began(self._name)
        for number, env in enumerate(self._envs):
            self._current[number], info = env.reset(seed=seed + number)
            self._note_mask(number, info)
        WATCH.ended()
        check_numbers(self._name, self._current, "observation")
        return self._current.copy(), _copy(self._masks)

    def step(self, actions: Array) -> Stepped:
        """Act once everywhere."""
        count = self.num_envs
        rewards: Array = np.zeros(count, np.float32)
        terminated: Array = np.zeros(count, bool)
        truncated: Array = np.zeros(count, bool)
        final = np.empty_like(self._current)
        WATCH.began(self._name)
        for number, env in enumerate(self._envs):
            observation, rewards[number], ended, cut, info = env.step(actions[number])
            final[number] = observation
            if ended or cut:
                terminated[number], truncated[number] = ended, cut
                observation, info = env.reset()
            self._current[number] = observation
            if MASK in info:
                self._note_mask(number, info)
        WATCH.ended()
        check_numbers(self._name, final, "observation")
        check_numbers(self._name, rewards, "reward")
        return Stepped(self._current.copy(), rewards, terminated, truncated, final, self._all, _copy(self._masks))

    def state(self) -> tuple[dict[str, Array], dict[str, Any]]:
        """Start and actions of each episode."""
        return episodes_state([env.episode() for env in self._envs], self.actions)

    def restore(self, arrays: dict[str, Array], facts: dict[str, Any]) -> Array:
        """Go through the episodes again."""
        self._masks = None
        for number, (env, episode) in enumerate(zip(self._envs, stored_episodes(arrays, facts), strict=True)):
            self._current[number] = env.repeat_episode(episode)
        return self._current.copy()

    def close(self) -> None:
        """Close each; what goes wrong there no longer matters."""
        for env in self._envs:
            with suppress(Exception):
                env.close()

    def _note_mask(self, number: int, info: dict[str, Any]) -> None:
        mask = info.get(MASK)
        if mask is None:
            return
        if self._masks is None:
            self._masks = np.ones((self.num_envs, self.actions.outputs), bool)
        self._masks[number] = mask


def _copy(array: Array | None) -> Array | None:
    return None if array is None else array.copy()


def episodes_state(episodes: Sequence[dict[str, Any]], actions: Actions) -> tuple[dict[str, Array], dict[str, Any]]:
    """Episodes as arrays and facts."""
    taken = [action for episode in episodes for action in episode["taken"]]
    kind = np.float32 if actions.kind == "continuous" else np.int64
    shape = (-1, actions.parts) if actions.parts else (-1,)
    facts = {
        "lengths": [len(episode["taken"]) for episode in episodes],
        "starts": [{name: episode[name] for name in ("first_seed", "start")} for episode in episodes],
    }
    return {"environments.actions": np.array(taken, kind).reshape(shape)}, facts


def stored_episodes(arrays: dict[str, Array], facts: dict[str, Any]) -> list[dict[str, Any]]:
    """Episodes from arrays and facts."""
    ends = np.cumsum(facts["lengths"]).tolist()
    actions = arrays["environments.actions"]
    return [
        {**start, "taken": list(actions[end - length : end])}
        for start, length, end in zip(facts["starts"], facts["lengths"], ends, strict=True)
    ]


def _in_worker(source: EnvironmentSource) -> PreparedEnvironment:
    # Ctrl-C reaches every process of the terminal: the training stops the workers itself, after it has saved.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    return PreparedEnvironment(source)


class SubprocessEnvironments:
    """Environments in processes of their own, for those whose steps take long."""

    kind = "subprocess"

    def __init__(self, source: EnvironmentSource, count: int, step_timeout: float) -> None:
        self._name, self._timeout = source.name, step_timeout
        single = PreparedEnvironment(source)  # faults of its making are told here, not through a pipe
        self.num_envs, self.observations, self.actions = count, single.observations, single.actions
        single.close()
        makers: list[Callable[[], Any]] = [partial(_in_worker, source) for _ in range(count)]
        self._vector: AsyncVectorEnv[Any, Any, Any] = AsyncVectorEnv(
            makers, autoreset_mode=AutoresetMode.SAME_STEP, shared_memory=False
        )
        self._masks: Array | None = None

    def reset(self, seed: int) -> tuple[Array, Array | None]:
        """Begin everywhere."""
        self._vector.reset_async(seed=seed)
        observations, info = self._waited(self._vector.reset_wait)
        check_numbers(self._name, observations, "observation")
        self._masks = mask_of(info)
        return observations, self._masks

    def step(self, actions: Array) -> Stepped:
        """Act once everywhere."""
        self._vector.step_async(actions)
        observations, rewards, terminated, truncated, info = self._waited(self._vector.step_wait)
        final = observations
        ended = terminated | truncated
        if ended.any():
            final = observations.copy()
            for number in np.flatnonzero(ended):
                final[number] = info["final_obs"][number]
        check_numbers(self._name, final, "observation")
        check_numbers(self._name, rewards, "reward")
        valid: Array = np.ones(self.num_envs, bool)
        return Stepped(observations, rewards.astype(np.float32), terminated, truncated, final, valid, mask_of(info))

    def state(self) -> tuple[dict[str, Array], dict[str, Any]]:
        """Start and actions of each episode."""
        return episodes_state(self._vector.call("episode"), self.actions)

    def restore(self, arrays: dict[str, Array], facts: dict[str, Any]) -> Array:
        """Go through the episodes again."""
        episodes = stored_episodes(arrays, facts)
        self._vector.reset(seed=0)
        for pipe, episode in zip(self._vector.parent_pipes, episodes, strict=True):
            pipe.send(("_call", ("repeat_episode", (episode,), {})))
        answers = [pipe.recv() for pipe in self._vector.parent_pipes]
        return np.stack([observation for observation, _ in answers])

    def close(self) -> None:
        """End the processes, whatever they are doing."""
        for process in self._vector.processes:
            process.terminate()
        self._vector._state = AsyncState.DEFAULT  # else it would wait for the answer of a step
        with suppress(Exception):
            self._vector.close(terminate=True)

    def _waited(self, wait: Callable[..., Any]) -> Any:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # gymnasium tells of an error twice
                return wait(timeout=self._timeout)
        except multiprocessing.TimeoutError:
            self.close()
            raise hung(self._name, self._timeout) from None
        except LLMToolkitError as error:
            self.close()
            inner = error.message
            if isinstance(inner, LLMToolkitError):  # gymnasium wraps what a worker raised in its own kind
                raise inner from None
            raise
        except (EOFError, BrokenPipeError, ConnectionResetError):
            self.close()
            raise TrainingError(
                f"a process of {self._name} ended unasked", hint="run it with training.vectorization=sync to see why"
            ) from None
