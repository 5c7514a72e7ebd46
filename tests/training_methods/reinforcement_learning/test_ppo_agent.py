"""PPO: advantages by a second way, gradients against autograd, and a task learnt through the one-step calls."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from shared_utils.errors import ConfigurationError, DataValidationError, SecurityError
from training_methods import DQNAgent, PPOAgent
from training_methods.reinforcement_learning.action_choice import choose
from training_methods.reinforcement_learning.agents.agent import Stepped
from training_methods.reinforcement_learning.flat_parameters import Adam, FlatParameters
from training_methods.reinforcement_learning.networks import ActorCritic
from training_methods.reinforcement_learning.policy_learning import Minibatch, NumpyPolicy, TorchPolicy
from training_methods.reinforcement_learning.rollout_buffer import advantages_of
from training_methods.reinforcement_learning.settings import PPOSettings, PPOTrainingSettings
from training_methods.reinforcement_learning.spaces import Actions, Observations


def slow_advantages(rewards, values, next_values, ended, gamma, lam):
    """Every sum of the paper's equation 16 written out, one step and one environment at a time, in double."""
    steps, envs = rewards.shape
    found = np.zeros((steps, envs))
    for env in range(envs):
        for start in range(steps):
            weight = 1.0
            for step in range(start, steps):
                delta = rewards[step, env] + gamma * next_values[step, env] - values[step, env]
                found[start, env] += weight * delta
                if ended[step, env]:
                    break
                weight *= gamma * lam
    return found


@given(st.integers(0, 2**32 - 1), st.integers(1, 12), st.integers(1, 4), st.floats(0, 1), st.floats(0, 1))
def test_advantages_equal_those_of_the_written_out_sum(seed, steps, envs, gamma, lam):
    random = np.random.default_rng(seed)
    rewards, values, following = (random.standard_normal((steps, envs)).astype(np.float32) for _ in range(3))
    ended = random.random((steps, envs)) < 0.3
    quick = advantages_of(rewards, values, following, ended, gamma, lam)
    np.testing.assert_allclose(quick, slow_advantages(rewards, values, following, ended, gamma, lam), atol=1e-5)


def test_advantages_are_exact_to_a_millionth_over_a_long_rollout():
    random = np.random.default_rng(0)
    rewards, values, following = (random.standard_normal((256, 4)).astype(np.float32) * 0.1 for _ in range(3))
    ended = random.random((256, 4)) < 0.05
    quick = advantages_of(rewards, values, following, ended, 0.99, 0.95)
    np.testing.assert_allclose(quick, slow_advantages(rewards, values, following, ended, 0.99, 0.95), atol=1e-6)


def test_advantages_of_a_two_step_episode():
    """By hand: deltas 0.0 and 0.5, so with gamma = lambda = 1 both advantages are 0.5."""
    advantages = advantages_of(
        np.array([[0], [1]], np.float32), np.array([[0.5], [0.5]], np.float32),
        np.array([[0.5], [0]], np.float32), np.array([[False], [True]]), 1.0, 1.0,
    )  # fmt: skip
    assert advantages.tolist() == [[0.5], [0.5]]


def two_ways(**settings):
    """The same weights as numpy and as torch see them."""
    chosen = PPOSettings(hidden_dim=24, **settings)
    observations, actions = Observations((5,)), Actions("discrete", (3,))
    network = ActorCritic(observations, actions, 24, chosen.hidden_layers, torch.Generator().manual_seed(3))
    parameters = FlatParameters(network, torch.device("cpu"))
    parameters.values += torch.randn(len(parameters.values), generator=torch.Generator().manual_seed(1)) * 0.3
    return parameters, NumpyPolicy(parameters, chosen), TorchPolicy(network, parameters, actions, chosen)


def minibatch(count=40, masked=False):
    random = np.random.default_rng(5)
    number = lambda *shape: random.standard_normal(shape).astype(np.float32)  # noqa: E731
    masks = None
    actions = random.integers(3, size=count)
    if masked:
        masks = random.random((count, 3)) < 0.6
        masks[np.arange(count), actions] = True
    log_probs = np.log(random.uniform(0.1, 0.9, count)).astype(np.float32)
    return Minibatch(number(count, 5), actions, log_probs, number(count), number(count), number(count), masks)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize(
    "settings",
    [{}, {"entropy_coef": 0.05}, {"clip_vloss": True}, {"norm_adv": False, "hidden_layers": 3, "value_coef": 0.7}],
    ids=lambda one: "-".join(one) or "plain",
)
def test_the_gradient_by_hand_is_that_of_autograd(settings, masked):
    parameters, by_hand, by_autograd = two_ways(**settings)
    batch = minibatch(masked=masked)
    figures = by_hand.gradient(batch)
    gradient = parameters.gradients.clone()
    np.testing.assert_allclose(figures, by_autograd.gradient(batch), rtol=2e-4, atol=2e-5)
    np.testing.assert_allclose(gradient, parameters.gradients, atol=3e-6)
    assert gradient.abs().max() > 1e-2


