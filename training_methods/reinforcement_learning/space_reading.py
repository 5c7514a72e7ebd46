"""From gymnasium's spaces to arrays for agents, and from the actions of agents back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from gymnasium import spaces

from shared_utils.errors import ConfigurationError, TrainingError
from training_methods.reinforcement_learning.spaces import GRID_DIMENSIONS, Actions, Observations

Array = Any

MASK = "action_mask"  # under which name an environment tells, in its info, which actions are possible
_FLAT = (spaces.Discrete, spaces.MultiDiscrete, spaces.MultiBinary, spaces.Dict, spaces.Tuple)
_LEAST_SIDE = 3  # of a grid that a convolution is worth while for


@dataclass(frozen=True)
class ObservationReader:
    """How observations of a space become arrays.

    Attributes:
        observations: what the arrays look like.
        read: one observation to one array.
        read_batch: many at once, of the same space; None where they must be read one by one.
    """

    observations: Observations
    read: Callable[[Any], Array]
    read_batch: Callable[[Array], Array] | None


def observation_reader(space: spaces.Space[Any], name: str) -> ObservationReader:
    """How to read the observations of a space.

    Raises:
        ConfigurationError: no way is known to make numbers of them.
    """
    if isinstance(space, spaces.Box):
        return _box_reader(space)
    if not isinstance(space, _FLAT) or not space.is_np_flattenable:
        raise ConfigurationError(
            f"{name} observes {type(space).__name__}, which has no fixed number of values",
            hint="wrap the environment so that it gives Box, Discrete, MultiDiscrete, MultiBinary, Dict or Tuple",
        )
    size = spaces.flatdim(space)

    def read(observation: Any) -> Array:
        return np.asarray(spaces.flatten(space, observation), np.float32)

    read_batch = None
    if isinstance(space, spaces.Discrete):
        start = int(space.start)
        one_hot: Array = np.eye(size, dtype=np.float32)

        def read_batch(batch: Array) -> Array:
            return one_hot[np.asarray(batch) - start]

    return ObservationReader(Observations((size,)), read, read_batch)


def _box_reader(space: spaces.Box) -> ObservationReader:
    if len(space.shape) != GRID_DIMENSIONS or min(sorted(space.shape)[1:]) < _LEAST_SIDE:
        size = int(np.prod(space.shape))
        return ObservationReader(
            Observations((size,)),
            lambda observation: np.asarray(observation, np.float32).reshape(size),
            lambda batch: np.asarray(batch, np.float32).reshape(len(batch), size),
        )
    is_bytes = space.dtype == np.uint8
    kind = np.uint8 if is_bytes else np.float32
    # Channels come first in our arrays; pictures mostly have them last, where they are fewest.
    channels_last = space.shape[2] < space.shape[0]
    shape = (space.shape[2], *space.shape[:2]) if channels_last else space.shape
    divisor = 255.0 if is_bytes and float(space.high.max()) > 1 else 1.0
    observations = Observations(tuple(int(side) for side in shape), "uint8" if is_bytes else "float32", divisor)
    if not channels_last:
        return ObservationReader(observations, lambda one: np.asarray(one, kind), lambda batch: np.asarray(batch, kind))
    return ObservationReader(
        observations,
        lambda one: np.asarray(one, kind).transpose(2, 0, 1),
        lambda batch: np.asarray(batch, kind).transpose(0, 3, 1, 2),
    )


@dataclass(frozen=True)
class ActionWriter:
    """How actions of an agent become actions of a space.

    Attributes:
        actions: what the agent gives.
        write: one action for the environment.
        write_batch: many at once.
    """

    actions: Actions
    write: Callable[[Any], Any]
    write_batch: Callable[[Array], Array]


def action_writer(space: spaces.Space[Any], name: str) -> ActionWriter:
    """How to write actions for a space.

    Raises:
        ConfigurationError: agents cannot act in it.
    """
    if isinstance(space, spaces.Discrete):
        start, kind = int(space.start), space.dtype
        return ActionWriter(
            Actions("discrete", (int(space.n),)),
            lambda action: kind.type(int(action) + start),
            lambda batch: (batch + start).astype(kind),
        )
    if isinstance(space, spaces.MultiDiscrete):
        starts, shape = np.asarray(space.start).ravel(), space.shape
        return ActionWriter(
            Actions("multi_discrete", tuple(int(one) for one in np.asarray(space.nvec).ravel())),
            lambda action: (np.asarray(action) + starts).astype(space.dtype).reshape(shape),
            lambda batch: (batch + starts).astype(space.dtype).reshape(len(batch), *shape),
        )
    if isinstance(space, spaces.MultiBinary):
        shape, count = space.shape, int(np.prod(space.shape))
        return ActionWriter(
            Actions("multi_discrete", (2,) * count),
            lambda action: np.asarray(action, space.dtype).reshape(shape),
            lambda batch: np.asarray(batch, space.dtype).reshape(len(batch), *shape),
        )
    if isinstance(space, spaces.Box):
        return _box_writer(space)
    raise ConfigurationError(
        f"{name} takes actions of {type(space).__name__}, which no agent here can give",
        hint="wrap the environment so that it takes Discrete, MultiDiscrete, MultiBinary or Box",
    )


def _box_writer(space: spaces.Box) -> ActionWriter:
    """Numbers around 0 become the range of the space, whatever that is; what lies outside is cut to it."""
    count = int(np.prod(space.shape))
    bounded = space.is_bounded("both")
    low, high = space.low.reshape(count).astype(np.float64), space.high.reshape(count).astype(np.float64)
    middle, half = ((low + high) / 2, (high - low) / 2) if bounded else (0.0, 1.0)

    def scaled(batch: Array) -> Array:
        return np.clip(np.asarray(batch, np.float64) * half + middle, low, high).astype(space.dtype)

    return ActionWriter(
        Actions("continuous", (count,)),
        lambda action: scaled(action).reshape(space.shape),
        lambda batch: scaled(batch).reshape(len(batch), *space.shape),
    )


def check_numbers(name: str, array: Array, what: str) -> None:
    """Raise `TrainingError` for what is not a finite number."""
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        number = int(np.argwhere(~np.isfinite(array))[0][0])
        article = "an" if what[0] in "aeiou" else "a"
        raise TrainingError(
            f"{name} gave {article} {what} that is no finite number (environment {number})",
            hint="the fault lies in the environment; what was saved before goes on with --resume",
        )


def mask_of(info: dict[str, Any]) -> Array | None:
    """The masks of several environments in what they tell, (environments, outputs); None where they tell none."""
    mask = info.get(MASK)
    return None if mask is None else np.stack(list(mask)).astype(bool)
