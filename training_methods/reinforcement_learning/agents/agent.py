"""What PPO and DQN agents have in common: the way the training loop speaks to them, and their files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import torch

from shared_utils.errors import DataValidationError
from training_methods.reinforcement_learning.action_choice import Choice
from training_methods.reinforcement_learning.agent_files import load_arrays, save_arrays
from training_methods.reinforcement_learning.flat_parameters import Adam, FlatParameters
from training_methods.reinforcement_learning.normalization import ObservationScaler, RewardScaler
from training_methods.reinforcement_learning.settings import DQNSettings, PPOSettings
from training_methods.reinforcement_learning.spaces import Actions, Observations

Array = Any

FORMAT = 1
NAME_OF_WEIGHTS = "network."


@dataclass(frozen=True)
class Stepped:
    """What a step of several environments gave; the first axis is the environment.

    Attributes:
        observations: to act on next.
        rewards: float.
        terminated: the task has ended.
        truncated: the episode was cut, for example by a time limit, and its task goes on.
        final_observations: the observation after the step, also where an episode ended and another began.
        valid: false where the environment only began anew and the action did nothing.
        masks: (environments, outputs), true where an action is possible next; None: all are.
    """

    observations: Array
    rewards: Array
    terminated: Array
    truncated: Array
    final_observations: Array
    valid: Array
    masks: Array | None = None


class Agent:
    """The base of both agents.

    Args:
        settings: of the algorithm.
        observations, actions: what it acts on, and how.
        num_envs: environments that it acts in at a time.
        seed: start of its random choices.
        device: where its network lies.
    """

    algorithm: ClassVar[str]
    settings: PPOSettings | DQNSettings
    network: torch.nn.Module
    parameters: FlatParameters
    optimizer: Adam

    def __init__(
        self,
        settings: PPOSettings | DQNSettings,
        observations: Observations,
        actions: Actions,
        num_envs: int,
        seed: int,
        device: str,
    ) -> None:
        self.observations, self.actions = observations, actions
        self.num_envs, self.seed = num_envs, seed
        self.device = torch.device(device)
        self.random = np.random.default_rng(seed)
        self.updates = 0
        self.progress = 0.0  # share of the training that is done, for settings that change with it
        self.environment: dict[str, Any] | None = None  # where it was trained, for those who load it
        self.observation_scaler = ObservationScaler(observations.shape) if settings.normalize_observations else None
        self.reward_scaler = RewardScaler(num_envs, settings.gamma) if settings.normalize_rewards else None

    # The calls of the training loop.
    def act(self, observations: Array, masks: Array | None = None, *, training: bool = True) -> Choice:
        """Actions for a batch of observations; without `training` the best known ones."""
        raise NotImplementedError

    def observe(self, observations: Array, choice: Choice, stepped: Stepped) -> None:
        """Remember a step of each environment: what was seen, chosen, and came of it."""
        raise NotImplementedError

    def update(self) -> dict[str, float]:
        """Learn, when there is enough to learn from; figures by name, none when nothing was learnt."""
        raise NotImplementedError

    @property
    def memory_bytes(self) -> int:
        """What the stored steps take."""
        raise NotImplementedError

    # Files.
    def save(self, path: str | Path, *, with_memory: bool = True) -> None:
        """Write the agent into one safetensors file.

        Args:
            path: the file.
            with_memory: with all that learning goes on from: optimizer, stored steps, random state. Without it the
                file is small and acts the same.
        """
        arrays = {
            f"{NAME_OF_WEIGHTS}{name}": value.detach().cpu().numpy()
            for name, value in self.network.state_dict().items()
        }
        if self.observation_scaler:
            arrays |= self.observation_scaler.statistics.arrays("observation_scaler")
        facts: dict[str, Any] = {
            "format": FORMAT,
            "algorithm": self.algorithm,
            "settings": self.settings.model_dump(mode="json"),
            "observations": self.observations.as_dict(),
            "actions": self.actions.as_dict(),
            "num_envs": self.num_envs,
            "seed": self.seed,
            "environment": self.environment,
            "updates": self.updates,
            "with_memory": with_memory,
        }
        if with_memory:
            arrays |= self.optimizer.arrays() | self._memory()
            facts |= {"random": self.random.bit_generator.state, **self._counters()}
            if self.reward_scaler:
                arrays |= self.reward_scaler.statistics.arrays("reward_scaler")
                arrays["reward_scaler.returns"] = self.reward_scaler.returns
        save_arrays(path, arrays, facts)

    @classmethod
    def load(cls, path: str | Path, *, device: str = "cpu") -> Self:
        """The agent of a file.

        Raises:
            DataValidationError: no such file, a damaged one, or an agent of another algorithm.
            SecurityError: a pickle.
        """
        arrays, facts = load_arrays(path)
        if facts.get("algorithm") != cls.algorithm:
            raise DataValidationError(
                f"{path} is an agent of {facts.get('algorithm')}, not of {cls.algorithm}",
                hint=f"load it with --algorithm {facts.get('algorithm')}",
            )
        try:
            agent = cls._from_facts(facts, device)
            agent._restore(arrays, facts)
        except (KeyError, ValueError, TypeError, IndexError) as error:
            raise DataValidationError(
                f"{path} does not hold what it should: {error!s:.120}", hint="take an older checkpoint of the run"
            ) from None
        return agent

    @classmethod
    def _from_facts(cls, facts: dict[str, Any], device: str) -> Self:
        raise NotImplementedError

    def _restore(self, arrays: dict[str, Array], facts: dict[str, Any]) -> None:
        with torch.no_grad():
            for name, value in self.network.state_dict().items():
                stored = arrays[f"{NAME_OF_WEIGHTS}{name}"]
                if stored.shape != tuple(value.shape):
                    raise ValueError(f"{name} has the shape {stored.shape} instead of {tuple(value.shape)}")
                value.copy_(torch.from_numpy(stored))
        self.updates = int(facts["updates"])
        self.environment = facts["environment"]
        if self.observation_scaler:
            self.observation_scaler.statistics.restore("observation_scaler", arrays)
        if not facts["with_memory"]:
            return
        self.optimizer.restore(arrays)
        self.random.bit_generator.state = facts["random"]
        if self.reward_scaler:
            self.reward_scaler.statistics.restore("reward_scaler", arrays)
            self.reward_scaler.returns = arrays["reward_scaler.returns"].copy()
        self._restore_memory(arrays, facts)

    def _memory(self) -> dict[str, Array]:
        """Arrays that learning goes on from, besides weights and optimizer."""
        raise NotImplementedError

    def _counters(self) -> dict[str, Any]:
        """Plain facts that learning goes on from."""
        return {}

    def _restore_memory(self, arrays: dict[str, Array], facts: dict[str, Any]) -> None:
        raise NotImplementedError

    # What both do with observations.
    def _inputs(self, observations: Array, *, learn: bool = False) -> Array:
        """Observations as the network reads them; with `learn` their statistics count."""
        if self.observation_scaler is None:
            return observations
        if learn:
            self.observation_scaler.statistics.update(observations)
        return self.observation_scaler.scaled(observations)

    def _one(self, state: Array) -> Array:
        """A batch of one observation.

        Raises:
            DataValidationError: it has another shape than the agent was made for.
        """
        batch = np.asarray(state, self.observations.dtype)[None]
        if batch.shape[1:] != self.observations.shape:
            raise DataValidationError(
                f"the observation has the shape {batch.shape[1:]}, and this agent reads {self.observations.shape}",
                hint="make the agent with the state_dim of the environment",
            )
        return batch
