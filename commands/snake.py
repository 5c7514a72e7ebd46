"""`snake`: games by heuristics, agents or language models: recorded, shown, measured."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path

from commands.options import add_setting
from configs.schema import ToolkitConfig
from shared_utils.console import CommandResult, Console
from shared_utils.errors import ConfigurationError
from shared_utils.settings import nearest

EXAMPLE = "python main.py snake generate --algorithm bfs astar dfs hamiltonian --games 20 --board 6 --output data/snake"
TEACHERS = ("bfs", "astar", "dfs", "hamiltonian")
VERBS = """\
what to do:
  generate   heuristics play, and their moves become training records with reasons"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.description = f"{parser.description}\n\n{VERBS}"
    parser.add_argument("verb", metavar="{generate,play,evaluate}", help="what to do, see above")
    add_setting(parser, "--board", "snake.board")
    add_setting(parser, "--games", "snake.games")
    generate = parser.add_argument_group("with generate")
    generate.add_argument(
        "--algorithm", nargs="+", default=list(TEACHERS), metavar="NAME",
        help=f"heuristics: bfs, astar, dfs, hamiltonian, greedy, random (default {' '.join(TEACHERS)})",
    )  # fmt: skip
    generate.add_argument("--output", type=Path, metavar="DIR", help="where the records go (default data/snake)")
    add_setting(generate, "--max-records", "snake.max_records")
    add_setting(generate, "--workers", "snake.workers")


def run(args: argparse.Namespace, config: ToolkitConfig, console: Console) -> CommandResult:
    """Do what the verb says."""
    actions = {"generate": _generate}
    if args.verb not in actions:
        guess = nearest(args.verb, actions)
        raise ConfigurationError(
            f"snake {args.verb} is unknown", hint=f"did you mean {guess}?" if guess else f"known: {', '.join(actions)}"
        )
    return actions[args.verb](args, config, console)


def _generate(args: argparse.Namespace, config: ToolkitConfig, console: Console) -> CommandResult:
    from workflows.snake_generation import GenerationPlan, generate_records

    snake = config.snake
    output = Path(args.output or args.output_dir or Path(config.common.data_dir) / "snake")
    plan = GenerationPlan(tuple(args.algorithm), snake.board, snake.games, config.common.seed, snake.max_records)
    statistics = generate_records(plan, output, snake.workers, console)
    console.info(f"{'heuristic':<12} {'won':>9} {'score':>8} {'steps':>8} {'records':>9}")
    for name, row in statistics["heuristics"].items():
        won = f"{row['wins']}/{row['games']}"
        console.info(f"{name:<12} {won:>9} {row['mean_score']:>8.1f} {row['mean_steps']:>8.1f} {row['records']:>9,}")
    place = shlex.quote(str(output))
    console.info(f"next: python main.py train-lora --train-data {place}/heuristics-*")
    return CommandResult({"output": str(output), **statistics})
