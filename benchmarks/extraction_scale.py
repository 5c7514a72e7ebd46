"""How `extract` behaves with many files: memory of parent and workers, throughput, two workers against one.

    python benchmarks/extraction_scale.py [--files 1000 20000]        # small Markdown files, made for the purpose
    python benchmarks/extraction_scale.py --folder DOCUMENTS [--rounds 2]

The first prints the peak memory of the parent and of the largest worker for each number of files: both should
stay flat but for the few hundred bytes that each file has in the summary. The second reads a folder of yours
with one worker and with two, alternating, without a cache; medians are printed, and whether the bytes are equal.
"""

from __future__ import annotations

import argparse
import filecmp
import json
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LAUNCHER = """
import re, runpy, sys
sys.argv = sys.argv[1:]
try:
    runpy.run_path(sys.argv[0], run_name="__main__")
finally:
    found = re.search(r"VmHWM:\\s*(\\d+) kB", open("/proc/self/status").read())
    print("PEAK", found[1], file=sys.stderr)
"""


def extract(source: Path, target: Path, *flags: str) -> dict[str, float]:
    """Run the command; seconds, and peak megabytes of the parent and of the largest worker."""
    words = [sys.executable, "-c", LAUNCHER, str(ROOT / "main.py"), "extract", str(source), str(target), *flags]
    started = time.monotonic()
    done = subprocess.run([*words, "--quiet"], capture_output=True, text=True, check=False)
    seconds = time.monotonic() - started
    if done.returncode not in (0, 4):
        sys.exit(done.stderr)
    peak = re.search(r"^PEAK (\d+)$", done.stderr, re.MULTILINE)
    manifest = json.loads((target / "manifest.json").read_text(encoding="utf-8"))
    return {"seconds": seconds, "parent": int(peak[1]) / 1024 if peak else 0, "worker": manifest["peak_memory_mb"]}


def write_files(folder: Path, count: int) -> None:
    """Small Markdown files, a thousand a folder, no two alike."""
    for number in range(count):
        path = folder / f"{number // 1000:03d}" / f"note-{number:06d}.md"
        path.parent.mkdir(parents=True, exist_ok=True)
        sections = [
            f"## Part {part}\n\nNote {number} tells of box {number * part % 997}. It stands on shelf {part}. "
            + "Who looks for it finds it there, as long as nobody has moved it. " * 6
            for part in range(4)
        ]
        path.write_text(f"# Note {number}\n\n" + "\n\n".join(sections) + "\n", encoding="utf-8")


def many_files(counts: list[int]) -> None:
    """One line a number of files, for a first run and for a second one from the cache."""
    for count in counts:
        with tempfile.TemporaryDirectory() as name:
            folder, target = Path(name) / "in", Path(name) / "out"
            write_files(folder, count)
            for run in ("first", "cached"):
                found = extract(folder, target)
                print(
                    f"{count:7,} files, {run:6}: {found['seconds']:7.1f} s, {count / found['seconds']:5.0f} files/s, "
                    f"parent {found['parent']:4.0f} MB, largest worker {found['worker']:4.0f} MB",
                    flush=True,
                )


def two_against_one(folder: Path, rounds: int) -> None:
    """Alternate one and two workers."""
    seconds: dict[int, list[float]] = {1: [], 2: []}
    with tempfile.TemporaryDirectory() as name:
        targets = {workers: Path(name) / str(workers) for workers in seconds}
        for _ in range(rounds):
            for workers, target in targets.items():
                found = extract(folder, target, "--workers", str(workers), "--no-cache")
                seconds[workers].append(found["seconds"])
                print(
                    f"{workers} workers: {found['seconds']:6.1f} s, largest worker {found['worker']:.0f} MB", flush=True
                )
        names = ["documents.jsonl", "chunks.jsonl"]
        same = not any(filecmp.cmpfiles(targets[1], targets[2], names, shallow=False)[1:])
    one, two = (statistics.median(seconds[workers]) for workers in (1, 2))
    print(f"medians {one:.1f} s and {two:.1f} s: {one / two:.2f} times as fast; bytes {'equal' if same else 'DIFFER'}")


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, nargs="+", default=[1_000, 20_000])
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--rounds", type=int, default=2)
    args = parser.parse_args()
    if args.folder:
        two_against_one(args.folder, args.rounds)
    else:
        many_files(args.files)
    return 0


if __name__ == "__main__":
    sys.exit(main())
