"""`python scripts/train_qlora.py ...` is `python main.py train-qlora ...`."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from main import main
from shared_utils.processes import end_process

if __name__ == "__main__":
    end_process(main(["train-qlora", *sys.argv[1:]]))
