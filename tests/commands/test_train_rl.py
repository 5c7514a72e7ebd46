"""`train-rl`: what a run leaves behind, how it goes on, and how bad input is told."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.conftest import ROOT
from training_methods import DQNAgent, PPOAgent

ODD = ROOT / "tests" / "training_methods" / "reinforcement_learning" / "odd_environments.py"
QUICK = ["--hidden-dim", 16, "--eval-episodes", 10, "--set", "logging.use_tensorboard=false"]


def settings(algorithm: str, **values: object) -> list[object]:
    words: list[object] = []
    for key, value in values.items():
        words += ["--set", f"reinforcement_learning.{algorithm}.{key.replace('__', '.')}={value}"]
    return words


def small(algorithm: str, **values: object) -> list[object]:
    """A training of moments that writes a checkpoint every few episodes."""
    return [
        "train-rl", "--algorithm", algorithm, *QUICK,
        *settings(algorithm, training__eval_episodes=4, training__save_frequency=10, **values),
    ]  # fmt: skip


def files_of(run_dir: Path) -> set[str]:
    return {path.name for path in run_dir.iterdir()}


@pytest.mark.parametrize("algorithm", ["ppo", "dqn"])
def test_a_run_leaves_all_that_it_promises(run_command, tmp_path, algorithm):
    run_dir = tmp_path / "run"
    done = run_command(*small(algorithm, training__eval_frequency=1000), "--total-timesteps", 3000, "--json",
                       "--output-dir", run_dir)  # fmt: skip
    assert done.code == 0
    summary = json.loads(done.out)
    promised = {"run_dir", "algorithm", "env", "timesteps", "episodes", "mean_return", "best_mean_return",
                "eval_mean_return", "eval_std_return", "solved", "seconds", "steps_per_second"}  # fmt: skip
    assert promised <= set(summary)
    assert summary["timesteps"] >= 3000
    assert {"agent.safetensors", "README.md", "config.yaml", "run.json", "metrics.jsonl", "curves.png",
            "evaluation.json"} <= files_of(run_dir)  # fmt: skip
    assert json.loads((run_dir / "run.json").read_text())["status"] == "done"
    rows = [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]
    named = {"ppo": {"policy_loss", "value_loss", "entropy", "approx_kl", "clip_fraction", "explained_variance"},
             "dqn": {"loss", "epsilon", "q_mean"}}[algorithm]  # fmt: skip
    seen = set().union(*rows)
    assert named | {"timesteps", "episodes", "episode_return", "episode_length", "eval_mean_return"} <= seen
    assert [row["step"] for row in rows] == sorted(row["step"] for row in rows)
    evaluation = json.loads((run_dir / "evaluation.json").read_text())
    figure = evaluation["metrics"]["mean_return"]
    assert figure["low"] <= figure["value"] <= figure["high"]
    assert len(evaluation["returns"]) == 10
    agent = {"ppo": PPOAgent, "dqn": DQNAgent}[algorithm].load(run_dir / "agent.safetensors")
    assert agent.environment["id"] == "CartPole-v1"


def test_the_settings_of_a_run_repeat_it(run_command, tmp_path):
    words = [*small("dqn"), "--total-timesteps", 1500, "--seed", 7]
    assert run_command(*words, "--output-dir", tmp_path / "one").code == 0
    config = tmp_path / "one" / "config.yaml"
    again = run_command("train-rl", "--algorithm", "dqn", "--config", config, "--output-dir", tmp_path / "two")
    assert again.code == 0
    one, two = ((tmp_path / name / "agent.safetensors").read_bytes() for name in ("one", "two"))
    assert one == two


def start(words: list[object]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(ROOT / "main.py"), *map(str, words)], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True, cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip


def wait_for_checkpoints(process: subprocess.Popen[str], run_dir: Path, count: int) -> None:
    deadline = time.monotonic() + 60
    while len(list(run_dir.glob("checkpoint-*"))) < count:
        if process.poll() is not None or time.monotonic() > deadline:
            process.kill()
            raise AssertionError(f"no checkpoint came: {process.communicate()}")
        time.sleep(0.02)


LONG = {
    "ppo": (["--total-timesteps", 12_000, "--env", "Acrobot-v1"], {"training__update_frequency": 512}),
    "dqn": (["--total-timesteps", 2500], {"learning_starts": 100, "prioritized": "true", "n_step": 2}),
}


@pytest.mark.parametrize(("algorithm", "number"), [("ppo", signal.SIGTERM), ("dqn", signal.SIGKILL)])
def test_a_stopped_run_goes_on_to_the_same_agent(run_command, tmp_path, algorithm, number):
    """Killed or asked to end: weights, metrics and evaluation are those of a run never stopped."""
    flags, values = LONG[algorithm]
    words = [*small(algorithm, training__eval_frequency=2500, training__solve_at="never", **values), *flags]
    process = start([*words, "--output-dir", tmp_path / "stopped"])
    wait_for_checkpoints(process, tmp_path / "stopped", 2)
    process.send_signal(number)
    _, errors = process.communicate(timeout=30)
    if number == signal.SIGTERM:
        assert process.returncode == 143, errors
        assert "--resume" in errors
    assert json.loads((tmp_path / "stopped" / "run.json").read_text())["status"] == "running"
    gone_on = run_command(*words, "--output-dir", tmp_path / "stopped", "--resume", "--json")
    assert gone_on.code == 0, gone_on.err
    assert json.loads(gone_on.out)["resumed_from"]
    assert "warning" not in gone_on.err
    assert run_command(*words, "--output-dir", tmp_path / "whole").code == 0
    one, two = tmp_path / "stopped", tmp_path / "whole"
    assert (one / "agent.safetensors").read_bytes() == (two / "agent.safetensors").read_bytes()
    assert untimed(one) == untimed(two)
    last = max((two.glob("checkpoint-*")), key=lambda path: int(path.name.split("-")[1])).name
    assert (one / last / "agent.safetensors").read_bytes() == (two / last / "agent.safetensors").read_bytes()


def untimed(run_dir: Path) -> list[dict[str, object]]:
    rows = [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]
    return [{key: value for key, value in row.items() if key != "seconds"} for row in rows]


@pytest.fixture(scope="module")
def stopped_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was killed after its third checkpoint."""
    run_dir = tmp_path_factory.mktemp("runs") / "stopped"
    process = start([*small("ppo", training__solve_at="never"), "--total-timesteps", 10**7, "--output-dir", run_dir])
    wait_for_checkpoints(process, run_dir, 3)
    process.kill()
    process.communicate()
    return run_dir


