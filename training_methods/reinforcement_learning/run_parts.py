"""What a run is put together from: environments, agent and loop, new or from a checkpoint."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from shared_utils.errors import ConfigurationError, DataValidationError
from training_methods.reinforcement_learning.agent_files import load_arrays, save_arrays
from training_methods.reinforcement_learning.agents.agent import Agent
from training_methods.reinforcement_learning.agents.ppo_agent import PPOAgent
from training_methods.reinforcement_learning.environment_checks import environment_findings
from training_methods.reinforcement_learning.environments import EnvironmentSource, registered
from training_methods.reinforcement_learning.settings import (
    ALGORITHMS,
    Algorithm,
    DQNSettings,
    EnvironmentSettings,
    PPOSettings,
)
from training_methods.reinforcement_learning.threads import few_threads
from training_methods.reinforcement_learning.training_loop import TrainingLoop
from training_methods.reinforcement_learning.vector_environments import Environments, make_environments

AGENT_FILE, COURSE_FILE, BEST_FILE = "agent.safetensors", "course.safetensors", "best.safetensors"
PROBE_SECONDS = 1.0


def source_of(environment: EnvironmentSettings, settings: PPOSettings | DQNSettings) -> EnvironmentSource:
    """Where the environments of a run come from."""
    return EnvironmentSource(environment.id, environment.kwargs, settings.training.max_steps_per_episode)


def check_source(source: EnvironmentSource, step_timeout: float) -> list[str]:
    """What gymnasium's checker finds fault with, in our words; see `environment_findings`."""
    return environment_findings(source, step_timeout)


def solve_threshold(environment: EnvironmentSettings, settings: PPOSettings | DQNSettings) -> float | None:
    """The return that counts as solved: as set, or what the environment declares; None where nobody says."""
    asked = settings.training.solve_at
    if isinstance(asked, float):
        return asked
    declared = getattr(registered(environment.id), "reward_threshold", None)
    return None if declared is None else float(declared)


def begin(
    environment: EnvironmentSettings, settings: PPOSettings | DQNSettings, algorithm: Algorithm, seed: int, device: str
) -> TrainingLoop:
    """A new agent at the start of its first episodes."""
    environments = _environments(environment, settings)
    try:
        agent = build_agent(environments, settings, algorithm, seed, device)
        agent.environment = environment.model_dump(mode="json")
        loop = TrainingLoop(agent, environments, seed)
        loop.begin()
    except BaseException:
        environments.close()
        raise
    return loop


def go_on(
    checkpoint: Path,
    environment: EnvironmentSettings,
    settings: PPOSettings | DQNSettings,
    algorithm: Algorithm,
    seed: int,
    device: str,
) -> tuple[TrainingLoop, dict[str, Any], bytes | None, bool]:
    """A loop where a checkpoint was taken.

    Returns:
        The loop, what `save_course` was given, the file of the best agent so far, and whether the environments came
        to the same place.
    """
    agent: Agent = agent_class(algorithm).load(checkpoint / AGENT_FILE, device=_device(settings, device))
    arrays, facts = load_arrays(checkpoint / COURSE_FILE)
    environments = _environments(environment, settings)
    try:
        check_fits(agent, environments, checkpoint / AGENT_FILE)
        loop = TrainingLoop(agent, environments, seed)
        is_same = loop.restore(arrays, facts["course"])
    except BaseException:
        environments.close()
        raise
    best = checkpoint / BEST_FILE
    return loop, facts["standing"], best.read_bytes() if best.exists() else None, is_same


def save_course(path: Path, loop: TrainingLoop, standing: dict[str, Any]) -> None:
    """Write where the environments are and what was counted."""
    arrays, facts = loop.state()
    save_arrays(path, arrays, {"course": facts, "standing": standing})


def _environments(environment: EnvironmentSettings, settings: PPOSettings | DQNSettings) -> Environments:
    training = settings.training
    source = source_of(environment, settings)
    return make_environments(source, settings.num_envs, training.vectorization, training.step_timeout)


def agent_class(algorithm: str) -> type[Agent]:
    """The class of an algorithm."""
    if algorithm == "ppo":
        return PPOAgent
    from training_methods.reinforcement_learning.agents.dqn_agent import DQNAgent

    return DQNAgent


def load_agent(path: Path) -> Agent:
    """The agent of a file, whatever its algorithm.

    Raises:
        DataValidationError: there is none, or it is damaged.
    """
    algorithm = load_arrays(path)[1].get("algorithm")
    if algorithm not in ALGORITHMS:
        raise DataValidationError(
            f"{path} is an agent of {algorithm}, which is not known here", hint="update the toolkit"
        )
    return agent_class(algorithm).load(path)


def build_agent(
    environments: Environments, settings: PPOSettings | DQNSettings, algorithm: Algorithm, seed: int, device: str
) -> Agent:
    """An agent for environments.

    Raises:
        ConfigurationError: state_dim or action_dim contradict the environment, or it cannot act there.
    """
    observations, actions = environments.observations, environments.actions
    found = {"state_dim": observations.size, "action_dim": actions.outputs}
    for name, size in found.items():
        asked = getattr(settings, name)
        if asked is not None and asked != size:
            raise ConfigurationError(
                f"reinforcement_learning.{algorithm}.{name} is {asked}, and the environment has {size}",
                hint=f"leave {name} at null: it is taken from the environment",
            )
    if algorithm == "dqn" and actions.kind != "discrete":
        raise ConfigurationError(
            "DQN chooses one of a few actions, and this environment takes "
            + ("numbers" if actions.kind == "continuous" else "several choices at once"),
            hint="use --algorithm ppo",
        )
    kind: Any = agent_class(algorithm)
    agent: Agent = kind.from_settings(settings, observations, actions, seed=seed, device=_device(settings, device))
    return agent


def check_fits(agent: Agent, environments: Environments, path: Path) -> None:
    """Refuse an agent that was made for another environment.

    Raises:
        DataValidationError: shapes or actions differ.
    """
    if (agent.observations, agent.actions) != (environments.observations, environments.actions):
        raise DataValidationError(
            f"{path} was made for observations {agent.observations.shape} and actions {agent.actions.sizes}; the "
            f"environment has {environments.observations.shape} and {environments.actions.sizes}",
            hint="name the environment that it was trained in",
        )


def _device(settings: PPOSettings | DQNSettings, device: str) -> str:
    """`auto` is the processor: moving small batches to a GPU and back takes longer than they do."""
    if device in ("auto", "cpu"):
        return "cpu"
    from shared_utils.model_utils import pick_device  # loads transformers, which an agent has no need of

    return pick_device(device).type


def foretell(
    environment: EnvironmentSettings, settings: PPOSettings | DQNSettings, algorithm: Algorithm, seed: int, device: str
) -> dict[str, Any]:
    """Sizes and speed of a training, tried for a second; nothing is kept."""
    with few_threads(settings.training.threads):
        loop = begin(environment, settings, algorithm, seed, device)
        try:
            started = time.monotonic()
            loop.run(lambda _, learnt: time.monotonic() - started > PROBE_SECONDS)
            speed = loop.timesteps / (time.monotonic() - started)
        finally:
            loop.environments.close()
    agent = loop.agent
    return {
        "observations": str(agent.observations.shape),
        "actions": f"{agent.actions.kind} {agent.actions.sizes}",
        "parameters": int(agent.parameters.values.numel()),
        "memory_mb": agent.memory_bytes / 1e6,
        "vectorization": loop.environments.kind,
        "steps_per_second": round(speed, 1),
    }
