"""`snake`: games by heuristics, agents or language models: recorded, shown, measured."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from commands.options import add_setting
from configs.schema import ToolkitConfig
from shared_utils.console import CommandResult, Console
from shared_utils.errors import ConfigurationError
from shared_utils.settings import nearest

if TYPE_CHECKING:
    from workflows.snake_players import Contestant

EXAMPLE = "python main.py snake play --player hamiltonian --board 8 --gif game.gif"
TEACHERS = ("bfs", "astar", "dfs", "hamiltonian")
PLAYERS = (
    "bfs, astar, dfs, hamiltonian, greedy, random, the run folder of train-rl, or a language model (starter, a folder)"
)
VERBS = """\
what to do:
  generate   heuristics play, and their moves become training records with reasons
  play       one game in the terminal, and as an animated GIF with --gif
  evaluate   win rate, score, steps, invalid moves and decisions of one player or several, with intervals"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.description = f"{parser.description}\n\n{VERBS}"
    parser.add_argument("verb", metavar="{generate,play,evaluate}", help="what to do, see above")
    add_setting(parser, "--board", "snake.board")
    add_setting(parser, "--games", "snake.games")
    generate = parser.add_argument_group("with generate")
    generate.add_argument(
        "--algorithm", nargs="+", metavar="NAME",
        help=f"heuristics: bfs, astar, dfs, hamiltonian, greedy, random (default {' '.join(TEACHERS)})",
    )  # fmt: skip
    generate.add_argument("--output", type=Path, metavar="DIR", help="where the records go (default data/snake)")
    add_setting(generate, "--max-records", "snake.max_records")
    add_setting(generate, "--workers", "snake.workers")
    playing = parser.add_argument_group("with play and evaluate")
    playing.add_argument("--player", nargs="+", metavar="PLAYER", help=f"{PLAYERS} (default hamiltonian)")
    add_setting(playing, "--delay", "snake.delay")
    playing.add_argument("--gif", type=Path, metavar="FILE", help="with play: write the game there")
    playing.add_argument(
        "--positions", type=Path, metavar="FILE",
        help="with evaluate: positions in which decisions are measured (default those shipped, of boards 6, 8 and 10)",
    )  # fmt: skip


def run(args: argparse.Namespace, config: ToolkitConfig, console: Console) -> CommandResult:
    """Do what the verb says."""
    actions: dict[str, Callable[[argparse.Namespace, ToolkitConfig, Console], dict[str, Any]]] = {
        "generate": _generate, "play": _play, "evaluate": _evaluate,
    }  # fmt: skip
    if args.verb not in actions:
        guess = nearest(args.verb, actions)
        raise ConfigurationError(
            f"snake {args.verb} is unknown", hint=f"did you mean {guess}?" if guess else f"known: {', '.join(actions)}"
        )
    _refuse_other_verbs(args)
    return CommandResult(actions[args.verb](args, config, console))


def _refuse_other_verbs(args: argparse.Namespace) -> None:
    """An option of another verb would be passed over in silence."""
    verbs = {
        "--algorithm": (args.algorithm, ("generate",)),
        "--output": (args.output, ("generate",)),
        "--player": (args.player, ("play", "evaluate")),
        "--gif": (args.gif, ("play",)),
        "--positions": (args.positions, ("evaluate",)),
    }
    for flag, (value, known) in verbs.items():
        if value is not None and args.verb not in known:
            raise ConfigurationError(f"{flag} is not for snake {args.verb}", hint=f"it goes with {' and '.join(known)}")


def _generate(args: argparse.Namespace, config: ToolkitConfig, console: Console) -> dict[str, Any]:
    from workflows.snake_generation import GenerationPlan, generate_records

    snake = config.snake
    output = Path(args.output or args.output_dir or Path(config.common.data_dir) / "snake")
    algorithms = tuple(args.algorithm or TEACHERS)
    plan = GenerationPlan(algorithms, snake.board, snake.games, config.common.seed, snake.max_records)
    statistics = generate_records(plan, output, snake.workers, console)
    console.info(f"{'heuristic':<12} {'won':>9} {'score':>8} {'steps':>8} {'records':>9}")
    for name, row in statistics["heuristics"].items():
        won = f"{row['wins']}/{row['games']}"
        console.info(f"{name:<12} {won:>9} {row['mean_score']:>8.1f} {row['mean_steps']:>8.1f} {row['records']:>9,}")
    place = shlex.quote(str(output))
    console.info(f"{output / 'statistics.json'}: the same, with how the games ended")
    console.info(f"next: python main.py train-lora --train-data {place}/heuristics-*")
    return {"output": str(output), **statistics}