def resumed(run_command, run_dir, *words, algorithm="ppo", **values):
    return run_command(*small(algorithm, training__solve_at="never", **values), "--total-timesteps", 2000,
                       "--output-dir", run_dir, "--resume", *words)  # fmt: skip


@pytest.fixture
def copied_run(stopped_run, tmp_path):
    return Path(shutil.copytree(stopped_run, tmp_path / "run"))


def newest(run_dir: Path) -> Path:
    return max(run_dir.glob("checkpoint-*"), key=lambda path: int(path.name.split("-")[1]))


@pytest.mark.parametrize("damage", ["cut", "missing", "flipped"])
def test_a_damaged_newest_checkpoint_is_passed_over_and_named(run_command, copied_run, damage):
    broken = newest(copied_run)
    file = broken / "agent.safetensors"
    content = file.read_bytes()
    if damage == "missing":
        file.unlink()
    else:
        file.write_bytes(content[:-9] if damage == "cut" else content[:-9] + b"x" + content[-8:])
    done = resumed(run_command, copied_run)
    assert done.code == 0
    assert f"{broken} is passed over: agent.safetensors" in done.err


def test_a_run_is_not_begun_anew_in_its_folder(run_command, copied_run):
    done = run_command(*small("ppo"), "--output-dir", copied_run)
    assert done.code == 1
    assert "holds a run that has not ended" in done.err
    assert "--resume" in done.err


@pytest.mark.parametrize(
    ("words", "values", "algorithm", "told"),
    [
        (["--env", "Acrobot-v1"], {}, "ppo", "environment differs (CartPole-v1 then, Acrobot-v1 now)"),
        ([], {}, "dqn", "algorithm differs (ppo then, dqn now)"),
        ([], {"gae_lambda": 0.5}, "ppo", "gae_lambda differs (0.95 then, 0.5 now)"),
        (["--seed", 3], {}, "ppo", "seed differs (42 then, 3 now)"),
    ],
)
def test_a_run_does_not_go_on_as_another(run_command, copied_run, words, values, algorithm, told):
    done = resumed(run_command, copied_run, *words, algorithm=algorithm, **values)
    assert done.code == 1
    assert told in done.err


