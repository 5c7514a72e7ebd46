"""PPO: a policy that is improved in small, clipped steps, with a value that tells how good states are.

Schulman et al. 2017, "Proximal Policy Optimization Algorithms"; the details that make it work are those of
Huang et al. 2022, "The 37 Implementation Details of Proximal Policy Optimization".
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any, ClassVar, Self

import numpy as np
import torch

from shared_utils.errors import ConfigurationError
from shared_utils.settings import checked
from training_methods.reinforcement_learning.action_choice import Choice, choose
from training_methods.reinforcement_learning.agents.agent import Agent, Stepped
from training_methods.reinforcement_learning.flat_parameters import Adam, FlatParameters
from training_methods.reinforcement_learning.networks import ActorCritic
from training_methods.reinforcement_learning.policy_learning import LOSS_NAMES, policy_path
from training_methods.reinforcement_learning.rollout_buffer import RolloutBuffer
from training_methods.reinforcement_learning.settings import PPOSettings
from training_methods.reinforcement_learning.spaces import Actions, Observations
from training_methods.reinforcement_learning.threads import numpy_on_one_thread

Array = Any

ADAM_EPSILON = 1e-5  # Huang et al., detail 3


class PPOAgent(Agent):
    """Proximal Policy Optimization.

    >>> agent = PPOAgent(state_dim=4, action_dim=2)
    >>> action, log_prob, value = agent.select_action(state)
    >>> agent.store_transition(state, action, reward, done, log_prob, value)
    >>> losses = agent.update()

    Args:
        state_dim: numbers in an observation, or its shape.
        action_dim: actions to choose from, or an `Actions` for other kinds.
        lr: learning rate of Adam.
        gamma: discount.
        eps_clip: clip range of the probability ratio.
        settings: everything else; lr, gamma and eps_clip are those given here.
        hidden_dim, k_epochs, batch_size, update_frequency: where given, instead of those of `settings`.
        num_envs: environments that it acts in at a time; 1 for `select_action`.
        seed: start of its random choices.
        device: where the network lies: cpu, cuda or mps.

    Raises:
        ConfigurationError: a setting is out of range, or two do not fit together.
    """

    algorithm: ClassVar[str] = "ppo"
    ActorCritic = ActorCritic

    def __init__(
        self,
        state_dim: int | tuple[int, ...] | Observations = 128,
        action_dim: int | Actions = 10,
        lr: float = 3e-4,
        gamma: float = 0.99,
        eps_clip: float = 0.2,
        *,
        settings: PPOSettings | None = None,
        hidden_dim: int | None = None,
        k_epochs: int | None = None,
        batch_size: int | None = None,
        update_frequency: int | None = None,
        num_envs: int = 1,
        seed: int = 0,
        device: str = "cpu",
    ) -> None:
        values = (settings or PPOSettings()).model_dump()
        given = {"hidden_dim": hidden_dim, "k_epochs": k_epochs, "batch_size": batch_size}
        values |= {name: value for name, value in given.items() if value is not None}
        values |= {"learning_rate": lr, "gamma": gamma, "eps_clip": eps_clip, "num_envs": num_envs}
        if update_frequency is not None:
            values["training"]["update_frequency"] = update_frequency
            values["batch_size"] = batch_size or min(values["batch_size"], update_frequency)
        self.settings: PPOSettings = checked(PPOSettings, values)
        observations = observations_of(state_dim)
        actions = Actions("discrete", (action_dim,)) if isinstance(action_dim, int) else action_dim
        super().__init__(self.settings, observations, actions, num_envs, seed, device)
        generator = torch.Generator().manual_seed(seed)
        self.network = self.ActorCritic(
            observations,
            actions,
            self.settings.hidden_dim,
            self.settings.hidden_layers,
            generator,
            self.settings.log_std_init,
        )
        self.parameters = FlatParameters(self.network, self.device)
        self.optimizer = Adam(self.parameters, ADAM_EPSILON)
        self._path = policy_path(self.network, self.parameters, actions, self.settings, grid=observations.is_grid)
        steps = self.settings.training.update_frequency // num_envs
        self.rollout = RolloutBuffer(steps, num_envs, observations, actions)

    @classmethod
    def from_settings(
        cls, settings: PPOSettings, observations: Observations, actions: Actions, *, seed: int, device: str = "cpu"
    ) -> Self:
        """The agent that a run trains."""
        return cls(
            observations,
            actions,
            settings.learning_rate,
            settings.gamma,
            settings.eps_clip,
            settings=settings,
            num_envs=settings.num_envs,
            seed=seed,
            device=device,
        )

    def act(self, observations: Array, masks: Array | None = None, *, training: bool = True) -> Choice:
        """Draw actions for a batch of observations; without `training` the likeliest ones.

        Args:
            observations: (batch, *shape).
            masks: (batch, outputs), true where an action is possible.
            training: draw, and let the observations count for their statistics.
        """
        inputs = self._inputs(observations, learn=training)
        outputs, values = self._path.evaluate(inputs)
        actions, log_probs = choose(self.actions, outputs, self._log_std(), masks, self.random, greedy=not training)
        return Choice(actions, inputs, log_probs, values, masks)

    def observe(self, observations: Array, choice: Choice, stepped: Stepped) -> None:
        """Remember a step of each environment."""
        rewards = stepped.rewards
        ended = stepped.terminated | stepped.truncated
        if self.reward_scaler:
            rewards = self.reward_scaler.scaled(rewards, ended, stepped.valid)
        bootstrap: Array = 0.0
        # A time limit is not the end of the task: the value of the last state still counts (Pardo et al. 2018).
        cut = stepped.truncated & ~stepped.terminated
        if cut.any():
            bootstrap = np.zeros(len(cut), np.float32)
            bootstrap[cut] = self._path.values(self._inputs(stepped.final_observations[cut]))
        if choice.masks is not None:
            self.rollout.is_masked = True
        self.rollout.add(
            inputs=choice.inputs,
            actions=choice.actions,
            log_probs=choice.log_probs,
            values=choice.values,
            rewards=rewards,
            ended=ended,
            bootstrap=bootstrap,
            valid=stepped.valid,
            masks=True if choice.masks is None else choice.masks,
        )

    def update(self) -> dict[str, float]:
        """Learn from the last `update_frequency` steps, once they and the value of what follows them are there.

        Returns:
            Means over the minibatches: policy_loss, value_loss, entropy, approx_kl, clip_fraction; and
            explained_variance, grad_norm and learning_rate. Empty until enough is stored.
        """
        if not self.rollout.is_full:
            return {}
        with numpy_on_one_thread():
            return self._learn()

    def _learn(self) -> dict[str, float]:
        settings = self.settings
        steps = self.rollout.flattened(settings.gamma, settings.gae_lambda)
        count = len(steps.actions)
        # Minibatches of nearly one size: a rest of a few steps would move the policy by noise.
        parts = max(1, round(count / settings.batch_size))
        bounds = np.linspace(0, count, parts + 1).astype(int).tolist()
        rate = settings.learning_rate * (1.0 - self.progress if settings.anneal_lr else 1.0)
        figures: list[tuple[float, ...]] = []
        for _ in range(settings.k_epochs):
            shuffled = steps.shuffled(self.random.permutation(count))
            if not self._epoch(shuffled, bounds, rate, figures):
                break
        self.rollout.start_anew()
        self.updates += 1
        means = np.mean(np.array(figures, np.float64), axis=0)
        variance = float(np.var(steps.returns, dtype=np.float64))
        left = float(np.var(steps.returns - steps.values, dtype=np.float64))
        return {
            **dict(zip((*LOSS_NAMES, "grad_norm"), means.tolist(), strict=True)),
            "explained_variance": 1 - left / variance if variance else 0.0,
            "learning_rate": rate,
        }

    def _epoch(self, steps: Any, bounds: list[int], rate: float, figures: list[tuple[float, ...]]) -> bool:
        """One pass over the steps; whether another may follow."""
        limit = self.settings.target_kl
        for start, end in pairwise(bounds):
            losses = self._path.gradient(steps.rows(start, end))
            # Half as much again, as the implementations that introduced it do.
            if limit is not None and losses[3] > 1.5 * limit and figures:
                return False
            figures.append((*losses, self.optimizer.step(rate, self.settings.max_grad_norm)))
        return True

    # One step at a time: the batch of one.
    def select_action(self, state: Array, training: bool = True) -> tuple[Any, float, float]:
        """An action for one observation.

        Returns:
            The action (a whole number, or an array), its log probability, and the value of the state.
        """
        choice = self.act(self._one(state), training=training)
        action = choice.actions[0]
        return int(action) if self.actions.kind == "discrete" else action, *_numbers(choice)

    def store_transition(
        self,
        state: Array,
        action: Any,
        reward: float,
        done: bool,
        log_prob: float,
        value: float,
        *,
        truncated: bool = False,
        next_state: Array | None = None,
    ) -> None:
        """Remember a step of one environment.

        Args:
            state, action, log_prob, value: what `select_action` was given and gave.
            reward: what came of it.
            done: the task has ended.
            truncated: the episode was cut while the task goes on; needs `next_state`.
            next_state: the last observation of a cut episode.

        Raises:
            ConfigurationError: a cut episode without its last observation, or an agent of several environments.
        """
        if self.num_envs != 1:
            raise ConfigurationError(
                f"this agent acts in {self.num_envs} environments at a time", hint="use act and observe"
            )
        if truncated and not done and next_state is None:
            raise ConfigurationError(
                "truncated=True needs next_state", hint="its value stands for the rest of the episode"
            )
        if self.rollout.is_full:
            raise ConfigurationError("the buffer is full", hint="call update() after each store_transition()")
        observed = self._one(state)
        last = observed if next_state is None else self._one(next_state)
        choice = Choice(np.asarray(action)[None], self._inputs(observed), np.array([log_prob]), np.array([value]))
        one: Array = np.ones(1, bool)
        self.observe(observed, choice, Stepped(last, np.array([reward]), one & done, one & truncated, last, one))

    @property
    def memory_bytes(self) -> int:
        """What the stored steps take."""
        return sum(int(array.nbytes) for array in self.rollout.arrays.values())

    def _log_std(self) -> Array | None:
        log_std = self.network.log_std
        return None if log_std is None else log_std.detach().cpu().numpy()

    @classmethod
    def _from_facts(cls, facts: dict[str, Any], device: str) -> Self:
        settings = checked(PPOSettings, facts["settings"])
        observations, actions = Observations.from_dict(facts["observations"]), Actions.from_dict(facts["actions"])
        return cls.from_settings(settings, observations, actions, seed=int(facts["seed"]), device=device)

    def _memory(self) -> dict[str, Array]:
        return self.rollout.state()

    def _restore_memory(self, arrays: dict[str, Array], facts: dict[str, Any]) -> None:
        self.rollout.restore(arrays)


def observations_of(state_dim: int | tuple[int, ...] | Observations) -> Observations:
    """The description of observations, from their number or shape."""
    if isinstance(state_dim, Observations):
        return state_dim
    return Observations((state_dim,) if isinstance(state_dim, int) else tuple(state_dim))


def _numbers(choice: Choice) -> tuple[float, float]:
    if choice.log_probs is None or choice.values is None:
        return 0.0, 0.0
    return float(choice.log_probs[0]), float(choice.values[0])
