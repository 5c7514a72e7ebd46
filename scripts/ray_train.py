"""A command of main.py in the workers of a Ray cluster: `python scripts/ray_train.py --workers 2 train-lora ...`.

Ray Train (extra `ray-train`) places the workers and connects them; from there each is a process of one run, as under
`accelerate launch`. Code, data and run folder must be at the same paths on all machines.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))


def train_in_worker(settings: dict[str, object]) -> None:
    """Run the command in one worker; a failure there fails the whole run."""
    import ray.train

    root, words = str(settings["root"]), list(settings["words"])  # type: ignore[call-overload]
    os.chdir(root)
    sys.path.insert(0, root)
    place = ray.train.get_context()
    os.environ.update(
        RANK=str(place.get_world_rank()),
        WORLD_SIZE=str(place.get_world_size()),
        LOCAL_RANK=str(place.get_local_rank()),
        LOCAL_WORLD_SIZE=str(place.get_local_world_size()),
    )
    from main import main as run_command

    code = run_command(words)
    if code != 0:
        raise RuntimeError(f"the command ended with code {code}; its own message stands above")


def main() -> int:
    """Start the workers and wait for them."""
    from importlib.util import find_spec

    from shared_utils.errors import missing_extra

    parser = argparse.ArgumentParser(description="run a training command on a Ray cluster")
    parser.add_argument("--workers", type=int, required=True, help="processes in all, one a GPU")
    parser.add_argument("--gpu", action="store_true", help="each worker has a GPU")
    parser.add_argument("words", nargs=argparse.REMAINDER, help="the command with its options, as for main.py")
    args = parser.parse_args()
    if any(find_spec(name) is None for name in ("ray", "pandas", "pyarrow")):
        error = missing_extra("ray-train", "ray[train]", "this script")
        print(f"error: {error.message}\nhint: {error.hint}", file=sys.stderr)
        return error.exit_code
    from ray.train import ScalingConfig
    from ray.train.torch import TorchTrainer

    TorchTrainer(
        train_in_worker,
        train_loop_config={"root": str(ROOT), "words": args.words},
        scaling_config=ScalingConfig(num_workers=args.workers, use_gpu=args.gpu),
    ).fit()
    return 0


if __name__ == "__main__":
    sys.exit(main())
