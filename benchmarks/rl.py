"""Speed and learning of our PPO and DQN beside Stable-Baselines3 and a plain loop in torch, in one run.

    python benchmarks/rl.py [--cases ppo-cartpole dqn-256 ...] [--seeds 3] [--sb3 PYTHON] [--sb3-threads 1] [--no-plain]

All train in the same environment with the same network sizes and hyper-parameters from the same seeds, each training
in a process of its own, in turn (A B C A B C). Printed for each case are medians over the seeds of environment steps
per CPU second (of the whole process, from the first step to the last, so every thread counts), the wall seconds until
the mean return of the last 100 training episodes first reaches the threshold (- where it did not), and the mean and
spread over seeds of the training return in the last fifth of the steps and over all of them (the learning curve's
area).

Stable-Baselines3 is tried with one thread and with torch's own choice in the first round; the better one is taken. It
is imported where it is installed; an environment of its own keeps ours as it is:

    python -m venv sb3-environment
    sb3-environment/bin/pip install stable-baselines3==2.9.2 "gymnasium[box2d]==1.4.0"
    python benchmarks/rl.py --sb3 sb3-environment/bin/python

The plain loop (`plain`, PPO only) is what a readable single-file PPO in torch does: one network call a step, autograd,
Adam over all parameters, gymnasium's synchronous vector.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

PPO = {
    "num_envs": 8,
    "update_frequency": 2048,
    "batch_size": 64,
    "k_epochs": 10,
    "learning_rate": 3e-4,
    "gamma": 0.99,
    "gae_lambda": 0.95,
    "entropy_coef": 0.0,
    "hidden_dim": 64,
}
DQN = {
    "num_envs": 1,
    "learning_rate": 1e-3,
    "gamma": 0.99,
    "buffer_size": 10_000,
    "learning_starts": 1000,
    "batch_size": 32,
    "target_update": 500,
    "train_freq": 1,
    "epsilon_decay_steps": 5000,
    "epsilon_end": 0.04,
    "max_grad_norm": 10.0,
    "hidden_dim": 256,
}
LUNAR = {"gamma": 0.995, "gae_lambda": 0.97, "entropy_coef": 0.01, "k_epochs": 4, "learning_rate": 1e-3}
# name: algorithm, environment, steps, threshold, hyper-parameters
CASES: dict[str, tuple[str, str, int, float, dict[str, Any]]] = {
    "ppo-cartpole": ("ppo", "CartPole-v1", 80_000, 475.0, PPO),
    "ppo-lunarlander": ("ppo", "LunarLander-v3", 150_000, 200.0, PPO | LUNAR),
    "ppo-acrobot": ("ppo", "Acrobot-v1", 100_000, -100.0, PPO),
    "dqn-256": ("dqn", "CartPole-v1", 20_000, 475.0, DQN),
    "dqn-64": ("dqn", "CartPole-v1", 20_000, 475.0, DQN | {"hidden_dim": 64}),
}


class Clock:
    """Episodes with the steps and seconds at which they ended."""

    def __init__(self, threshold: float) -> None:
        self.threshold = threshold
        self.started, self.cpu = time.monotonic(), time.process_time()
        self.returns: list[float] = []
        self.steps: list[int] = []
        self.reached: float | None = None

    def episode(self, reward: float, step: int) -> None:
        """Note an episode that has ended."""
        self.returns.append(reward)
        self.steps.append(step)
        recent = self.returns[-100:]
        if self.reached is None and len(recent) == 100 and statistics.mean(recent) >= self.threshold:
            self.reached = time.monotonic() - self.started

    def result(self, steps: int) -> dict[str, Any]:
        """The figures of a training."""
        seconds, cpu = time.monotonic() - self.started, time.process_time() - self.cpu
        last = [reward for reward, step in zip(self.returns, self.steps, strict=True) if step > 0.8 * steps]
        # The curve by steps, not by episodes: short episodes would count more.
        bins: list[list[float]] = [[] for _ in range(20)]
        for reward, step in zip(self.returns, self.steps, strict=True):
            bins[min(19, step * 20 // steps)].append(reward)
        area = statistics.mean(statistics.mean(one) for one in bins if one)
        final = statistics.mean(last) if last else float("nan")
        return {
            "steps_per_cpu_second": steps / cpu, "steps_per_second": steps / seconds, "reached": self.reached,
            "final": final, "area": area,
        }  # fmt: skip


def run_ours(case: str, seed: int) -> dict[str, Any]:
    """Our training loop."""
    from training_methods.reinforcement_learning.run_parts import begin
    from training_methods.reinforcement_learning.settings import (
        DQNSettings,
        DQNTrainingSettings,
        EnvironmentSettings,
        PPOSettings,
        PPOTrainingSettings,
    )
    from training_methods.reinforcement_learning.threads import few_threads

    algorithm, env, steps, threshold, values = CASES[case]
    values = dict(values)
    settings: Any
    if algorithm == "ppo":
        training = PPOTrainingSettings(update_frequency=values.pop("update_frequency"))
        settings = PPOSettings(**values, training=training)
    else:
        # What Stable-Baselines3 has: neither dueling nor double.
        settings = DQNSettings(**values, use_dueling=False, double_dqn=False, training=DQNTrainingSettings())
    with few_threads():
        loop = begin(EnvironmentSettings(id=env), settings, algorithm, seed, "cpu")  # type: ignore[arg-type]
        clock = Clock(threshold)

        def is_time(state: Any, learnt: bool) -> bool:
            for reward, _ in state._ended:
                clock.episode(reward, state.timesteps)
            state._ended.clear()
            return bool(state.timesteps >= steps)

        loop.run(is_time)
        return clock.result(loop.timesteps)


def run_sb3(case: str, seed: int, threads: int) -> dict[str, Any]:
    """Stable-Baselines3 with the same hyper-parameters."""
    import torch
    from stable_baselines3 import DQN as TheirDQN
    from stable_baselines3 import PPO as TheirPPO
    from stable_baselines3.common.callbacks import BaseCallback
    from stable_baselines3.common.env_util import make_vec_env

    if threads:
        torch.set_num_threads(threads)
    algorithm, env, steps, threshold, values = CASES[case]
    width = values["hidden_dim"]
    environments = make_vec_env(env, n_envs=values["num_envs"], seed=seed)
    common = {"learning_rate": values["learning_rate"], "gamma": values["gamma"], "seed": seed, "device": "cpu"}
    common |= {"batch_size": values["batch_size"], "verbose": 0}
    model: Any
    if algorithm == "ppo":
        model = TheirPPO(
            "MlpPolicy", environments, n_steps=values["update_frequency"] // values["num_envs"],
            n_epochs=values["k_epochs"], gae_lambda=values["gae_lambda"], ent_coef=values["entropy_coef"],
            policy_kwargs={"net_arch": {"pi": [width, width], "vf": [width, width]}}, **common,
        )  # fmt: skip
    else:
        model = TheirDQN(
            "MlpPolicy", environments, buffer_size=values["buffer_size"], learning_starts=values["learning_starts"],
            train_freq=values["train_freq"], gradient_steps=1, target_update_interval=values["target_update"],
            exploration_fraction=values["epsilon_decay_steps"] / steps, exploration_final_eps=values["epsilon_end"],
            max_grad_norm=values["max_grad_norm"], policy_kwargs={"net_arch": [width, width]}, **common,
        )  # fmt: skip
    clock = Clock(threshold)

    class Note(BaseCallback):
        def _on_step(self) -> bool:
            for info in self.locals["infos"]:
                if "episode" in info:
                    clock.episode(float(info["episode"]["r"]), self.num_timesteps)
            return True

    model.learn(steps, callback=Note())
    return clock.result(model.num_timesteps)


def run_plain(case: str, seed: int) -> dict[str, Any]:
    """A readable PPO in torch alone, one thread; masks nothing, since its vector resets within the step."""
    import gymnasium
    import numpy as np
    import torch
    from gymnasium.vector import AutoresetMode
    from torch import nn

    torch.set_num_threads(1)
    torch.manual_seed(seed)
    _, env, steps, threshold, v = CASES[case]
    count, rows, width = v["num_envs"], v["update_frequency"] // v["num_envs"], v["hidden_dim"]
    envs = gymnasium.make_vec(
        env, count, vectorization_mode="sync", vector_kwargs={"autoreset_mode": AutoresetMode.SAME_STEP}
    )
    size, actions = envs.single_observation_space.shape[0], int(envs.single_action_space.n)  # type: ignore[attr-defined]

    def net(outputs: int, gain: float) -> nn.Sequential:
        layers = [nn.Linear(size, width), nn.Tanh(), nn.Linear(width, width), nn.Tanh(), nn.Linear(width, outputs)]
        for layer, scale in zip(layers[::2], (2**0.5, 2**0.5, gain), strict=True):
            nn.init.orthogonal_(layer.weight, scale)
            nn.init.zeros_(layer.bias)
        return nn.Sequential(*layers)

    actor, critic = net(actions, 0.01), net(1, 1.0)
    parameters = [*actor.parameters(), *critic.parameters()]
    optimizer = torch.optim.Adam(parameters, lr=v["learning_rate"], eps=1e-5)
    seen = torch.zeros(rows, count, size)
    taken, logs, values, rewards, ended = (torch.zeros(rows, count) for _ in range(5))
    observation = torch.as_tensor(envs.reset(seed=seed)[0])
    totals, done_steps = np.zeros(count), 0
    clock = Clock(threshold)
    while done_steps < steps:
        for row in range(rows):
            with torch.no_grad():
                policy = torch.distributions.Categorical(logits=actor(observation))
                action = policy.sample()
                seen[row], taken[row], logs[row] = observation, action, policy.log_prob(action)
                values[row] = critic(observation)[:, 0]
            following, reward, terminated, truncated, info = envs.step(action.numpy())
            reward, over = np.asarray(reward, np.float32), terminated | truncated
            done_steps += count
            totals += reward
            for number in np.flatnonzero(over):
                clock.episode(float(totals[number]), done_steps)
                totals[number] = 0
                if truncated[number]:
                    with torch.no_grad():
                        last = torch.as_tensor(info["final_obs"][number])
                        reward[number] += v["gamma"] * float(critic(last)[0])
            rewards[row], ended[row] = torch.as_tensor(reward), torch.as_tensor(over, dtype=torch.float32)
            observation = torch.as_tensor(following)
        with torch.no_grad():
            after, gain = critic(observation)[:, 0], torch.zeros(count)
            advantages = torch.zeros_like(rewards)
            for row in reversed(range(rows)):
                delta = rewards[row] + v["gamma"] * after * (1 - ended[row]) - values[row]
                gain = delta + v["gamma"] * v["gae_lambda"] * (1 - ended[row]) * gain
                advantages[row], after = gain, values[row]
        flat = [seen.reshape(-1, size)] + [one.reshape(-1) for one in (taken, logs, advantages, advantages + values)]
        for _ in range(v["k_epochs"]):
            for part in torch.randperm(rows * count).split(v["batch_size"]):
                x, a, old, adv, goal = (one[part] for one in flat)
                policy = torch.distributions.Categorical(logits=actor(x))
                ratio = (policy.log_prob(a) - old).exp()
                adv = (adv - adv.mean()) / (adv.std() + 1e-8)
                loss = -torch.min(ratio * adv, ratio.clamp(0.8, 1.2) * adv).mean()
                loss = (
                    loss + 0.5 * (critic(x)[:, 0] - goal).square().mean() - v["entropy_coef"] * policy.entropy().mean()
                )
                optimizer.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(parameters, 0.5)
                optimizer.step()
    return clock.result(done_steps)


def one_run(python: str, tool: str, case: str, seed: int, threads: int) -> dict[str, Any]:
    """A training in a process of its own."""
    words = [python, __file__, "--worker", tool, "--cases", case, "--seed", str(seed), "--threads", str(threads)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{tool} failed in {case}:\n{done.stderr[-2000:]}")
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    reached = f", reached in {result['reached']:.1f} s" if result["reached"] else ""
    print(
        f"  {case} seed {seed} {tool}: {result['steps_per_cpu_second']:,.0f} steps/CPU s, "
        f"final {result['final']:.1f}, area {result['area']:.1f}{reached}",
        file=sys.stderr,
    )
    return result


def compare(case: str, seeds: int, sb3: str | None, threads: int | None, with_plain: bool) -> None:
    """One case: everybody in turn, then the table."""
    tools = {"ours": sys.executable, **({"sb3": sb3} if sb3 else {})}
    if with_plain and CASES[case][0] == "ppo":
        tools["plain"] = sys.executable
    if sb3 and threads is None:
        tried = {number: one_run(sb3, "sb3", case, 99, number)["steps_per_cpu_second"] for number in (1, 0)}
        threads = max(tried, key=lambda number: tried[number])
    results: dict[str, list[dict[str, Any]]] = {tool: [] for tool in tools}
    for seed in range(1, seeds + 1):
        for tool, python in tools.items():
            results[tool].append(one_run(python, tool, case, seed, (threads or 0) if tool == "sb3" else 1))
    algorithm, env, steps, _, values = CASES[case]
    print(f"\n{case}: {algorithm.upper()}, {env}, {steps:,} steps, hidden {values['hidden_dim']}, {seeds} seeds")
    base = statistics.median(one["steps_per_cpu_second"] for one in results.get("sb3", results["ours"]))
    for tool, runs in results.items():
        speed = statistics.median(one["steps_per_cpu_second"] for one in runs)
        reached = [one["reached"] for one in runs if one["reached"] is not None]
        until = f"{statistics.median(reached):6.1f} s ({len(reached)}/{len(runs)})" if reached else "      -"
        figures = []
        for name in ("final", "area"):
            found = [one[name] for one in runs]
            spread = statistics.stdev(found) if len(found) > 1 else 0.0
            figures.append(f"{name} {statistics.mean(found):7.1f} +- {spread:5.1f}")
        print(
            f"  {tool:6} {speed:10,.0f} steps/CPU s  x{speed / base:4.1f}  threshold {until:18}  {'  '.join(figures)}"
        )
    if sb3:
        print(f"  (Stable-Baselines3 with {'one thread' if threads else 'the threads that torch chose'})")


def main() -> None:
    """Run the cases."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", nargs="+", choices=list(CASES), default=["ppo-cartpole", "dqn-256", "dqn-64"])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--sb3", metavar="PYTHON", help="interpreter of an environment with stable-baselines3")
    parser.add_argument("--sb3-threads", type=int, help="its threads; default: what is better of 1 and torch's choice")
    parser.add_argument("--no-plain", action="store_true", help="leave the plain loop out")
    parser.add_argument("--worker", choices=["ours", "sb3", "plain"], help=argparse.SUPPRESS)
    parser.add_argument("--seed", type=int, default=1, help=argparse.SUPPRESS)
    parser.add_argument("--threads", type=int, default=1, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        case = args.cases[0]
        runs = {"ours": run_ours, "plain": run_plain}
        result = run_sb3(case, args.seed, args.threads) if args.worker == "sb3" else runs[args.worker](case, args.seed)
        print(json.dumps(result))
        return
    installed = importlib.util.find_spec("stable_baselines3") is not None
    sb3 = args.sb3 or (sys.executable if installed else None)
    if sb3 is None:
        print("stable-baselines3 is not installed; ours alone (see --help)", file=sys.stderr)
    for case in args.cases:
        compare(case, args.seeds, sb3, args.sb3_threads, not args.no_plain)


if __name__ == "__main__":
    main()