def test_environments_without_a_seed_are_told_and_go_on(run_command, tmp_path):
    words = [*small("ppo", training__update_frequency=128), "--env", f"{ODD}:OwnChance"]
    process = start([*words, "--total-timesteps", 10**7, "--output-dir", tmp_path])
    wait_for_checkpoints(process, tmp_path, 2)
    process.kill()
    _, errors = process.communicate()
    assert "the same seed does not give the same episode" in errors
    done = run_command(*words, "--total-timesteps", 500, "--output-dir", tmp_path, "--resume")
    assert done.code == 0
    assert "did not come to the same place again" in done.err


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (["--env", "CartPol-v1"], 2, ["no environment 'CartPol-v1'", "CartPole-v1"]),
        (["--env", f"{ODD}:Coridor"], 2, ["has no class 'Coridor'", "Corridor"]),
        (["--env", f"{ODD}:Numbers", "--algorithm", "dqn"], 2, ["takes numbers", "--algorithm ppo"]),
        (["--env", f"{ODD}:FourValues"], 1, ["breaks the gymnasium API"]),
        (["--env", f"{ODD}:GivesNaN"], 1, ["no finite number"]),
        (["--env", f"{ODD}:Raises"], 1, ["out of paint"]),
        (["--env", f"{ODD}:Hangs", "--set", "reinforcement_learning.ppo.training.step_timeout=0.4"], 1,
         ["has not answered for 0.4 seconds"]),
        (["--env", f"{ODD}:Hangs", "--set", "reinforcement_learning.ppo.training.step_timeout=0.6",
          "--set", "reinforcement_learning.ppo.training.vectorization=subprocess"], 1,
         ["has not answered for 0.6 seconds"]),
        (["--env-kwargs", '{"colour": 1}'], 2, ["colour", "--env-kwargs"]),
        (["--env-kwargs", '{"id": "Acrobot-v1"}'], 2, ["'id' is no argument of an environment"]),
        (["--env", ":Thing"], 1, ["could not be imported"]),
        (["--env-kwargs", "{"], 2, ["--env-kwargs", "a JSON object is needed"]),
        (["--set", "reinforcement_learning.ppo.state_dim=128"], 2, ["state_dim is 128, and the environment has 4"]),
        (["--set", "reinforcement_learning.ppo.action_dim=10"], 2, ["action_dim is 10, and the environment has 2"]),
        (["--set", "reinforcement_learning.ppo.training.max_episodes=null"], 2, ["would have no end"]),
        (["--set", "reinforcement_learning.ppo.anneal_lr=true"], 2, ["anneal_lr needs training.total_timesteps"]),
        (["--algorithm", "pppo"], 2, ["pppo"]),
        (["--resume", "nowhere/checkpoint-1"], 1, ["checkpoint"]),
    ],
)  # fmt: skip
def test_bad_input_is_one_clear_line(run_command, tmp_path, words, code, told):
    algorithm = "dqn" if "dqn" in words else "ppo"
    values = {"update_frequency": 256} if algorithm == "ppo" else {}
    done = run_command(
        *small(algorithm, **{f"training__{key}": value for key, value in values.items()}),
        "--output-dir", tmp_path / "run", *words,
    )  # fmt: skip
    assert (done.code, done.err.count("error:"), "Traceback" in done.err) == (code, 1, False), done.err
    for word in told:
        assert word in done.err


def test_a_missing_extra_names_its_install_command(run_command, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "Box2D", None)
    monkeypatch.delitem(sys.modules, "gymnasium.envs.box2d.lunar_lander", raising=False)
    monkeypatch.delitem(sys.modules, "gymnasium.envs.box2d", raising=False)
    done = run_command(*small("ppo"), "--env", "LunarLander-v3", "--output-dir", tmp_path / "run")
    assert done.code == 2
    assert "[box2d]" in done.err


def test_other_packages_name_their_install_command(run_command, tmp_path):
    for env, told in (("ALE/Pong-v5", "ale-py"), ("HalfCheetah-v5", "mujoco")):
        done = run_command(*small("ppo"), "--env", env, "--output-dir", tmp_path / "run")
        assert done.code == 2
        assert f"pip install {'gymnasium[mujoco]' if told == 'mujoco' else told}" in done.err


def test_the_preset_solves_cartpole(run_command, tmp_path):
    """A mean of 475 over 100 episodes on other seeds, in a second."""
    done = run_command("train-rl", "--preset", "cartpole_ppo", "--seed", 11, "--json", "--output-dir", tmp_path)
    summary = json.loads(done.out)
    assert summary["solved"]
    assert summary["eval_mean_return"] >= 475
    assert summary["eval_episodes"] == 100
    events = list((tmp_path / "tensorboard").glob("events.*"))
    assert events
    measured = run_command("train-rl", "--evaluate", tmp_path, "--eval-episodes", 20, "--seed", 5, "--json",
                           "--output-dir", tmp_path / "measured")  # fmt: skip
    record = json.loads(measured.out)
    assert record == json.loads((tmp_path / "measured" / "evaluation.json").read_text())
    assert (record["n"], record["data"]) == (20, "CartPole-v1")
    assert record["metrics"]["mean_return"]["value"] > 450


