"""Write the Snake records of the samples: games of four heuristics on 6x6, a few moves of each.

python scripts/make_sample_snake.py
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from sample_world.samples import SNAKE_GAMES
from shared_utils.console import Console
from shared_utils.file_utils import write_text_atomic
from workflows.snake_generation import GenerationPlan, generate_records

PLAN = GenerationPlan(("bfs", "astar", "dfs", "hamiltonian"), board=6, games=6, seed=42, max_records=60)


def sample_games() -> str:
    """The records of all heuristics, one after another."""
    with tempfile.TemporaryDirectory() as folder:
        generate_records(PLAN, Path(folder), 1, Console(quiet=True))
        files = [Path(folder) / f"heuristics-{name}" / "records.jsonl" for name in PLAN.algorithms]
        return "".join(file.read_text(encoding="utf-8") for file in files)


def main() -> int:
    """Write the file."""
    write_text_atomic(SNAKE_GAMES, sample_games())
    print(f"written: {SNAKE_GAMES}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
