"""How long help takes: CPU seconds of `main.py --help` and each `COMMAND --help`, beside an empty interpreter.

    python benchmarks/help_startup.py [--runs 11]

Runs alternate, so a busy machine slows all of them alike; medians are printed, and their ratio to the
empty interpreter. The aim is 0.15 CPU seconds on an idle machine.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))


def cpu_seconds(words: list[str]) -> float:
    """User and system seconds of one finished process."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, *words], cwd=ROOT, stdout=subprocess.DEVNULL, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> int:
    """Measure and print one line a command."""
    from commands import HELP_BY_COMMAND

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=11)
    runs = parser.parse_args().runs
    calls = {"an empty interpreter": ["-c", ""], "pydantic alone": ["-c", "from pydantic import BaseModel"]}
    calls |= {"--help": ["main.py", "--help"]}
    calls |= {f"{name} --help": ["main.py", name, "--help"] for name in HELP_BY_COMMAND}
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(runs + 1):  # the first round warms the caches and is not counted
        for name, words in calls.items():
            seconds[name].append(cpu_seconds(words))
    medians = {name: statistics.median(values[1:]) for name, values in seconds.items()}
    for name, median in medians.items():
        print(f"{name:24} {median:.3f} CPU s   {median / medians['an empty interpreter']:.1f} x empty")
    return 0


if __name__ == "__main__":
    sys.exit(main())
