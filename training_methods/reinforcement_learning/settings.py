"""Settings of reinforcement learning: one section for each algorithm."""

from __future__ import annotations

import json
from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from shared_utils.settings import Settings
from training_methods.reinforcement_learning.grpo_settings import GRPOSettings

Algorithm = Literal["ppo", "dqn"]
ALGORITHMS: tuple[Algorithm, ...] = ("ppo", "dqn")


class RLTrainingSettings(Settings):
    """How long an agent trains, and when it is measured and saved. Time is counted in steps of all environments."""

    max_episodes: int | None = Field(1000, ge=1, description="episodes to train for, unless total_timesteps is set")
    total_timesteps: int | None = Field(
        None, ge=1, description="environment steps to train for; when set, max_episodes is not looked at"
    )
    max_steps_per_episode: int | None = Field(
        None,
        ge=1,
        description="episodes are cut there, which is no end of the task; null: the environment's own limit",
    )
    save_frequency: int | None = Field(
        100, ge=1, description="episodes between checkpoints; null: checkpoint.save_frequency"
    )
    eval_frequency: int = Field(10_000, ge=1, description="steps between evaluations")
    eval_episodes: int = Field(
        20, ge=1, description="episodes of each evaluation while training, on seeds of their own"
    )
    final_eval_episodes: int = Field(100, ge=1, description="episodes of the evaluation of the finished agent")
    solve_at: float | Literal["auto", "never"] = Field(
        "auto",
        description="stop when the mean return of the final evaluation reaches it; auto: what the environment declares",
    )
    patience: int | None = Field(
        0,
        ge=0,
        description="evaluations without a better return before stopping; 0 never stops, null: early_stopping.patience",
    )
    vectorization: Literal["auto", "native", "sync", "subprocess"] = Field(
        "auto",
        description="how environments run side by side; auto: the environment's own vector version, else one process",
    )
    threads: int = Field(
        1, ge=1, description="threads of torch; more than one help large pictures only, and change the last bits"
    )
    step_timeout: float = Field(
        60.0, gt=0, description="seconds that a step may take before the environment counts as hung"
    )


class PPOTrainingSettings(RLTrainingSettings):
    """The training run of PPO."""

    update_frequency: int = Field(2048, ge=1, description="steps, of all environments together, between updates")


class DQNTrainingSettings(RLTrainingSettings):
    """The training run of DQN."""


class AgentSettings(Settings):
    """What every agent has."""

    state_dim: int | None = Field(None, ge=1, description="numbers in an observation; null: from the environment")
    action_dim: int | None = Field(None, ge=1, description="actions to choose from; null: from the environment")
    hidden_dim: int = Field(256, ge=1, description="width of each hidden layer")
    hidden_layers: int = Field(2, ge=1, le=8, description="hidden layers")
    num_envs: int = Field(1, ge=1, description="environments that are stepped together")
    normalize_observations: bool = Field(
        False, description="observations to mean 0 and variance 1, by statistics saved with the agent"
    )
    normalize_rewards: bool = Field(
        False,
        description="rewards divided by the deviation of the discounted return, by statistics saved with the agent",
    )


class PPOSettings(AgentSettings):
    """Proximal Policy Optimization (Schulman et al. 2017), with the details of Huang et al. 2022."""

    learning_rate: float = Field(3e-4, gt=0, le=1, description="of Adam")
    gamma: float = Field(0.99, ge=0, le=1, description="discount of later rewards")
    gae_lambda: float = Field(
        0.95, ge=0, le=1, description="mixes short and long advantage estimates (Schulman et al. 2016, equation 16)"
    )
    eps_clip: float = Field(0.2, gt=0, lt=1, description="clip range of the probability ratio (equation 7)")
    k_epochs: int = Field(4, ge=1, description="passes over the steps of an update")
    batch_size: int = Field(64, ge=1, description="steps in a minibatch")
    num_envs: int = Field(8, ge=1, description="environments that are stepped together")
    value_coef: float = Field(0.5, ge=0, description="weight of the value loss (equation 9)")
    entropy_coef: float = Field(0.0, ge=0, description="weight of the entropy bonus (equation 9)")
    max_grad_norm: float = Field(0.5, gt=0, description="gradients are scaled down to this norm")
    target_kl: float | None = Field(
        None, gt=0, description="an update ends when its policy has moved so far (Dossa et al. 2021); null: never"
    )
    norm_adv: bool = Field(
        True, description="advantages of each minibatch to mean 0 and variance 1 (Huang et al., detail 7)"
    )
    clip_vloss: bool = Field(
        False, description="clip the value's move by eps_clip, too (Huang et al., detail 9; it rarely helps)"
    )
    anneal_lr: bool = Field(False, description="learning rate to 0 over total_timesteps (Huang et al., detail 4)")
    log_std_init: float = Field(0.0, description="continuous actions: log of the policy's first standard deviation")
    training: PPOTrainingSettings = Field(default_factory=PPOTrainingSettings, description="the training run")

    @model_validator(mode="after")
    def _an_update_has_steps_of_every_environment(self) -> Self:
        if self.training.update_frequency < self.num_envs:
            raise ValueError(
                f"training.update_frequency {self.training.update_frequency} is less than num_envs {self.num_envs}: "
                "an update needs a step of each"
            )
        if self.batch_size > self.training.update_frequency:
            raise ValueError(
                f"batch_size {self.batch_size} is more than training.update_frequency {self.training.update_frequency}"
            )
        if self.anneal_lr and self.training.total_timesteps is None:
            raise ValueError("anneal_lr needs training.total_timesteps: the rate falls to 0 over them")
        return self


