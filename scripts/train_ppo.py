"""`python scripts/train_ppo.py ...` is `python main.py train-rl --algorithm ppo ...`."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from main import main

if __name__ == "__main__":
    sys.exit(main(["train-rl", "--algorithm", "ppo", *sys.argv[1:]]))
