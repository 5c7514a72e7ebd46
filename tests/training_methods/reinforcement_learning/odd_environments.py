"""Environments of every kind of space, and of every kind of fault."""

from __future__ import annotations

import os
import time

import gymnasium
import numpy as np
from gymnasium import spaces


class Corridor(gymnasium.Env):
    """Seven places; right leads to the end, which pays 1. What is observed and done is for subclasses to say."""

    observation_space: spaces.Space = spaces.Box(0, 1, (7,), np.float32)
    action_space: spaces.Space = spaces.Discrete(2)
    metadata = {"render_modes": ["rgb_array"], "render_fps": 10}  # noqa: RUF012

    def __init__(self, length: int = 7, render_mode: str | None = None) -> None:
        self.length, self.render_mode = length, render_mode
        self.place = self.steps = 0

    def seen(self):
        return np.eye(7, dtype=np.float32)[self.place]

    def goes_right(self, action) -> bool:
        return bool(action)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.place, self.steps = int(self.np_random.integers(3)), 0
        return self.seen(), {}

    def step(self, action):
        assert self.action_space.contains(action), action
        self.steps += 1
        self.place = max(0, min(self.length - 1, self.place + (1 if self.goes_right(action) else -1)))
        done = self.place == self.length - 1
        return self.seen(), float(done) - 0.01, done, self.steps >= 30, {}

    def render(self):
        picture = np.zeros((20, 140, 3), np.uint8)
        picture[:, self.place * 20 : self.place * 20 + 20] = 255
        return picture


class SeenAsNumber(Corridor):
    observation_space = spaces.Discrete(7, start=3)

    def seen(self):
        return np.int64(self.place + 3)


class SeenAsParts(Corridor):
    observation_space = spaces.Dict(
        {"where": spaces.MultiDiscrete([3, 3]), "bits": spaces.MultiBinary(3),
         "more": spaces.Tuple((spaces.Box(-1, 1, (2, 2)), spaces.Discrete(2)))}
    )  # fmt: skip

    def seen(self):
        bits = np.array([self.place >> bit & 1 for bit in range(3)], np.int8)
        where = np.array([self.place % 3, self.place // 3])
        return {"where": where, "bits": bits, "more": (np.full((2, 2), self.place / 7, np.float32), np.int64(1))}


class SeenAsPicture(Corridor):
    """Channels last, bytes."""

    observation_space = spaces.Box(0, 255, (5, 7, 3), np.uint8)

    def seen(self):
        picture = np.zeros((5, 7, 3), np.uint8)
        picture[:, self.place] = 255
        return picture


class SeenAsGrid(Corridor):
    """Channels first, numbers; and the mask forbids going left."""

    observation_space = spaces.Box(0, 1, (2, 7, 7), np.float32)

    def seen(self):
        grid = np.zeros((2, 7, 7), np.float32)
        grid[0, :, self.place] = 1
        return grid

    def reset(self, *, seed=None, options=None):
        observation, _ = super().reset(seed=seed)
        return observation, {"action_mask": np.array([False, True])}

    def step(self, action):
        assert action == 1, "a forbidden action"
        return *super().step(action)[:4], {"action_mask": np.array([False, True])}


class StartsAtThree(Corridor):
    action_space = spaces.Discrete(2, start=3)

    def goes_right(self, action):
        return action == 4


class ManySwitches(Corridor):
    action_space = spaces.MultiBinary(3)

    def goes_right(self, action):
        return bool(action[0])


class ManyChoices(Corridor):
    action_space = spaces.MultiDiscrete([3, 2], start=[1, 0])

    def goes_right(self, action):
        return bool(action[1])


class Numbers(Corridor):
    action_space = spaces.Box(-2.0, 6.0, (1,), np.float32)

    def goes_right(self, action):
        return float(action[0]) > 2.5


class NoArrays(Corridor):
    observation_space = spaces.Text(10)


class GivesNaN(Corridor):
    def step(self, action):
        observation, reward, done, cut, info = super().step(action)
        return observation * (np.nan if self.steps == 7 else 1), reward, done, cut, info


class RewardIsInfinite(Corridor):
    def step(self, action):
        return self.seen(), float("inf"), False, False, {}


class Raises(Corridor):
    def step(self, action):
        if self.steps == 9:
            raise RuntimeError("out of paint")
        return super().step(action)


class Hangs(Corridor):
    def step(self, action):
        if self.steps == 9:
            time.sleep(600)
        return super().step(action)


class Vanishes(Corridor):
    def step(self, action):
        if self.steps == 9:
            os._exit(3)
        return super().step(action)


class FourValues(Corridor):
    def step(self, action):
        return super().step(action)[:4]


class BareReset(Corridor):
    def reset(self, *, seed=None, options=None):
        return super().reset(seed=seed)[0]


class OutsideOfItsSpace(Corridor):
    def seen(self):
        return np.zeros(5, np.float32)


class LateMess(Corridor):
    """Sound until its twentieth step, which the check before training does not reach."""

    taken = 0

    def step(self, action):
        self.taken += 1
        answer = super().step(action)
        return answer if self.taken < 20 else answer[0]


class OwnChance(Corridor):
    """Chance that no seed governs."""

    def seen(self):
        noise = int.from_bytes(os.urandom(4), "big") / 2**33
        return super().seen() * np.float32(0.5) + np.float32(noise)


class NoEnvironment:
    pass
