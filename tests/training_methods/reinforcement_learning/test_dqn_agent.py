"""DQN: known values of a small chain, gradients against autograd, and a memory that is read as it was written."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from shared_utils.errors import ConfigurationError
from training_methods import DQNAgent
from training_methods.reinforcement_learning.agents.agent import Stepped
from training_methods.reinforcement_learning.flat_parameters import FlatParameters
from training_methods.reinforcement_learning.networks import DuelingDQNNetwork
from training_methods.reinforcement_learning.q_learning import NumpyQ, TorchQ, stream_order
from training_methods.reinforcement_learning.replay_buffer import Priorities, ReplayBuffer
from training_methods.reinforcement_learning.settings import DQNSettings
from training_methods.reinforcement_learning.spaces import Actions, Observations
from training_methods.reinforcement_learning.threads import few_threads

STATES, GAMMA = 4, 0.9


def chain_step(state, action):
    """A corridor: right leads on, left back; the end is reached by going right from the last place, and pays 1."""
    if action == 1:
        return (state + 1, 0.0, False) if state < STATES - 1 else (state, 1.0, True)
    return max(0, state - 1), 0.0, False


def known_values():
    """By value iteration."""
    values = np.zeros((STATES, 2))
    for _ in range(500):
        for state in range(STATES):
            for action in range(2):
                following, reward, done = chain_step(state, action)
                values[state, action] = reward + GAMMA * (0 if done else values[following].max())
    return values


def learnt_values(cut_after, **settings):
    """The values that an agent learns from random walks which are cut after so many steps."""
    settings = DQNSettings(hidden_dim=32, learning_rate=2e-3, gamma=GAMMA, epsilon_start=1.0, epsilon_end=1.0,
                           buffer_size=2000, learning_starts=200, target_update=50, **settings)  # fmt: skip
    agent = DQNAgent.from_settings(settings, Observations((STATES,)), Actions("discrete", (2,)), seed=0)
    states, random = np.eye(STATES, dtype=np.float32), np.random.default_rng(0)
    state = taken = 0
    with few_threads():
        for _ in range(4500):
            action = agent.select_action(states[state])
            following, reward, done = chain_step(state, action)
            taken += 1
            truncated = taken >= cut_after and not done
            agent.store_transition(states[state], action, reward, states[following], done, truncated=truncated)
            agent.update()
            state = following
            if done or truncated:
                state, taken = int(random.integers(STATES)), 0
        for _ in range(400):  # ever smaller steps at the end, so that what is left is no noise
            agent.settings = agent.settings.model_copy(update={"learning_rate": agent.settings.learning_rate * 0.985})
            agent._learn()
    return agent.q_values(states)


@pytest.mark.parametrize("cut_after", [1000, 3], ids=["to-the-end", "cut-by-a-time-limit"])
def test_the_known_values_of_a_chain_are_reached(cut_after):
    np.testing.assert_allclose(learnt_values(cut_after), known_values(), atol=1e-2)


@pytest.mark.parametrize(
    "settings",
    [{"prioritized": True}, {"use_dueling": False, "double_dqn": False}],
    ids=["prioritised", "plain"],
)
def test_variants_reach_the_known_values(settings):
    np.testing.assert_allclose(learnt_values(3, **settings), known_values(), atol=2e-2)


def test_a_cut_taken_for_an_end_would_give_other_values(monkeypatch):
    """The test above can fail: with cuts learnt as ends the values fall short."""
    honest = DQNAgent.store_transition

    def confused(self, state, action, reward, following, done, *, truncated=False):
        honest(self, state, action, reward, following, done or truncated)

    monkeypatch.setattr(DQNAgent, "store_transition", confused)
    assert np.abs(learnt_values(3) - known_values()).max() > 0.05


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("dueling", [True, False])
def test_the_gradient_by_hand_is_that_of_autograd(dueling, weighted):
    network = DuelingDQNNetwork(Observations((5,)), 3, 24, 2, torch.Generator().manual_seed(0), dueling)
    parameters = FlatParameters(network, torch.device("cpu"), last=stream_order(dueling))
    random = np.random.default_rng(0)
    inputs = random.standard_normal((40, 5)).astype(np.float32)
    actions, targets = random.integers(3, size=20), random.standard_normal(20).astype(np.float32) * 2
    weights = random.random(20).astype(np.float32) if weighted else None
    results = []
    for path in (NumpyQ(parameters, 2, dueling), TorchQ(network, parameters)):
        passed, values = path.forward(inputs)
        errors, loss = path.gradient(passed, actions, targets, weights)
        results.append((values, path.values(inputs), errors, loss, parameters.gradients.clone()))
    for one, other in zip(*results, strict=True):
        np.testing.assert_allclose(one, other, atol=3e-6)
    assert results[0][4].abs().max() > 1e-3


def test_values_are_value_plus_advantage_less_its_mean():
    network = DuelingDQNNetwork(Observations((2,)), 3, 8, 1, torch.Generator().manual_seed(0))
    inputs = torch.randn(4, 2, generator=torch.Generator().manual_seed(0))
    features = network.features(inputs)
    value, advantage = network.streams["value"](features), network.streams["advantage"](features)
    torch.testing.assert_close(network(inputs), value + advantage - advantage.mean(1, keepdim=True))
    torch.testing.assert_close(network(inputs).mean(1), value[:, 0])


def stored(episodes, capacity=100, envs=1):
    """A buffer with episodes of (rewards, ends by itself)."""
    buffer = ReplayBuffer(capacity, Observations((1,)), envs)
    number = 0
    for rewards, is_end in episodes:
        for place, reward in enumerate(rewards):
            last = place == len(rewards) - 1
            buffer.add(
                np.array([[number]]), np.array([0]), np.array([reward]), np.array([[number + 0.5]]),
                np.array([last and is_end]), np.array([last]), np.array([0]),
            )  # fmt: skip
            number += 1
    return buffer


def test_sums_of_three_rewards_end_where_the_episode_ends():
    buffer = stored([([1, 2, 4, 8], True), ([16, 32], False), ([64], False)])
    batch = buffer.drawn(np.arange(7), 3, 0.5)
    assert batch.rewards.tolist() == [1 + 1 + 1, 2 + 2 + 2, 4 + 4, 8, 16 + 16, 32, 64]
    assert batch.discounts.tolist() == [0.125, 0, 0, 0, 0.25, 0.5, 0.5]
    assert batch.next_observations[:, 0].tolist() == [2.5, 3.5, 3.5, 3.5, 5.5, 5.5, 6.5]


def test_sums_stay_in_their_environment():
    buffer = ReplayBuffer(20, Observations((1,)), 2)
    for step in range(3):
        buffer.add(np.zeros((2, 1)), np.zeros(2), np.array([1.0, 10.0]) * (step + 1), np.zeros((2, 1)), np.zeros(2),
                   np.zeros(2, bool), np.arange(2))  # fmt: skip
    assert buffer.drawn(np.array([0, 1]), 3, 1.0).rewards.tolist() == [6.0, 60.0]


def test_the_oldest_are_overwritten_and_no_sum_leads_to_them():
    buffer = stored([([1] * 25, False)], capacity=10)
    assert len(buffer) == 10
    assert sorted(buffer.arrays["observations"][:, 0].tolist()) == list(range(15, 25))
    newest = 24 % 10
    assert buffer.drawn(np.array([newest]), 5, 1.0).rewards.tolist() == [1.0]
    assert buffer.drawn(np.array([15 % 10]), 5, 1.0).rewards.tolist() == [5.0]


def test_priorities_are_drawn_in_proportion():
    priorities = Priorities(5, alpha=1.0)
    priorities.set_new(np.arange(5))
    priorities.set_errors(np.arange(5), np.array([1.0, 0.0, 3.0, -4.0, 2.0]))
    random = np.random.default_rng(0)
    places, weights = zip(*(priorities.draw(10, 5, 1.0, random) for _ in range(1000)), strict=True)
    shares = np.bincount(np.concatenate(places), minlength=5) / 10_000
    np.testing.assert_allclose(shares, [0.1, 0, 0.3, 0.4, 0.2], atol=0.01)
    assert np.concatenate(weights).max() == 1.0


def test_epsilon_falls_once_for_each_episode():
    agent = DQNAgent(state_dim=1, action_dim=2, epsilon_decay=0.5, epsilon_end=0.2)
    seen = []
    for step in range(8):
        agent.store_transition(np.zeros(1), 0, 0.0, np.zeros(1), step % 4 == 1, truncated=step % 4 == 3)
        seen.append(agent.epsilon)
    assert seen == [1.0, 0.5, 0.5, 0.25, 0.25, 0.2, 0.2, 0.2]


def test_epsilon_falls_in_a_line_where_steps_are_set():
    settings = DQNSettings(epsilon_decay_steps=4, epsilon_end=0.0)
    agent = DQNAgent.from_settings(settings, Observations((1,)), Actions("discrete", (2,)), seed=0)
    seen = []
    for _ in range(5):
        agent.store_transition(np.zeros(1), 0, 0.0, np.zeros(1), False)
        seen.append(agent.epsilon)
    assert seen == pytest.approx([0.75, 0.5, 0.25, 0.0, 0.0])


def test_the_target_network_follows_after_so_many_updates():
    agent = DQNAgent(state_dim=1, action_dim=2, target_update=5, batch_size=2, hidden_dim=8)
    same = []
    for _ in range(11):
        agent.store_transition(np.ones(1), 0, 1.0, np.ones(1), False)
        agent.update()
        same.append(torch.equal(agent.parameters.values, agent._target_parameters.values))
    assert [number for number, one in enumerate(same) if one] == [0, 5, 10]


def walk(agent, steps, seed):
    random = np.random.default_rng(seed)
    state = random.standard_normal(2).astype(np.float32)
    for _ in range(steps):
        action = agent.select_action(state)
        following = random.standard_normal(2).astype(np.float32)
        agent.store_transition(state, action, float(following[action]), following, bool(random.random() < 0.1))
        agent.update()
        state = following


@pytest.mark.parametrize(
    "settings",
    [{}, {"prioritized": True, "n_step": 3}, {"normalize_observations": True, "normalize_rewards": True}],
    ids=["plain", "prioritised-3-step", "normalised"],
)
def test_a_loaded_agent_goes_on_to_the_same_weights(tmp_path, settings):
    settings = DQNSettings(hidden_dim=16, buffer_size=60, learning_starts=20, batch_size=8, target_update=7, **settings)
    agent = DQNAgent.from_settings(settings, Observations((2,)), Actions("discrete", (2,)), seed=0)
    walk(agent, 110, 1)
    agent.save(tmp_path / "agent.safetensors")
    again = DQNAgent.load(tmp_path / "agent.safetensors")
    walk(agent, 50, 2)
    walk(again, 50, 2)
    assert torch.equal(agent.parameters.values, again.parameters.values)
    assert (agent.epsilon, agent.updates) == (again.epsilon, again.updates)


def test_each_environment_brings_its_updates():
    """Four environments with train_freq 2: two updates for each round of four steps."""
    settings = DQNSettings(hidden_dim=8, num_envs=4, train_freq=2, learning_starts=8, batch_size=4, buffer_size=100)
    agent = DQNAgent.from_settings(settings, Observations((1,)), Actions("discrete", (2,)), seed=0)
    none, zeros = np.zeros(4, bool), np.zeros((4, 1), np.float32)
    for _ in range(20):
        choice = agent.act(zeros)
        agent.observe(zeros, choice, Stepped(zeros, np.zeros(4), none, none, zeros, ~none))
        agent.update()
    assert agent.updates == pytest.approx((20 * 4 - 8) / 2, abs=4)


def test_random_actions_keep_to_the_mask():
    agent = DQNAgent(state_dim=1, action_dim=3)
    masks = np.tile(np.array([[False, True, False]]), (50, 1))
    assert set(agent.act(np.zeros((50, 1), np.float32), masks).actions.tolist()) == {1}
    assert set(agent.act(np.zeros((50, 1), np.float32), masks, training=False).actions.tolist()) == {1}


def test_continuous_actions_are_refused():
    with pytest.raises(ConfigurationError, match="not continuous ones"):
        DQNAgent(state_dim=2, action_dim=Actions("continuous", (2,)))
