"""Makes the files of the starter model again: tokenizer, weights, configuration and card."""

import argparse
import logging
import os
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / "starter_model" / "files"


def main() -> int:
    """Builds the model and says how long it took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=TARGET, help="folder (default: %(default)s)")
    parser.add_argument("--steps", type=int, help="fewer training steps, for a trial")
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")

    # Threads that wait must sleep: spinning, they halve the speed of a machine that does anything else.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # read when torch is loaded
    from starter_model import build

    started = time.perf_counter()
    loss = build.build_starter(args.output, steps=args.steps or build.STEPS)
    print(f"written: {args.output} (loss {loss:.3f}, {time.perf_counter() - started:.0f} s)")
    return 0


if __name__ == "__main__":
    import sys

    sys.path.insert(0, str(ROOT))
    raise SystemExit(main())
