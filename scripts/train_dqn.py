"""`python scripts/train_dqn.py ...` is `python main.py train-rl --algorithm dqn ...`."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from main import main

if __name__ == "__main__":
    sys.exit(main(["train-rl", "--algorithm", "dqn", *sys.argv[1:]]))
