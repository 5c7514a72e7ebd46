"""DQN: the values of actions, learnt from a memory of what happened.

Mnih et al. 2015, "Human-level control through deep reinforcement learning"; with the dueling network of Wang et
al. 2016, double Q-learning of van Hasselt et al. 2016, and, as options, sums of several rewards and prioritised
replay (Schaul et al. 2016).
"""

from __future__ import annotations

from typing import Any, ClassVar, Self

import numpy as np
import torch

from shared_utils.errors import ConfigurationError
from shared_utils.settings import checked
from training_methods.reinforcement_learning.action_choice import IMPOSSIBLE, Choice
from training_methods.reinforcement_learning.agents.agent import Agent, Stepped
from training_methods.reinforcement_learning.agents.ppo_agent import observations_of
from training_methods.reinforcement_learning.flat_parameters import Adam, FlatParameters
from training_methods.reinforcement_learning.networks import DuelingDQNNetwork
from training_methods.reinforcement_learning.q_learning import q_path, stream_order
from training_methods.reinforcement_learning.replay_buffer import Priorities, ReplayBuffer, Transitions
from training_methods.reinforcement_learning.settings import DQNSettings
from training_methods.reinforcement_learning.spaces import Actions, Observations
from training_methods.reinforcement_learning.threads import numpy_on_one_thread

Array = Any

ADAM_EPSILON = 1e-8


