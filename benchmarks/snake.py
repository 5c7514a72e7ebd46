"""How fast and how good the Snake part is: rules, environments, heuristics, records.

    python benchmarks/snake.py [--games 1000] [--rounds 3]

Everything is measured in CPU seconds of one process, in rounds that alternate, and medians are printed. The aims: rules
200,000 steps a second, the vectorised environment 300,000 with 64 games, each heuristic 50,000 records; the Hamiltonian
heuristic wins every game on 10x10 in fewer than 1,700 steps on average; BFS reaches about 15 on 6x6.
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from snake_game.game import Game  # noqa: E402
from snake_game.game_records import new_game, record_lines  # noqa: E402
from snake_game.heuristics import HEURISTICS  # noqa: E402
from snake_game.matches import play  # noqa: E402

RECORDS = 20_000
VECTOR_STEPS = 200_000


def rules() -> int:
    """Steps of random games on 10x10."""
    draw = random.Random(0)
    directions = [draw.randrange(4) for _ in range(500_000)]
    game = Game(10, 1)
    for direction in directions:
        game.step(direction)
        if game.end:
            game.reset()
    return len(directions)


def vector_steps(count: int, observation: str) -> Callable[[], int]:
    """Steps of `count` games on 6x6 at once, by legal moves."""

    def run() -> int:
        import gymnasium
        import numpy as np

        from snake_game.environment import ID, register

        register()
        envs = gymnasium.make_vec(ID, num_envs=count, board=6, observation=observation)
        _, infos = envs.reset(seed=1)
        wishes = np.random.default_rng(0).random((64, count, 4))
        steps = VECTOR_STEPS // count
        for step in range(steps):
            *_, infos = envs.step((wishes[step % 64] * infos["action_mask"]).argmax(axis=1))
        return steps * count

    return run


def records(algorithm: str) -> Callable[[], int]:
    """Records of games on 10x10, written to a file."""

    def run() -> int:
        written = 0
        with tempfile.TemporaryFile("w", encoding="utf-8") as file:
            for number in range(10**6):
                for line in record_lines(algorithm, 10, 1, number, lambda step: True):
                    file.write(line)
                    written += 1
                if written >= RECORDS:
                    return written
        return written

    return run


def quality(algorithm: str, board: int, games: int) -> str:
    """Wins, scores and steps of a heuristic."""
    results = [play(*new_game(algorithm, board, 1, number)) for number in range(games)]
    wins = sum(result.end == "won" for result in results)
    score = statistics.fmean(result.score for result in results)
    steps = statistics.fmean(result.steps for result in results)
    return f"won {wins:,} of {games:,}   score {score:.2f} of {board * board - 3}   steps {steps:,.0f}"


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--games", type=int, default=1000, help="for the quality of each heuristic")
    parser.add_argument("--rounds", type=int, default=3, help="for the speed of each part")
    args = parser.parse_args()
    parts: dict[str, Callable[[], int]] = {"rules, steps on 10x10": rules}
    parts |= {
        f"{count} games at once, {kind}, steps on 6x6": vector_steps(count, kind)
        for kind in ("grid", "features")
        for count in (8, 64, 256)
    }
    parts |= {f"records of {name} on 10x10": records(name) for name in ("bfs", "astar", "dfs", "hamiltonian")}
    rates: dict[str, list[float]] = {name: [] for name in parts}
    for _ in range(args.rounds):
        for name, run in parts.items():
            started = time.process_time()
            rates[name].append(run() / (time.process_time() - started))
    for name, values in rates.items():
        print(f"{name:44} {statistics.median(values):>11,.0f} a CPU second", flush=True)
    for board in (6, 10):
        for name in HEURISTICS:
            print(f"{name:12} {board}x{board}   {quality(name, board, args.games)}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
