"""One environment as the training sees it: arrays in and out, faults in one line, episodes that can be repeated."""

from __future__ import annotations

import signal
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import gymnasium
import numpy as np

from shared_utils.errors import LLMToolkitError, TrainingError
from training_methods.reinforcement_learning.environments import EnvironmentSource, make_environment, missing_dependency
from training_methods.reinforcement_learning.space_reading import action_writer, observation_reader

Array = Any


class PreparedEnvironment(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Reads observations and writes actions, and remembers how the episode came to where it is.

    An episode follows from the random state at its start and the actions since (that is what the seed of
    gymnasium's `reset` promises), so these two are enough to go on with it in another process.

    Args:
        source: what to make.
        render_mode: how it shows itself, or None.
    """

    def __init__(self, source: EnvironmentSource, render_mode: str | None = None) -> None:
        env = make_environment(source, render_mode)
        super().__init__(env)
        self.name = source.name
        self._reader = observation_reader(env.observation_space, source.name)
        self._writer = action_writer(env.action_space, source.name)
        self.observations, self.actions = self._reader.observations, self._writer.actions
        low, high = (0, 255) if self.observations.dtype == "uint8" else (-np.inf, np.inf)
        self._observation_space = gymnasium.spaces.Box(
            low, high, self.observations.shape, np.dtype(self.observations.dtype)
        )
        self._action_space = _space_of(self.actions)
        self._first_seed: int | None = None
        self._start: dict[str, Any] = {}
        self._taken: list[Any] = []
        self._last: Array = None

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Array, dict[str, Any]]:
        """Begin an episode."""
        if seed is not None:
            self._first_seed = seed
            self._start = {"seed": seed}
        else:
            self._start = {"random": _random_state(self.unwrapped)}
        self._taken = []
        try:
            answer = self.env.reset(seed=seed, options=options)
        except Exception as error:
            raise self._fault("reset", error) from error
        if not (isinstance(answer, tuple) and len(answer) == 2 and isinstance(answer[1], dict)):
            raise self._breach("reset() must give an observation and a dict", answer)
        self._last = self._read(answer[0])
        return self._last, answer[1]

    def step(self, action: Any) -> tuple[Array, float, bool, bool, dict[str, Any]]:
        """Act once."""
        self._taken.append(action)
        try:
            answer = self.env.step(self._writer.write(action))
        except Exception as error:
            raise self._fault("step", error) from error
        try:
            observation, reward, terminated, truncated, info = answer
            reward, terminated, truncated = float(reward), bool(terminated), bool(truncated)
        except (TypeError, ValueError):
            raise self._breach(
                "step() must give an observation, a number, two truth values and a dict", answer
            ) from None
        self._last = self._read(observation)
        return self._last, reward, terminated, truncated, info

    def rendered(self) -> Any:
        """The picture of this moment, of an environment made with a render mode.

        Raises:
            ConfigurationError: a package that draws it is missing.
            TrainingError: drawing failed.
        """
        try:
            return self.env.render()
        except gymnasium.error.DependencyNotInstalled as error:
            raise missing_dependency(self.name, str(error)) from None
        except Exception as error:
            raise self._fault("render", error) from error

    def episode(self) -> dict[str, Any]:
        """What `repeat_episode` needs to come to the same place."""
        return {"first_seed": self._first_seed, "start": self._start, "taken": list(self._taken)}

    def repeat_episode(self, episode: dict[str, Any]) -> Array:
        """Go through an episode again; the observation it comes to."""
        self.reset(seed=episode["first_seed"])
        state = episode["start"].get("random")
        if state is not None:
            self.unwrapped.np_random.bit_generator.state = state
            self.reset()
        self._start = episode["start"]
        observation = self._last
        for action in episode["taken"]:
            observation = self.step(action)[0]
        return observation

    def _read(self, observation: Any) -> Array:
        try:
            array = self._reader.read(observation)
        except (TypeError, ValueError, KeyError, IndexError, AttributeError, AssertionError) as error:
            raise TrainingError(
                f"{self.name} gave an observation that is not of its observation_space: {error!s:.120}",
                hint="the fault lies in the environment",
            ) from None
        if array.shape != self.observations.shape:
            raise TrainingError(
                f"{self.name} gave an observation of the shape {np.shape(observation)}, which is not that of its "
                "observation_space",
                hint="the fault lies in the environment",
            )
        return array

    def _breach(self, rule: str, answer: object) -> TrainingError:
        given = f"{len(answer)} values" if isinstance(answer, tuple) else type(answer).__name__
        return TrainingError(
            f"{self.name} breaks the gymnasium API: {rule}; it gave {given}", hint="mend the environment"
        )

    def _fault(self, call: str, error: Exception) -> Exception:
        if isinstance(error, LLMToolkitError):
            return error
        place = next(iter(reversed(traceback.extract_tb(error.__traceback__))), None)
        where = f" ({Path(place.filename).name}, line {place.lineno})" if place else ""
        return TrainingError(
            f"{self.name} raised {type(error).__name__} in {call}(): {str(error) or 'without a word'}{where}",
            hint="the fault lies in the environment; what was saved before goes on with --resume",
        )


def _space_of(actions: Any) -> gymnasium.spaces.Space[Any]:
    """The space of what agents give, for vectors that copy it."""
    if actions.kind == "discrete":
        return gymnasium.spaces.Discrete(actions.sizes[0])
    if actions.kind == "multi_discrete":
        return gymnasium.spaces.MultiDiscrete(actions.sizes)
    return gymnasium.spaces.Box(-np.inf, np.inf, actions.sizes, np.float32)


def _random_state(env: gymnasium.Env[Any, Any]) -> dict[str, Any] | None:
    """The state of an environment's random numbers; None where it has none of gymnasium's kind."""
    try:
        state: dict[str, Any] = env.np_random.bit_generator.state
    except AttributeError:
        return None
    return state


class StepWatch:
    """Stops an environment of this process that hangs: a timer looks whether the same step is still going on.

    A step only notes that it began and ended, which costs nothing. The watch works in the main thread, and not on
    Windows; code outside of Python that never returns cannot be stopped so.
    """

    def __init__(self) -> None:
        self._name: str | None = None  # of the environment that is acting
        self._count = self._seen = 0
        self._seconds = 0.0

    def began(self, name: str) -> None:
        """An environment begins to act."""
        self._name = name
        self._count += 1

    def ended(self) -> None:
        """It has answered."""
        self._name = None

    @contextmanager
    def on(self, seconds: float) -> Iterator[None]:
        """Watch for the length of the `with` block: `TrainingError` after one to two times so many seconds."""
        if not hasattr(signal, "setitimer") or threading.current_thread() is not threading.main_thread():
            yield
            return
        self._seconds, self._seen = seconds, -1
        handler = signal.signal(signal.SIGALRM, self._look)
        before = signal.setitimer(signal.ITIMER_REAL, seconds, seconds)
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, *before)
            signal.signal(signal.SIGALRM, handler)

    def _look(self, number: int, frame: FrameType | None) -> None:
        if self._name is not None and self._count == self._seen:
            name, self._name = self._name, None
            raise hung(name, self._seconds)
        self._seen = self._count


WATCH = StepWatch()  # a process has one timer


def hung(name: str, seconds: float) -> TrainingError:
    """The error for an environment that does not answer."""
    return TrainingError(
        f"{name} has not answered for {seconds:g} seconds",
        hint="mend the environment, or raise training.step_timeout; what was saved before goes on with --resume",
    )