def _play(args: argparse.Namespace, config: ToolkitConfig, console: Console) -> dict[str, Any]:
    from snake_game.terminal import TerminalBoard
    from workflows.snake_players import REASON_TOKENS
    from workflows.snake_show import Show

    names = args.player or ["hamiltonian"]
    if len(names) > 1:
        raise ConfigurationError("snake play shows one player", hint="name one, or compare them with snake evaluate")
    if args.gif is not None and args.gif.suffix.casefold() != ".gif":
        raise ConfigurationError(f"--gif {args.gif}: the file must end with .gif", hint="for example --gif game.gif")
    player = _opener(names[0], config, console, REASON_TOKENS)()
    show = Show(player, config.snake.board, config.common.seed)
    is_shown = sys.stdout.isatty() and not console.quiet and not console.json_output
    terminal = TerminalBoard(config.snake.delay, use_colours=not os.environ.get("NO_COLOR")) if is_shown else None
    result = show.play(terminal)
    if terminal is None:
        console.info(show.last_board)
    console.info(f"{player.name}: {show.outcome}")
    frames = None
    if args.gif is not None:
        frames = show.save_gif(args.gif, config.snake.delay)
        console.info(f"{args.gif}: {frames} frames")
    return {
        "player": player.name,
        "kind": player.kind,
        "board": config.snake.board,
        **result,
        "gif": str(args.gif) if args.gif is not None else None,
        "frames": frames,
    }


def _evaluate(args: argparse.Namespace, config: ToolkitConfig, console: Console) -> dict[str, Any]:
    from shared_utils.file_utils import ensure_output_dir, write_json_atomic
    from snake_game.positions import SHIPPED, load_positions, shipped_sizes
    from workflows.snake_evaluation import Measurement, evaluate_players, write_report

    names = args.player or ["hamiltonian"]
    if len(set(names)) < len(names):
        raise ConfigurationError(f"a player is named twice: {' '.join(names)}", hint="name each once")
    board = config.snake.board
    positions = load_positions(args.positions or SHIPPED, board) if args.positions or board in shipped_sizes() else []
    if not positions:
        console.warn(
            f"no positions of {board}x{board} are shipped, so decisions are not measured; make some with "
            f"scripts/make_snake_positions.py --board {board} --output FILE, and name them with --positions FILE"
        )
    plan = Measurement(
        board,
        config.snake.games,
        positions,
        config.evaluation.confidence,
        config.evaluation.bootstrap_resamples,
        config.common.seed,
    )
    output = ensure_output_dir(Path(args.output_dir)) if args.output_dir else None
    openers = {name: _opener(name, config, console) for name in names}
    with console.progress(plan.games * len(openers), "snake evaluate") as progress:
        summary = evaluate_players(openers, plan, progress.advance)
    for line in write_report(summary):
        console.info(line)
    if output:
        path = output / "evaluation.json"
        write_json_atomic(path, summary)
        console.info(f"all figures: {path}")
        return {**summary, "output": str(path)}
    return summary


def _opener(
    name: str, config: ToolkitConfig, console: Console, new_tokens: int | None = None
) -> Callable[[], Contestant]:
    """What loads the player that is meant by a name, which is checked at once; language models are loaded later."""
    from commands.model_argument import naming_known_models, resolve_model
    from shared_utils.errors import LLMToolkitError
    from workflows.snake_agents import agent, is_agent
    from workflows.snake_players import MOVE_TOKENS, heuristic, is_heuristic, language_model

    if is_heuristic(name):
        return lambda: heuristic(name)
    if is_agent(name):
        player = agent(name, config.snake.board)
        return lambda: player
    try:
        place = resolve_model(name, config, console)
    except LLMToolkitError as error:
        if Path(name).exists():
            raise
        from snake_game.heuristics import HEURISTICS

        guess = nearest(name, HEURISTICS)
        hint = f"did you mean {guess}? {error.hint}" if guess else f"players: {PLAYERS}; {error.hint}"
        raise type(error)(f"--player {name} is neither a heuristic nor a model: {error.message}", hint=hint) from error

    def load() -> Contestant:
        with naming_known_models(name, config):
            return language_model(
                name, place, config.common.device, config.evaluation.batch_size, new_tokens or MOVE_TOKENS
            )

    return load
