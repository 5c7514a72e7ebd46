"""The file of metrics that a run leaves behind, and the memory it took."""

from __future__ import annotations

import json
from pathlib import Path

import torch

from shared_utils.file_utils import write_text_atomic

METRICS_NAME = "metrics.jsonl"


def cut_metrics(path: Path, last_step: int) -> None:
    """Keep the lines of `metrics.jsonl` up to a step; later ones are about to be written again."""
    if not path.exists():
        return
    kept = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            row = json.loads(line)
        except ValueError:
            continue  # the line that a kill cut
        if int(row.get("step", 0)) <= last_step:
            kept.append(line)
    write_text_atomic(path, "".join(line + "\n" for line in kept))


def peak_memory_bytes() -> int:
    """The most memory this process has held: on the GPU when one is used, else in RAM."""
    if torch.cuda.is_available():
        return int(torch.cuda.max_memory_allocated())
    try:
        import resource
    except ImportError:
        import psutil

        return int(psutil.Process().memory_info().peak_wset)
    import sys

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
