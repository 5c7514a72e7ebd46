"""Environments tried before training: gymnasium's checker, its findings told in our words."""

from __future__ import annotations

import warnings
from contextlib import suppress
from typing import Any

import gymnasium
from gymnasium.utils.env_checker import check_env

from shared_utils.errors import LLMToolkitError
from training_methods.reinforcement_learning.environments import EnvironmentSource, make_environment
from training_methods.reinforcement_learning.prepared_environment import WATCH

# Findings about looks and numbers that are common in sound environments, also in gymnasium's own.
_HARMLESS = (
    "is different from the unwrapped version",
    "symmetric and normalized",
    "infinity",
    "Not able to test alternative render modes",
    "We recommend you to use a symmetric",
    "is out of date",
    "render_modes",
    "render_fps",
)


def environment_findings(source: EnvironmentSource, step_timeout: float) -> list[str]:
    """What is doubtful about an environment, each in one line; nothing for one of gymnasium's own.

    Raises:
        ConfigurationError: it cannot be made.
        TrainingError: it hangs.
        LLMToolkitError: it breaks the API, so that nothing could be learnt in it.
    """
    with WATCH.on(step_timeout):
        WATCH.began(source.name)
        env = make_environment(source)
        try:
            if type(env.unwrapped).__module__.startswith("gymnasium.envs."):
                return []  # tested where they are made; the check would only cost time
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                doubt = _check(source.name, env)
        finally:
            WATCH.ended()
            with suppress(Exception):
                env.close()
    words = [*doubt, *(_in_one_line(str(one.message)) for one in caught)]
    return [
        f"{source.name}: {word}" for word in dict.fromkeys(words) if not any(harmless in word for harmless in _HARMLESS)
    ]


def _check(name: str, env: gymnasium.Env[Any, Any]) -> list[str]:
    """What is doubtful; what makes training impossible is raised."""
    try:
        check_env(env.unwrapped, skip_render_check=True, skip_close_check=True)
        return []
    except LLMToolkitError:
        raise
    except Exception as error:
        reason = _in_one_line(str(error)) or "without a word"
        if isinstance(error, AssertionError) and "determin" in reason.casefold():
            return ["the same seed does not give the same episode; runs will not repeat, nor go on as they were"]
        kind = "" if isinstance(error, AssertionError) else f"{type(error).__name__}: "
        raise LLMToolkitError(
            f"{name} breaks the gymnasium API: {kind}{reason}",
            hint="mend the environment; https://gymnasium.farama.org/api/env/ tells what each call must give",
        ) from None


def _in_one_line(text: str) -> str:
    text = text.replace("\x1b[33m", "").replace("\x1b[0m", "").removeprefix("WARN: ")
    line = " ".join(text.split())
    return line if len(line) <= 300 else f"{line[:300]}..."
