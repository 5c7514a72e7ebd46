"""`episode.gif`: an episode of the finished agent as an animated picture, made by Pillow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from shared_utils.errors import ConfigurationError
from shared_utils.file_utils import atomic_binary_writer
from training_methods.reinforcement_learning.agents.agent import Agent
from training_methods.reinforcement_learning.environments import EnvironmentSource, make_environment
from training_methods.reinforcement_learning.evaluation import SEEDS_OF_FINAL
from training_methods.reinforcement_learning.prepared_environment import PreparedEnvironment
from training_methods.reinforcement_learning.space_reading import MASK

MOST_FRAMES = 500
LARGEST_SIDE = 400  # pixels
LEAST_MILLISECONDS = 20  # browsers show shorter ones slower
RENDER_MODE = "rgb_array"


def check_video(source: EnvironmentSource) -> None:
    """Refuse, before training, an environment that cannot show itself.

    Raises:
        ConfigurationError: it has no pictures, or a package for them is missing.
    """
    env = make_environment(source)
    modes = env.metadata.get("render_modes") or []
    env.close()
    if RENDER_MODE not in modes:
        raise ConfigurationError(
            f"{source.name} cannot be recorded: it has no render mode {RENDER_MODE}",
            hint=f"leave out --record-video; it shows itself as {', '.join(map(str, modes)) or 'nothing'}",
        )
    _frames(source, None, 0, most=1)


def record_episode(agent: Agent, source: EnvironmentSource, path: Path, seed: int) -> str:
    """Write an episode with the agent's best actions; what was recorded, in words."""
    frames, milliseconds, total = _frames(source, agent, seed + SEEDS_OF_FINAL, most=MOST_FRAMES)
    with atomic_binary_writer(path) as file:
        frames[0].save(
            file, format="GIF", save_all=True, append_images=frames[1:], duration=milliseconds, loop=0, optimize=False
        )
    return f"{path.name}: {len(frames)} frames of an episode with the return {total:.1f}"


def _frames(source: EnvironmentSource, agent: Agent | None, seed: int, most: int) -> tuple[list[Any], int, float]:
    env = PreparedEnvironment(source, RENDER_MODE)
    try:
        observation, info = env.reset(seed=seed)
        frames, total, is_over = [_picture(env, source)], 0.0, False
        while agent is not None and not is_over and len(frames) < most:
            masks = np.asarray(info[MASK], bool)[None] if MASK in info else None
            action = agent.act(observation[None], masks, training=False).actions[0]
            observation, reward, terminated, truncated, info = env.step(action)
            total += reward
            is_over = terminated or truncated
            frames.append(_picture(env, source))
        rate = float(env.metadata.get("render_fps") or 30)
    finally:
        env.close()
    return frames, max(LEAST_MILLISECONDS, round(1000 / rate)), total


def _picture(env: PreparedEnvironment, source: EnvironmentSource) -> Any:
    array = env.rendered()
    if not isinstance(array, np.ndarray):
        raise ConfigurationError(
            f"{source.name} gave no picture for the render mode {RENDER_MODE}", hint="leave out --record-video"
        )
    picture = Image.fromarray(array)
    picture.thumbnail((LARGEST_SIDE, LARGEST_SIDE))
    return picture.quantize(64)
