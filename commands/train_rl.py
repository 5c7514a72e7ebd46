"""`train-rl`: an agent learns by acting in a gymnasium environment, a language model by rewards of its answers."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from commands.grpo_options import GRPO, add_grpo_arguments, refuse_grpo_arguments, run_grpo
from commands.options import ALGORITHM, SETTING_PREFIX, add_run_options, add_setting, run_dir_of
from configs.schema import ToolkitConfig
from shared_utils.console import CommandResult, Console
from training_methods.reinforcement_learning.settings import ALGORITHMS

EXAMPLE = "python main.py train-rl --env CartPole-v1 --algorithm ppo --total-timesteps 100000"
SECTION = f"reinforcement_learning.{ALGORITHM}"
FLAGS = {
    "--total-timesteps": "training.total_timesteps",
    "--max-episodes": "training.max_episodes",
    "--num-envs": "num_envs",
    "--hidden-dim": "hidden_dim",
    "--learning-rate": "learning_rate",
    "--gamma": "gamma",
    "--eval-episodes": "training.final_eval_episodes",
    "--solve-at": "training.solve_at",
}


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument(
        "--algorithm",
        choices=[*ALGORITHMS, GRPO],
        default="ppo",
        help="how it learns: ppo and dqn are for agents, grpo is for language models (default ppo)",
    )
    add_setting(parser, "--env", "reinforcement_learning.env.id")
    add_setting(parser, "--env-kwargs", "reinforcement_learning.env.kwargs")
    for flag, setting in FLAGS.items():
        add_setting(parser, flag, f"{SECTION}.{setting}")
    parser.add_argument(
        "--record-video", action="store_true", help="write episode.gif, an episode of the finished agent"
    )
    parser.add_argument("--onnx", action="store_true", help="write policy.onnx, too, checked against the agent")
    add_run_options(parser, preset="cartpole_ppo")
    parser.add_argument(
        "--evaluate",
        metavar="RUN",
        help="train nothing: measure the agent of this run folder or file on --eval-episodes episodes of other seeds",
    )
    parser.add_argument("--dry-run", action="store_true", help="say what would be done; write nothing")
    add_grpo_arguments(parser)


def run(args: argparse.Namespace, config: ToolkitConfig, console: Console) -> CommandResult:
    """Train, then say how good the agent is and what to type next."""
    if args.algorithm == GRPO:
        return run_grpo(args, config, run_dir_of(args.algorithm, args, Path(config.common.output_dir)), console)
    refuse_grpo_arguments(args)
    if args.evaluate:
        return _evaluate(args, config, console)
    from configs.loader import to_yaml
    from workflows.reinforcement_learning import dry_run, train_agent
    from workflows.rl_request import AgentRequest

    config = _as_long_as_typed(args, config)
    section = config.reinforcement_learning
    request = AgentRequest(
        run_dir=run_dir_of(args.algorithm, args, Path(config.common.output_dir)),
        algorithm=args.algorithm,
        environment=section.env,
        settings=section.of(args.algorithm),
        checkpoint=config.checkpoint,
        early_stopping=config.early_stopping,
        logging=config.logging,
        seed=config.common.seed,
        device=config.common.device,
        config_yaml=to_yaml(config),
        resume=args.resume,
        record_video=args.record_video,
        onnx=args.onnx,
    )
    if args.dry_run:
        return CommandResult(dry_run(request, console))
    summary: dict[str, Any] = train_agent(request, console)
    console.info(
        f"mean return over {summary['eval_episodes']} episodes on other seeds: {summary['eval_mean_return']:.1f} "
        f"({summary['eval_low']:.1f} to {summary['eval_high']:.1f}), standard deviation "
        f"{summary['eval_std_return']:.1f}" + _verdict(summary)
    )
    console.info(
        f"{summary['timesteps']} steps, {summary['episodes']} episodes in {summary['seconds']:.1f} seconds "
        f"({summary['cpu_seconds']:.1f} of CPU); written to {request.run_dir}"
    )
    console.info(f"next: see {request.run_dir / 'curves.png'} and {request.run_dir / 'README.md'}")
    return CommandResult(summary)


def _as_long_as_typed(args: argparse.Namespace, config: ToolkitConfig) -> ToolkitConfig:
    """With --max-episodes typed, the total_timesteps of a file or preset do not count."""
    prefix = f"{SETTING_PREFIX}{SECTION}.training."
    if not hasattr(args, f"{prefix}max_episodes") or hasattr(args, f"{prefix}total_timesteps"):
        return config
    section = config.reinforcement_learning
    settings = section.of(args.algorithm)
    training = settings.training.model_copy(update={"total_timesteps": None})
    changed = section.model_copy(update={args.algorithm: settings.model_copy(update={"training": training})})
    return config.model_copy(update={"reinforcement_learning": changed})


def _evaluate(args: argparse.Namespace, config: ToolkitConfig, console: Console) -> CommandResult:
    from workflows.agent_evaluation import evaluate_agent
    from workflows.reinforcement_learning import register_own_environments

    register_own_environments()
    section = config.reinforcement_learning
    is_named = any(dest.startswith(f"{SETTING_PREFIX}reinforcement_learning.env.") for dest in vars(args))
    record: dict[str, Any] = evaluate_agent(
        Path(args.evaluate),
        section.env if is_named else None,
        section.of(args.algorithm).training.final_eval_episodes,
        config.common.seed,
        Path(args.output_dir) if args.output_dir else None,
    )
    figure = record["metrics"]["mean_return"]
    console.info(
        f"{args.evaluate} in {record['data']}: mean return over {record['n']} episodes {figure['value']:.1f} "
        f"({figure['low']:.1f} to {figure['high']:.1f}), standard deviation {record['std_return']:.1f}"
    )
    return CommandResult(record)


def _verdict(summary: dict[str, Any]) -> str:
    if summary["solve_at"] is None:
        return ""
    return f": {'solved' if summary['solved'] else 'not solved'} (at {summary['solve_at']:g})"