def test_a_saved_agent_is_not_measured_where_it_does_not_fit(run_command, tmp_path):
    PPOAgent(state_dim=4, action_dim=2, hidden_dim=8).save(tmp_path / "agent.safetensors")
    done = run_command("train-rl", "--evaluate", tmp_path)
    assert (done.code, "name it with --env" in done.err) == (1, True)
    done = run_command("train-rl", "--evaluate", tmp_path, "--env", "Acrobot-v1")
    assert (done.code, "the environment has (6,) and (3,)" in done.err) == (1, True)
    assert run_command("train-rl", "--evaluate", tmp_path, "--env", "CartPole-v1", "--eval-episodes", 3).code == 0


def test_typed_episodes_go_before_the_steps_of_a_preset(run_command, tmp_path):
    done = run_command("train-rl", "--preset", "cartpole_ppo", "--max-episodes", 9, "--json", "--output-dir", tmp_path)
    assert 9 <= json.loads(done.out)["episodes"] < 40


def test_a_named_checkpoint_is_gone_on_from(run_command, copied_run):
    oldest = min(copied_run.glob("checkpoint-*"), key=lambda path: int(path.name.split("-")[1]))
    done = run_command(
        *small("ppo", training__solve_at="never"), "--total-timesteps", 2000, "--resume", oldest, "--json"
    )
    assert done.code == 0, done.err
    assert json.loads(done.out)["resumed_from"] == str(oldest)


def test_dry_run_tells_and_writes_nothing(run_command, tmp_path):
    done = run_command(*small("ppo"), "--total-timesteps", 5000, "--dry-run", "--output-dir", tmp_path / "run")
    assert done.code == 0
    assert "nothing was written" in done.out
    assert not (tmp_path / "run").exists()


def test_an_episode_is_recorded(run_command, tmp_path):
    from PIL import Image

    done = run_command(*small("ppo", training__update_frequency=256), "--env", f"{ODD}:Corridor", "--total-timesteps",
                       600, "--record-video", "--output-dir", tmp_path)  # fmt: skip
    assert done.code == 0, done.err
    with Image.open(tmp_path / "episode.gif") as picture:
        assert picture.n_frames > 1


@pytest.mark.slow
@pytest.mark.parametrize("algorithm", ["ppo", "dqn"])
def test_the_exported_policy_says_what_the_agent_says(run_command, tmp_path, algorithm):
    pytest.importorskip("onnxruntime")
    done = run_command(*small(algorithm, normalize_observations="true"), "--total-timesteps", 2500, "--onnx",
                       "--output-dir", tmp_path)  # fmt: skip
    assert done.code == 0, done.err
    assert "policy.onnx: equal to the agent" in done.out


def test_an_environment_without_pictures_is_refused_before_training(run_command, tmp_path):
    plain = tmp_path / "plain.py"
    plain.write_text(ODD.read_text().replace('metadata = {"render_modes": ["rgb_array"], "render_fps": 10}', ""))
    done = run_command(*small("ppo"), "--env", f"{plain}:Corridor", "--record-video", "--output-dir", tmp_path / "run")
    assert done.code == 2
    assert "cannot be recorded" in done.err


def test_training_ends_where_the_return_is_reached(run_command, tmp_path):
    done = run_command(*small("ppo", training__update_frequency=256, training__eval_frequency=500,
                              learning_rate=0.003), "--env", f"{ODD}:Corridor", "--solve-at", 0.9, "--total-timesteps",
                       100_000, "--json", "--output-dir", tmp_path)  # fmt: skip
    summary = json.loads(done.out)
    assert summary["solved"]
    assert summary["stopped_early"]
    assert summary["timesteps"] < 50_000


def test_training_ends_when_patience_does(run_command, tmp_path):
    done = run_command(*small("ppo", training__update_frequency=256, training__eval_frequency=300,
                              training__patience=2, learning_rate=1e-9), "--env", f"{ODD}:Corridor",
                       "--total-timesteps", 100_000, "--json", "--output-dir", tmp_path)  # fmt: skip
    summary = json.loads(done.out)
    assert summary["stopped_early"]
    assert not summary["solved"]
    assert summary["timesteps"] < 3000