def test_adam_moves_like_that_of_torch():
    module = torch.nn.Linear(6, 4)
    twin = torch.nn.Linear(6, 4)
    twin.load_state_dict(module.state_dict())
    parameters = FlatParameters(module, torch.device("cpu"))
    ours, theirs = Adam(parameters, 1e-5), torch.optim.Adam(twin.parameters(), lr=1e-2, eps=1e-5)
    for step in range(20):
        inputs = torch.randn(8, 6, generator=torch.Generator().manual_seed(step))
        for one in (module, twin):
            if one is module:
                parameters.gradients.zero_()
            else:
                theirs.zero_grad()
            one(inputs).square().sum().backward()
        torch.nn.utils.clip_grad_norm_(twin.parameters(), 0.5)
        ours.step(1e-2, 0.5)
        theirs.step()
    torch.testing.assert_close(module.weight, twin.weight, atol=1e-6, rtol=1e-5)


def test_numpy_and_torch_give_the_same_logits_and_values():
    _, by_hand, by_autograd = two_ways()
    inputs = minibatch().inputs
    for one, other in zip(by_hand.evaluate(inputs), by_autograd.evaluate(inputs), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


def test_actions_are_drawn_as_often_as_their_probabilities_say():
    logits = np.log(np.tile(np.array([[0.2, 0.5, 0.3]], np.float32), (20_000, 1)))
    drawn, logs = choose(Actions("discrete", (3,)), logits, None, None, np.random.default_rng(0), greedy=False)
    np.testing.assert_allclose(np.bincount(drawn) / len(drawn), [0.2, 0.5, 0.3], atol=0.012)
    np.testing.assert_allclose(np.exp(logs), np.array([0.2, 0.5, 0.3])[drawn], atol=1e-6)


def test_what_a_mask_forbids_is_never_drawn():
    masks = np.tile(np.array([[True, False, True]]), (500, 1))
    logits = np.tile(np.array([[0.0, 9.0, 0.0]], np.float32), (500, 1))
    drawn, logs = choose(Actions("discrete", (3,)), logits, None, masks, np.random.default_rng(0), greedy=False)
    assert set(drawn.tolist()) == {0, 2}
    np.testing.assert_allclose(logs, np.log(0.5), atol=1e-6)


def two_state_task(agent, rounds):
    """The right action is the one that the observation shows; an episode is one step."""
    random = np.random.default_rng(0)
    losses = {}
    for _ in range(rounds):
        shown = int(random.integers(2))
        state = np.eye(2, dtype=np.float32)[shown]
        action, log_prob, value = agent.select_action(state)
        agent.store_transition(state, action, float(action == shown), True, log_prob, value)
        losses = agent.update() or losses
    return losses


def test_the_one_step_calls_learn_a_two_state_task():
    agent = PPOAgent(state_dim=2, action_dim=2, lr=1e-2, update_frequency=64, hidden_dim=16, seed=1)
    assert agent.update() == {}
    losses = two_state_task(agent, 1000)
    assert {"policy_loss", "value_loss", "entropy", "approx_kl", "clip_fraction", "explained_variance"} <= set(losses)
    assert [agent.select_action(np.eye(2)[state], training=False)[0] for state in (0, 1)] == [0, 1]


def test_nothing_is_learnt_until_the_value_of_what_follows_is_there():
    agent = PPOAgent(state_dim=2, action_dim=2, update_frequency=4, hidden_dim=8)
    state = np.zeros(2)
    learnt = []
    for _ in range(9):
        agent.store_transition(state, *_first(agent.select_action(state)))
        learnt.append(bool(agent.update()))
    assert learnt == [False, False, False, False, True, False, False, False, True]


def _first(chosen):
    action, log_prob, value = chosen
    return action, 1.0, False, log_prob, value


def test_a_cut_episode_counts_the_value_of_its_last_observation():
    """A step of reward 1 for ever: with gamma 0.5 its value is 2, whether episodes are cut or not."""
    agent = PPOAgent(state_dim=1, action_dim=1, lr=1e-2, gamma=0.5, update_frequency=32, hidden_dim=16)
    state = np.ones(1, np.float32)
    for step in range(3000):
        action, log_prob, value = agent.select_action(state)
        is_cut = step % 3 == 2
        agent.store_transition(state, action, 1.0, False, log_prob, value, truncated=is_cut, next_state=state)
        agent.update()
    assert agent.select_action(state)[2] == pytest.approx(2.0, abs=0.05)


def test_a_cut_without_its_last_observation_is_refused():
    agent = PPOAgent(state_dim=1, action_dim=2)
    with pytest.raises(ConfigurationError, match="truncated=True needs next_state"):
        agent.store_transition(np.zeros(1), 0, 0.0, False, 0.0, 0.0, truncated=True)


def test_rows_in_which_an_environment_began_anew_are_not_learnt_from():
    """Two runs that differ only in such a row's action and reward end with the same weights."""

    def weights(action, reward):
        settings = PPOSettings(hidden_dim=8, num_envs=2, batch_size=4, training=PPOTrainingSettings(update_frequency=8))
        agent = PPOAgent.from_settings(settings, Observations((2,)), Actions("discrete", (2,)), seed=0)
        random = np.random.default_rng(1)
        for step in range(5):
            observations = random.standard_normal((2, 2)).astype(np.float32)
            choice = agent.act(observations)
            rewards, valid = np.ones(2, np.float32), np.ones(2, bool)
            ended = np.array([step == 1, False])
            if step == 2:
                valid[0], rewards[0], choice.actions[0] = False, reward, action
            agent.observe(
                observations, choice, Stepped(observations, rewards, ended, ended & False, observations, valid)
            )
        assert agent.update()
        return agent.parameters.values.clone()

    torch.testing.assert_close(weights(0, 0.0), weights(1, 77.0), rtol=0, atol=0)


def test_the_update_ends_where_the_policy_has_moved_far_enough():
    def updates(limit):
        settings = PPOSettings(hidden_dim=16, target_kl=limit, k_epochs=10, learning_rate=0.05, batch_size=16,
                               training=PPOTrainingSettings(update_frequency=64), num_envs=1)  # fmt: skip
        agent = PPOAgent.from_settings(settings, Observations((2,)), Actions("discrete", (2,)), seed=0)
        two_state_task(agent, 66)
        return float(agent.optimizer.steps)

    assert updates(None) == 40
    assert updates(0.001) < 40


def test_the_learning_rate_falls_with_the_progress():
    settings = PPOSettings(hidden_dim=8, anneal_lr=True, num_envs=1, batch_size=4,
                           training=PPOTrainingSettings(update_frequency=8, total_timesteps=100))  # fmt: skip
    agent = PPOAgent.from_settings(settings, Observations((2,)), Actions("discrete", (2,)), seed=0)
    agent.progress = 0.75
    assert two_state_task(agent, 9)["learning_rate"] == pytest.approx(3e-4 * 0.25)


@pytest.mark.parametrize("normalised", [False, True])
def test_a_loaded_agent_goes_on_to_the_same_weights(tmp_path, normalised):
    settings = PPOSettings(hidden_dim=16, num_envs=1, batch_size=8, normalize_observations=normalised,
                           normalize_rewards=normalised, training=PPOTrainingSettings(update_frequency=16))  # fmt: skip
    agent = PPOAgent.from_settings(settings, Observations((2,)), Actions("discrete", (2,)), seed=0)
    two_state_task(agent, 57)
    agent.save(tmp_path / "agent.safetensors")
    again = PPOAgent.load(tmp_path / "agent.safetensors")
    two_state_task(agent, 60)
    two_state_task(again, 60)
    assert torch.equal(agent.parameters.values, again.parameters.values)
    assert float(agent.optimizer.steps) > 2 * 4 * 3


def test_the_small_file_acts_the_same(tmp_path):
    agent = PPOAgent(state_dim=2, action_dim=2, lr=1e-2, update_frequency=64, hidden_dim=16)
    two_state_task(agent, 200)
    agent.save(tmp_path / "small.safetensors", with_memory=False)
    again = PPOAgent.load(tmp_path / "small.safetensors")
    states = np.random.default_rng(0).standard_normal((50, 2)).astype(np.float32)
    assert np.array_equal(agent.act(states, training=False).actions, again.act(states, training=False).actions)


def test_an_agent_of_another_algorithm_is_refused(tmp_path):
    PPOAgent(state_dim=2, action_dim=2).save(tmp_path / "ppo.safetensors")
    with pytest.raises(DataValidationError, match="is an agent of ppo, not of dqn"):
        DQNAgent.load(tmp_path / "ppo.safetensors")


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "other"])
def test_a_damaged_file_is_one_clear_line(tmp_path, damage):
    path = tmp_path / "agent.safetensors"
    PPOAgent(state_dim=2, action_dim=2, hidden_dim=8).save(path)
    whole = path.read_bytes()
    broken = {"cut": whole[:-100], "flipped": b"\xff" + whole[1:], "empty": b"", "other": b"hello" * 50}[damage]
    path.write_bytes(broken)
    with pytest.raises(DataValidationError, match=r"agent\.safetensors"):
        PPOAgent.load(path)


def test_a_pickle_is_not_opened(tmp_path):
    torch.save({"weights": torch.zeros(2)}, tmp_path / "agent.pt")
    with pytest.raises(SecurityError, match="is a pickle"):
        PPOAgent.load(tmp_path / "agent.pt")


def test_an_observation_of_another_size_is_refused():
    with pytest.raises(DataValidationError, match=r"the shape \(3,\), and this agent reads \(2,\)"):
        PPOAgent(state_dim=2, action_dim=2).select_action(np.zeros(3))


def test_settings_that_do_not_fit_are_refused():
    with pytest.raises(ConfigurationError, match="learning_rate"):
        PPOAgent(state_dim=2, action_dim=2, lr=-1)
    with pytest.raises(ConfigurationError, match="batch_size 128 is more than"):
        PPOAgent(state_dim=2, action_dim=2, batch_size=128, update_frequency=64)
