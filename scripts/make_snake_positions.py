"""Write the positions that `snake evaluate` measures decisions on: one each from many games of several heuristics.

python scripts/make_snake_positions.py [--board 6 8 10] [--count 300] [--seed 7] [--output FILE]
"""

from __future__ import annotations

import argparse
import random
import sys
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from shared_utils.file_utils import write_jsonl_atomic
from snake_game.game import Game
from snake_game.heuristics import make_heuristic
from snake_game.positions import SHIPPED, as_row, safe_moves, shortest_moves

PLAYERS = ("bfs", "astar", "dfs", "hamiltonian", "greedy")


def positions(board: int, wanted: int, seed: int) -> Iterator[dict[str, Any]]:
    """Positions in which at least one legal move is right and at least one is wrong."""
    draw = random.Random(f"positions:{board}:{seed}")
    found: set[tuple[tuple[int, ...], int]] = set()
    for number in count():
        if len(found) == wanted:
            return
        name = PLAYERS[number % len(PLAYERS)]
        game, player = Game(board, draw.randrange(2**32)), make_heuristic(name)
        stop = draw.randrange(30 * board)
        while not game.end and game.steps < stop:
            game.step(player.choose(game).direction or 0)
        right = set(shortest_moves(game)) | set(safe_moves(game))
        place = (tuple(game.body), game.apple)
        if not game.end and place not in found and right and set(game.legal_moves()) - right:
            found.add(place)
            yield as_row(f"{board}x{board}-{len(found):03}", game)


def main() -> int:
    """Write the file."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--board", type=int, nargs="+", default=[6, 8, 10])
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--output", type=Path, default=SHIPPED)
    args = parser.parse_args()
    rows = [row for board in args.board for row in positions(board, args.count, args.seed)]
    write_jsonl_atomic(args.output, rows)
    print(f"{len(rows)} positions written to {args.output}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
