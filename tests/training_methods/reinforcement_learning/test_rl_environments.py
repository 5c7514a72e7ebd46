"""Environments: every space is read and written, time limits are no ends, faults are one clear line."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import gymnasium
import numpy as np
import pytest

from shared_utils.errors import ConfigurationError, LLMToolkitError, TrainingError
from training_methods.reinforcement_learning.environment_checks import environment_findings
from training_methods.reinforcement_learning.environments import EnvironmentSource, environment_class
from training_methods.reinforcement_learning.evaluation import Evaluator
from training_methods.reinforcement_learning.native_environments import attribute_state, restore_attributes
from training_methods.reinforcement_learning.prepared_environment import WATCH, PreparedEnvironment
from training_methods.reinforcement_learning.run_parts import begin
from training_methods.reinforcement_learning.settings import (
    DQNSettings,
    EnvironmentSettings,
    PPOSettings,
    PPOTrainingSettings,
)
from training_methods.reinforcement_learning.vector_environments import make_environments

FILE = Path(__file__).with_name("odd_environments.py")


def named(name: str) -> str:
    return f"{FILE}:{name}"


def source(name: str, max_steps: int | None = None, **kwargs: object) -> EnvironmentSource:
    return EnvironmentSource(named(name), kwargs, max_steps)


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("Corridor", (7,)),
        ("SeenAsNumber", (7,)),
        ("SeenAsParts", (3 + 6 + 4 + 2,)),
        ("SeenAsPicture", (3, 5, 7)),
        ("SeenAsGrid", (2, 7, 7)),
    ],
)
def test_every_space_of_observations_becomes_an_array(name, shape):
    env = PreparedEnvironment(source(name))
    observation, _ = env.reset(seed=0)
    assert env.observations.shape == shape == observation.shape
    assert observation.dtype == env.observations.dtype


@pytest.mark.parametrize(
    ("name", "algorithm"),
    [(name, "ppo") for name in ("SeenAsNumber", "SeenAsParts", "SeenAsPicture", "SeenAsGrid", "StartsAtThree",
                                "ManySwitches", "ManyChoices", "Numbers")]
    + [("StartsAtThree", "dqn")],
)  # fmt: skip
def test_agents_learn_the_way_through_the_corridor_in_every_space(name, algorithm):
    """The way takes four to six steps; a walk by chance hardly ever ends within thirty."""
    common = {"hidden_dim": 32, "num_envs": 4}
    if algorithm == "ppo":
        training = PPOTrainingSettings(update_frequency=256)
        settings = PPOSettings(learning_rate=5e-3, batch_size=64, training=training, **common)
    else:
        settings = DQNSettings(learning_starts=200, target_update=50, epsilon_decay=0.9, train_freq=4, **common)
    loop = begin(EnvironmentSettings(id=named(name)), settings, algorithm, 0, "cpu")
    loop.run(lambda state, _: state.timesteps >= (1536 if algorithm == "ppo" else 1500))
    evaluator = Evaluator(source(name), 12)
    assert evaluator.evaluate(loop.agent, seed=1000).mean > 0.9


def test_action_values_of_pictures_come_nearer_to_their_targets():
    settings = DQNSettings(hidden_dim=32, learning_starts=32, buffer_size=100)
    loop = begin(EnvironmentSettings(id=named("SeenAsPicture")), settings, "dqn", 0, "cpu")
    losses: list[float] = []

    def is_time(state, learnt):
        losses.extend([state.take_figures()["loss"]] if learnt else [])
        return len(losses) >= 80

    loop.run(is_time)
    assert np.mean(losses[-20:]) < 0.5 * np.mean(losses[:5])


@pytest.mark.parametrize("how", ["sync", "subprocess", "native"])
def test_a_time_limit_is_a_cut_and_its_last_observation_is_kept(how):
    """CartPole that is pushed left and right lives longer than 9 steps, where it is cut."""
    environments = make_environments(EnvironmentSource("CartPole-v1", max_steps=9), 3, how, 30.0)
    before, _ = environments.reset(0)
    for step in range(1, 10):
        stepped = environments.step(np.full(3, step % 2))
        if step < 9:
            assert not (stepped.terminated | stepped.truncated).any()
            before = stepped.observations
    assert stepped.truncated.all()
    assert not stepped.terminated.any()
    assert np.abs(stepped.final_observations - before).max() < 0.5  # one step on from where it was
    if how == "native":
        following = environments.step(np.zeros(3, int))
        assert not following.valid.any()
        assert np.abs(following.observations).max() < 0.06
    else:
        assert np.abs(stepped.observations).max() < 0.06  # a new episode begins near 0
        assert stepped.valid.all()
    environments.close()


@pytest.mark.parametrize("how", ["sync", "subprocess"])
def test_every_way_of_stepping_gives_what_the_environment_gives(how):
    environments = make_environments(source("Corridor"), 2, how, 30.0)
    alone = [gymnasium.wrappers.TimeLimit(environment_class(named("Corridor"))(), 100) for _ in range(2)]
    observations, _ = environments.reset(5)
    assert np.array_equal(observations, [env.reset(seed=5 + number)[0] for number, env in enumerate(alone)])
    random = np.random.default_rng(0)
    for _ in range(60):
        actions = random.integers(2, size=2)
        stepped = environments.step(actions)
        for number, env in enumerate(alone):
            observation, reward, done, cut, _ = env.step(actions[number])
            assert np.array_equal(stepped.final_observations[number], observation)
            assert (stepped.rewards[number], stepped.terminated[number]) == (np.float32(reward), done)
            observation = env.reset()[0] if done or cut else observation
            assert np.array_equal(stepped.observations[number], observation)
    environments.close()


@pytest.mark.parametrize("how", ["sync", "subprocess", "native"])
def test_environments_come_to_the_same_place_again(how):
    random = np.random.default_rng(0)
    one, other = (make_environments(EnvironmentSource("CartPole-v1"), 3, how, 30.0) for _ in range(2))
    one.reset(0)
    for _ in range(37):
        stepped = one.step(random.integers(2, size=3))
    arrays, facts = one.state()
    assert np.array_equal(other.restore(arrays, facts), stepped.observations)
    for _ in range(60):
        actions = random.integers(2, size=3)
        first, second = one.step(actions), other.step(actions)
        assert np.array_equal(first.observations, second.observations)
        assert np.array_equal(first.terminated, second.terminated)
    one.close()
    other.close()


def test_the_own_limit_of_an_environment_stays_where_a_longer_one_is_asked_for():
    """An agent that knows how to balance would go on beyond step 500."""
    single = PreparedEnvironment(EnvironmentSource("CartPole-v1", max_steps=10_000))
    assert single.get_wrapper_attr("_max_episode_steps") == 500
    together = make_environments(EnvironmentSource("CartPole-v1", max_steps=10_000), 2, "native", 30.0)
    assert together._vector.max_episode_steps == 500


def test_masks_come_through_processes():
    environments = make_environments(source("SeenAsGrid"), 2, "subprocess", 30.0)
    _, masks = environments.reset(0)
    assert masks.tolist() == [[False, True]] * 2
    for _ in range(8):
        assert environments.step(np.ones(2, int)).masks.tolist() == [[False, True]] * 2
    environments.close()


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("NoSuchEnv-v1", "no environment 'NoSuchEnv-v1'"),
        ("CartPol-v1", "no environment 'CartPol-v1'"),
        ("no_such_module:Thing", "no module 'no_such_module'"),
        ("no_such_file.py:Thing", "no file no_such_file.py"),
        (named("Coridor"), "has no class 'Coridor'"),
        (named("NoEnvironment"), "is no gymnasium environment"),
        (named("NoArrays"), "observes Text"),
    ],
)
def test_an_environment_that_cannot_be_is_one_clear_line(name, words):
    with pytest.raises(ConfigurationError) as caught:
        PreparedEnvironment(EnvironmentSource(name))
    assert words in caught.value.message
    assert caught.value.hint


def test_the_nearest_names_are_told():
    with pytest.raises(ConfigurationError) as caught:
        PreparedEnvironment(EnvironmentSource("CartPol-v1"))
    assert "CartPole-v1" in caught.value.hint
    with pytest.raises(ConfigurationError) as caught:
        environment_class(named("Coridor"))
    assert "Corridor" in caught.value.hint


def test_arguments_reach_the_environment_and_wrong_ones_are_told():
    assert PreparedEnvironment(source("Corridor", length=4)).unwrapped.length == 4
    with pytest.raises(ConfigurationError, match="does not take these arguments"):
        PreparedEnvironment(source("Corridor", colour="red"))


@pytest.mark.parametrize("name", ["FourValues", "BareReset", "OutsideOfItsSpace"])
def test_a_breach_of_the_api_is_found_before_training(name):
    with pytest.raises(LLMToolkitError, match="breaks the gymnasium API"):
        environment_findings(source(name), 30.0)


def test_sound_environments_have_no_findings():
    assert environment_findings(source("Corridor"), 30.0) == []
    assert environment_findings(EnvironmentSource("CartPole-v1"), 30.0) == []


@pytest.mark.parametrize("how", ["sync", "subprocess"])
@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("GivesNaN", "gave an observation that is no finite number"),
        ("Raises", "raised RuntimeError in step(): out of paint (odd_environments.py, line "),
        ("LateMess", "step() must give an observation, a number"),
        ("Hangs", "has not answered for 0.5 seconds"),
    ],
)
def test_a_fault_while_training_is_one_clear_line(name, words, how):
    environments = make_environments(source(name), 2, how, 0.5 if name == "Hangs" else 30.0)
    environments.reset(0)
    with pytest.raises(TrainingError) as caught, WATCH.on(0.5 if name == "Hangs" else 30.0):
        for step in range(60):
            environments.step(np.array([step % 2, step % 2]))
    assert words in caught.value.message
    assert caught.value.hint
    environments.close()


def test_a_worker_that_dies_is_told():
    environments = make_environments(source("Vanishes"), 2, "subprocess", 30.0)
    environments.reset(0)
    with pytest.raises(TrainingError, match="ended unasked"):
        for step in range(60):
            environments.step(np.array([step % 2, step % 2]))


def test_an_infinite_reward_is_told():
    environments = make_environments(source("RewardIsInfinite"), 1, "sync", 30.0)
    environments.reset(0)
    with pytest.raises(TrainingError, match="gave a reward that is no finite number"):
        environments.step(np.zeros(1, int))


def test_continuous_actions_span_the_range_of_the_space():
    env = PreparedEnvironment(source("Numbers"))
    assert [env._writer.write(np.array([one]))[0] for one in (-1.0, 0.0, 1.0, 5.0)] == [-2.0, 2.0, 6.0, 6.0]


def test_a_vector_with_a_random_state_for_each_environment_comes_to_the_same_place():
    def made(seed):
        return SimpleNamespace(
            places=np.arange(3.0) + seed, is_over=False, chance=[np.random.default_rng(seed + one) for one in range(3)]
        )

    one, other = made(1), made(2)
    arrays, facts = attribute_state(one)
    restore_attributes(other, arrays, json.loads(json.dumps(facts)))
    assert np.array_equal(one.places, other.places)
    assert [rng.random() for rng in one.chance] == [rng.random() for rng in other.chance]
