"""`train-rl --algorithm grpo`: its flags, and the way through."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from commands.options import SETTING_PREFIX, add_setting
from configs.schema import ToolkitConfig
from shared_utils.console import CommandResult, Console
from shared_utils.errors import ConfigurationError
from training_methods.reinforcement_learning.settings import EnvironmentSettings

GRPO = "grpo"
SECTION = "reinforcement_learning.grpo"
FLAGS = {
    "--model": "model_name",
    "--reward": "reward",
    "--num-generations": "num_generations",
    "--max-completion-length": "max_completion_length",
    "--temperature": "temperature",
    "--beta": "beta",
    "--lora-r": "lora_r",
    "--lora-alpha": "lora_alpha",
    "--target-modules": "target_modules",
    "--max-steps": "training.max_steps",
    "--questions-per-step": "training.questions_per_step",
    "--batch-size": "training.per_device_train_batch_size",
}
WHAT_IT_TAKES = """\
Trains adapters of a language model by the rewards of its answers (TRL, extra grpo). It needs a model that is right at
times: start from an adapter that learnt from examples (--model outputs/lora). On a processor the built-in starter
learns short answers in minutes; a model of half a billion parameters takes minutes for each step and wants a GPU."""
ENV, ENV_KWARGS = "reinforcement_learning.env.id", "reinforcement_learning.env.kwargs"


def add_grpo_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that only GRPO has."""
    group = parser.add_argument_group("with --algorithm grpo", WHAT_IT_TAKES)
    group.add_argument(
        "--train-data", nargs="+", metavar="FILE",
        help="questions from records instead of --env: .jsonl, .json, .csv, .parquet; --reward rates the answers",
    )  # fmt: skip
    for flag, setting in FLAGS.items():
        add_setting(group, flag, f"{SECTION}.{setting}")


def refuse_grpo_arguments(args: argparse.Namespace) -> None:
    """Refuse options that an agent would pass over in silence.

    Raises:
        ConfigurationError: names the first of them.
    """
    given = ["--train-data"] if args.train_data else []
    given += [flag for flag, setting in FLAGS.items() if hasattr(args, f"{SETTING_PREFIX}{SECTION}.{setting}")]
    if given:
        raise ConfigurationError(
            f"{given[0]} is for language models, not for {args.algorithm}", hint="add --algorithm grpo, or leave it out"
        )


def run_grpo(args: argparse.Namespace, config: ToolkitConfig, run_dir: Path, console: Console) -> CommandResult:
    """Train, then say how much better the answers have become and what to type next."""
    from commands.model_argument import resolve_model
    from configs.loader import to_yaml
    from workflows.answer_measurement import in_words
    from workflows.grpo import dry_run, train_grpo
    from workflows.grpo_request import GRPORequest

    _refuse_agent_arguments(args, config)
    rl = config.reinforcement_learning
    model = resolve_model(rl.grpo.model_name, config, console)
    settings = rl.grpo.model_copy(update={"model_name": model})
    changed: dict[str, Any] = {"reinforcement_learning": rl.model_copy(update={"grpo": settings})}
    request = GRPORequest(
        run_dir=run_dir,
        settings=settings,
        environment=None if args.train_data else rl.env,
        train_data=tuple(args.train_data or ()),
        checkpoint=config.checkpoint,
        logging=config.logging,
        seed=config.common.seed,
        device=config.common.device,
        config_yaml=to_yaml(config.model_copy(update=changed)),
        confidence=config.evaluation.confidence,
        resume=args.resume,
    )
    if args.dry_run:
        return CommandResult(dry_run(request, console))
    summary: dict[str, Any] = train_grpo(request, console)
    console.info(
        f"on {summary['held_out']} questions that it was not trained on ({summary['confidence']:.0%} intervals):"
    )
    for line in in_words(summary["measured"]):
        console.info(f"  {line}")
    console.info(
        f"{summary['steps']} steps, {summary['answers']:,} answers in {summary['seconds']:.0f} seconds; "
        f"written to {run_dir}"
    )
    after = f"snake evaluate --player {run_dir}" if "Snake" in (summary["env"] or "") else f"chat {run_dir}"
    console.info(f"next: python main.py {after}")
    return CommandResult(summary)


def _refuse_agent_arguments(args: argparse.Namespace, config: ToolkitConfig) -> None:
    given = {"--record-video": args.record_video, "--onnx": args.onnx, "--evaluate": args.evaluate}
    for flag, value in given.items():
        if value:
            raise ConfigurationError(f"{flag} is for agents, not for grpo", hint="leave it out")
    names_environment = any(hasattr(args, SETTING_PREFIX + name) for name in (ENV, ENV_KWARGS))
    if args.train_data and names_environment:
        raise ConfigurationError(
            "--train-data and --env both say where questions come from", hint="leave one of the two out"
        )
    if args.train_data and config.reinforcement_learning.grpo.reward is None:
        raise ConfigurationError(
            "--train-data needs --reward: nothing else says what answers are worth",
            hint="for example --reward rewards.py:reward; see docs/reinforcement-learning.md",
        )
    nobody_says = config.reinforcement_learning.env.id == EnvironmentSettings().id and not names_environment
    if not args.train_data and nobody_says:
        raise ConfigurationError(
            "--algorithm grpo needs --env or --train-data",
            hint="--env LLMToolkit/Snake-v0, or --train-data FILE with --reward",
        )