class DQNSettings(AgentSettings):
    """Deep Q-learning (Mnih et al. 2015)."""

    learning_rate: float = Field(1e-3, gt=0, le=1, description="of Adam")
    gamma: float = Field(0.99, ge=0, le=1, description="discount of later rewards")
    epsilon_start: float = Field(1.0, ge=0, le=1, description="share of random actions at the start")
    epsilon_end: float = Field(0.01, ge=0, le=1, description="least share of random actions")
    epsilon_decay: float = Field(0.995, gt=0, le=1, description="epsilon is multiplied by this after each episode")
    epsilon_decay_steps: int | None = Field(
        None,
        ge=1,
        description="when set, epsilon falls in a line over so many steps, and epsilon_decay is not looked at",
    )
    buffer_size: int = Field(10000, ge=1, description="transitions in the replay buffer")
    batch_size: int = Field(32, ge=1, description="transitions in a minibatch")
    target_update: int = Field(100, ge=1, description="updates between copies of the weights to the target network")
    use_dueling: bool = Field(True, description="value and advantage streams (Wang et al. 2016)")
    double_dqn: bool = Field(
        True, description="the online network chooses, the target network rates (van Hasselt et al. 2016)"
    )
    learning_starts: int = Field(1000, ge=1, description="steps before the first update")
    train_freq: int = Field(1, ge=1, description="steps between updates")
    gradient_steps: int = Field(1, ge=1, description="minibatches at each update")
    n_step: int = Field(1, ge=1, le=64, description="rewards summed before the bootstrap (Sutton 1988)")
    max_grad_norm: float = Field(10.0, gt=0, description="gradients are scaled down to this norm")
    prioritized: bool = Field(False, description="replay by temporal-difference error (Schaul et al. 2016)")
    priority_alpha: float = Field(0.6, ge=0, le=1, description="how strongly priorities count (equation 1)")
    priority_beta: float = Field(
        0.4,
        ge=0,
        le=1,
        description="correction of the bias at the start; rises to 1 over priority_beta_steps (section 3.4)",
    )
    priority_beta_steps: int = Field(100_000, ge=1, description="updates until that correction is whole")
    training: DQNTrainingSettings = Field(default_factory=DQNTrainingSettings, description="the training run")

    @model_validator(mode="after")
    def _settings_fit_together(self) -> Self:
        if self.epsilon_end > self.epsilon_start:
            raise ValueError(f"epsilon_end {self.epsilon_end} is more than epsilon_start {self.epsilon_start}")
        if self.batch_size > self.buffer_size:
            raise ValueError(f"batch_size {self.batch_size} is more than buffer_size {self.buffer_size}")
        if self.learning_starts > self.buffer_size:
            raise ValueError(f"learning_starts {self.learning_starts} is more than buffer_size {self.buffer_size}")
        if self.n_step > self.buffer_size // 2:
            raise ValueError(f"n_step {self.n_step} needs a buffer_size of at least twice that")
        return self


class EnvironmentSettings(Settings):
    """Where agents act."""

    id: str = Field(
        "CartPole-v1",
        min_length=1,
        description="gymnasium id, module:Class or path/to/file.py:Class of the environment",
    )
    kwargs: dict[str, Any] = Field({}, description="arguments of the environment, as a JSON object")

    @field_validator("kwargs", mode="before")
    @classmethod
    def _from_json(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        try:
            return json.loads(value)
        except ValueError as error:
            raise ValueError(f'a JSON object is needed, such as {{"size": 8}}: {error}') from None


class ReinforcementLearningSettings(Settings):
    """Agents that learn by acting."""

    env: EnvironmentSettings = Field(default_factory=EnvironmentSettings, description="where agents act")
    ppo: PPOSettings = Field(default_factory=PPOSettings, description="PPO: actor and critic, clipped steps")
    dqn: DQNSettings = Field(default_factory=DQNSettings, description="DQN: action values, replay, target network")
    grpo: GRPOSettings = Field(default_factory=GRPOSettings, description="GRPO: language models, rewarded answers")

    def of(self, algorithm: Algorithm) -> PPOSettings | DQNSettings:
        """The section of one algorithm."""
        settings: PPOSettings | DQNSettings = getattr(self, algorithm)
        return settings