class DQNAgent(Agent):
    """Deep Q-learning.

    >>> agent = DQNAgent(state_dim=4, action_dim=2)
    >>> action = agent.select_action(state, training=True)
    >>> agent.store_transition(state, action, reward, next_state, done)
    >>> losses = agent.update()

    Args:
        state_dim: numbers in an observation, or its shape.
        action_dim: actions to choose from.
        lr: learning rate of Adam.
        gamma: discount.
        epsilon_start, epsilon_end: share of random actions at the start, and the least one.
        settings: everything else; those given here go before.
        hidden_dim, epsilon_decay, buffer_size, batch_size, target_update, use_dueling, learning_starts: where given,
            instead of those of `settings`. Without `learning_starts` a program of its own learns from the first
            whole minibatch on.
        num_envs: environments that it acts in at a time; 1 for `select_action`.
        seed: start of its random choices.
        device: where the network lies: cpu, cuda or mps.

    Raises:
        ConfigurationError: a setting is out of range, two do not fit together, or actions are not discrete.
    """

    algorithm: ClassVar[str] = "dqn"
    DuelingDQNNetwork = DuelingDQNNetwork

    def __init__(
        self,
        state_dim: int | tuple[int, ...] | Observations = 128,
        action_dim: int | Actions = 10,
        lr: float = 1e-3,
        gamma: float = 0.99,
        epsilon_start: float = 1.0,
        epsilon_end: float = 0.01,
        *,
        settings: DQNSettings | None = None,
        hidden_dim: int | None = None,
        epsilon_decay: float | None = None,
        buffer_size: int | None = None,
        batch_size: int | None = None,
        target_update: int | None = None,
        use_dueling: bool | None = None,
        learning_starts: int | None = None,
        num_envs: int = 1,
        seed: int = 0,
        device: str = "cpu",
    ) -> None:
        values = (settings or DQNSettings()).model_dump()
        given: dict[str, Any] = {
            "hidden_dim": hidden_dim,
            "epsilon_decay": epsilon_decay,
            "buffer_size": buffer_size,
            "batch_size": batch_size,
            "target_update": target_update,
            "use_dueling": use_dueling,
        }
        values |= {name: value for name, value in given.items() if value is not None}
        if learning_starts is not None or settings is None:
            values["learning_starts"] = learning_starts or values["batch_size"]
        values |= {"learning_rate": lr, "gamma": gamma, "num_envs": num_envs}
        values |= {"epsilon_start": epsilon_start, "epsilon_end": epsilon_end}
        self.settings: DQNSettings = checked(DQNSettings, values)
        observations = observations_of(state_dim)
        actions = Actions("discrete", (action_dim,)) if isinstance(action_dim, int) else action_dim
        if actions.kind != "discrete":
            raise ConfigurationError(
                f"DQN chooses one of a few actions, not {actions.kind} ones", hint="use PPOAgent (--algorithm ppo)"
            )
        super().__init__(self.settings, observations, actions, num_envs, seed, device)
        generator = torch.Generator().manual_seed(seed)
        self.network, self.parameters, self._path = self._built(generator)
        self.target_network, self._target_parameters, self._target_path = self._built(generator)
        self._target_parameters.values.copy_(self.parameters.values)
        self.optimizer = Adam(self.parameters, ADAM_EPSILON)
        self.replay = ReplayBuffer(self.settings.buffer_size, observations, num_envs)
        self.priorities = (
            Priorities(self.settings.buffer_size, self.settings.priority_alpha) if self.settings.prioritized else None
        )
        self.epsilon = epsilon_start
        self.steps_seen = self._steps_since_update = 0

    def _built(self, generator: torch.Generator) -> tuple[Any, FlatParameters, Any]:
        settings, grid = self.settings, self.observations.is_grid
        network = self.DuelingDQNNetwork(
            self.observations,
            self.actions.outputs,
            settings.hidden_dim,
            settings.hidden_layers,
            generator,
            settings.use_dueling,
        )
        parameters = FlatParameters(network, self.device, last=stream_order(settings.use_dueling))
        return network, parameters, q_path(network, parameters, settings.hidden_layers, grid=grid)

    @classmethod
    def from_settings(
        cls, settings: DQNSettings, observations: Observations, actions: Actions, *, seed: int, device: str = "cpu"
    ) -> Self:
        """The agent that a run trains."""
        return cls(
            observations,
            actions,
            settings.learning_rate,
            settings.gamma,
            settings.epsilon_start,
            settings.epsilon_end,
            settings=settings,
            num_envs=settings.num_envs,
            seed=seed,
            device=device,
        )

    def q_values(self, observations: Array) -> Array:
        """The values of all actions, (batch, actions)."""
        return self._path.values(self._inputs(observations))

    def act(self, observations: Array, masks: Array | None = None, *, training: bool = True) -> Choice:
        """The best actions of a batch of observations; with `training`, random ones with probability epsilon."""
        inputs = self._inputs(observations, learn=training)
        count = len(observations)
        if not training:
            return Choice(self._best(inputs, masks), inputs, masks=masks)
        is_random = self.random.random(count) < self.epsilon
        if is_random.all():
            return Choice(self._any(count, masks), inputs, masks=masks)
        actions = self._best(inputs, masks)
        if is_random.any():
            actions = np.where(is_random, self._any(count, masks), actions)
        return Choice(actions, inputs, masks=masks)

    def _best(self, inputs: Array, masks: Array | None) -> Array:
        values = self._path.values(inputs)
        return (values if masks is None else np.where(masks, values, IMPOSSIBLE)).argmax(1)

    def _any(self, count: int, masks: Array | None) -> Array:
        if masks is None:
            return self.random.integers(self.actions.outputs, size=count)
        return np.where(masks, self.random.random(masks.shape), -1.0).argmax(1)

    def observe(self, observations: Array, choice: Choice, stepped: Stepped) -> None:
        """Remember a step of each environment, and let epsilon fall."""
        rewards = stepped.rewards
        ended = stepped.terminated | stepped.truncated
        if self.reward_scaler:
            rewards = self.reward_scaler.scaled(rewards, ended, stepped.valid)
        # Rows in which an environment only began anew are no steps: their actions did nothing.
        kept = np.flatnonzero(stepped.valid)
        # A time limit is not the end of the task (Pardo et al. 2018): only a true end cuts the value off.
        places = self.replay.add(
            observations[kept],
            choice.actions[kept],
            np.asarray(rewards)[kept],
            stepped.final_observations[kept],
            stepped.terminated[kept],
            ended[kept],
            kept,
        )
        if self.priorities is not None and len(places):
            self.priorities.set_new(places)
        self.steps_seen += len(kept)
        self._steps_since_update += len(kept)
        self._lower_epsilon(int(np.count_nonzero(ended)))

    def _lower_epsilon(self, episodes: int) -> None:
        settings = self.settings
        if settings.epsilon_decay_steps is not None:
            share = min(1.0, self.steps_seen / settings.epsilon_decay_steps)
            self.epsilon = settings.epsilon_start + share * (settings.epsilon_end - settings.epsilon_start)
        elif episodes:
            self.epsilon = max(settings.epsilon_end, self.epsilon * settings.epsilon_decay**episodes)

    def update(self) -> dict[str, float]:
        """Learn from minibatches of the memory, once it holds enough and `train_freq` steps have passed.

        Returns:
            Means: loss, q_mean (of the actions taken), grad_norm; and epsilon. Empty where nothing was learnt.
        """
        settings = self.settings
        if self._steps_since_update < settings.train_freq:
            return {}
        if len(self.replay) < max(settings.batch_size, min(settings.learning_starts, settings.buffer_size)):
            return {}
        # Several environments at a time bring several steps: as many updates follow as they are worth.
        rounds = self._steps_since_update // settings.train_freq
        self._steps_since_update -= rounds * settings.train_freq
        if self.steps_seen < settings.learning_starts + self.num_envs * settings.train_freq:
            rounds = 1  # what was stored before learning began does not count
            self._steps_since_update = 0
        with numpy_on_one_thread():
            figures = [self._learn() for _ in range(rounds * settings.gradient_steps)]
        loss, q_mean, norm = figures[0]
        if len(figures) > 1:
            loss, q_mean, norm = (sum(column) / len(figures) for column in zip(*figures, strict=True))
        return {"loss": loss, "q_mean": q_mean, "grad_norm": norm, "epsilon": self.epsilon}

    def _learn(self) -> tuple[float, float, float]:
        settings = self.settings
        batch = self._draw()
        inputs, following = self._inputs(batch.observations), self._inputs(batch.next_observations)
        # What the online network says of both is asked at once.
        both = np.concatenate([inputs, following]) if settings.double_dqn else inputs
        passed, values = self._path.forward(both)
        targets = self._targets(batch, following, values[len(inputs) :])
        errors, loss = self._path.gradient(passed, batch.actions, targets, batch.weights)
        norm = self.optimizer.step(settings.learning_rate, settings.max_grad_norm)
        if self.priorities is not None:
            self.priorities.set_errors(batch.indices, errors)
        self.updates += 1
        if self.updates % settings.target_update == 0:
            self._target_parameters.values.copy_(self.parameters.values)
        return loss, float((targets + errors).sum()) / len(errors), norm

    def _targets(self, batch: Transitions, following: Array, values: Array) -> Array:
        """What the values of the actions taken should be: rewards, and the value of what follows, (batch,)."""
        rated = self._target_path.values(following)
        if self.settings.double_dqn:
            # The online network chooses, the target network rates (van Hasselt et al. 2016, equation 4).
            chosen = values.argmax(1)
            best = rated[np.arange(len(chosen)), chosen]
        else:
            best = rated.max(1)
        return batch.rewards + batch.discounts * best

    def _draw(self) -> Transitions:
        settings, count = self.settings, len(self.replay)
        if self.priorities is None:
            indices, weights = self.random.integers(count, size=settings.batch_size), None
        else:
            share = min(1.0, self.updates / settings.priority_beta_steps)
            beta = settings.priority_beta + share * (1.0 - settings.priority_beta)
            indices, weights = self.priorities.draw(settings.batch_size, count, beta, self.random)
        return self.replay.drawn(indices, settings.n_step, settings.gamma, weights)

    # One step at a time: the batch of one.
    def select_action(self, state: Array, training: bool = True) -> int:
        """An action for one observation; with `training`, a random one with probability epsilon."""
        return int(self.act(self._one(state), training=training).actions[0])

    def store_transition(
        self, state: Array, action: int, reward: float, next_state: Array, done: bool, *, truncated: bool = False
    ) -> None:
        """Remember a step of one environment.

        Args:
            state, action: what `select_action` was given and gave.
            reward, next_state: what came of it.
            done: the task has ended.
            truncated: the episode was cut while the task goes on.

        Raises:
            ConfigurationError: an agent of several environments.
        """
        if self.num_envs != 1:
            raise ConfigurationError(
                f"this agent acts in {self.num_envs} environments at a time", hint="use act and observe"
            )
        observed, following = self._one(state), self._one(next_state)
        one: Array = np.ones(1, bool)
        stepped = Stepped(
            following, np.array([reward], np.float32), one & bool(done), one & bool(truncated), following, one
        )
        self.observe(observed, Choice(np.array([action]), observed), stepped)

    @property
    def memory_bytes(self) -> int:
        """What the stored steps take."""
        return sum(int(array.nbytes) for array in self.replay.arrays.values())

    @classmethod
    def _from_facts(cls, facts: dict[str, Any], device: str) -> Self:
        settings = checked(DQNSettings, facts["settings"])
        observations, actions = Observations.from_dict(facts["observations"]), Actions.from_dict(facts["actions"])
        return cls.from_settings(settings, observations, actions, seed=int(facts["seed"]), device=device)

    def _memory(self) -> dict[str, Array]:
        arrays = self.replay.state() | {"target": self._target_parameters.values.cpu().numpy().copy()}
        if self.priorities is not None:
            arrays |= {"priorities.sums": self.priorities.sums.copy()}
            arrays |= {"priorities.largest": np.array([self.priorities.largest])}
        return arrays

    def _counters(self) -> dict[str, Any]:
        return {
            "epsilon": self.epsilon,
            "steps_seen": self.steps_seen,
            "steps_since_update": self._steps_since_update,
        }

    def _restore(self, arrays: dict[str, Array], facts: dict[str, Any]) -> None:
        super()._restore(arrays, facts)
        if not facts["with_memory"]:
            self._target_parameters.values.copy_(self.parameters.values)

    def _restore_memory(self, arrays: dict[str, Array], facts: dict[str, Any]) -> None:
        self.replay.restore(arrays)
        self._target_parameters.values.copy_(torch.from_numpy(arrays["target"]))
        self.epsilon = float(facts["epsilon"])
        self.steps_seen, self._steps_since_update = int(facts["steps_seen"]), int(facts["steps_since_update"])
        if self.priorities is not None:
            self.priorities.sums[:] = arrays["priorities.sums"]
            self.priorities.largest = float(arrays["priorities.largest"][0])
