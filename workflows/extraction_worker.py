"""The program that reads files for the pool: answers jobs until its stdin ends.

    python -c "from workflows.extraction_worker import main; main()"

reads a plan and then jobs from stdin, one JSON object a line, and answers each job with one line. No memory
is shared with the parent, so a file that hangs or crashes a library takes only this process with it.
"""

from __future__ import annotations

import ctypes
import json
import logging
import os
import re
import signal
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from document_processing.converters.lm_studio_converter import LMStudioConverter
from workflows.extraction_file import WorkPlan, process_single_file, told
from workflows.extraction_pages import Piece, join_pieces, read_range, split_of

# Code and libraries take memory too, before any file is opened.
OWN_MEMORY_MB = 512
PR_SET_PDEATHSIG = 1  # of <sys/prctl.h>
GRACE_SECONDS = 30  # the parent ends a slow worker; this ends one whose parent was killed


def main() -> None:
    """Answer jobs until stdin ends."""
    answers = os.fdopen(os.dup(1), "w", encoding="ascii", buffering=1)
    # A library that prints must not end up between the answers.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    logging.disable(logging.CRITICAL)  # the parent tells the warnings, with the name of the file
    _end_with_parent()
    plan = WorkPlan(**json.loads(sys.stdin.readline()))
    _limit_memory(plan.memory_limit_mb)
    converter: LMStudioConverter | None = None
    answers.write(json.dumps({"ready": True}) + "\n")
    for line in sys.stdin:
        job = json.loads(line)
        _start_alarm(job["seconds"] + GRACE_SECONDS)
        try:
            if plan.converter is not None and converter is None:
                converter = LMStudioConverter(**plan.converter)
            started = time.monotonic()
            answer = answer_to(job, plan, converter)
            answer["seconds"] = round(time.monotonic() - started, 3)
        except MemoryError:
            # What is left of the memory is scattered: the parent starts a fresh worker.
            answers.write(json.dumps({"memory": True}) + "\n")
            return
        _start_alarm(0)
        answers.write(json.dumps({**answer, "peak_memory_mb": _peak_memory_mb()}) + "\n")


def answer_to(job: Mapping[str, Any], plan: WorkPlan, converter: LMStudioConverter | None) -> dict[str, Any]:
    """Do a job of `ExtractionSchedule`.

    Returns:
        `result`, the fields of a `FileResult`; or `split`, when the pages are to be read in ranges;
        or `part`, the name of a range that was stored; or `error`, why a range could not be read.
    """
    path = Path(job["path"])
    if job["do"] == "pages":
        try:
            return {"part": read_range(path, job["sha256"], job["first"], job["last"], plan)}
        except Exception as error:  # the other ranges are read all the same
            return {"error": told(error, path)[0]}
    if job["do"] == "join":
        pieces = [Piece(**piece) for piece in job["pieces"]]
        return {"result": asdict(join_pieces(path, job["source"], job["sha256"], pieces, plan, converter))}
    split = split_of(path, job["source"], plan)
    if split:
        return {"split": asdict(split)}
    return {"result": asdict(process_single_file(path, job["source"], plan, converter))}


def _peak_memory_mb() -> float:
    """The most memory that this program has had; 0 where the system does not tell."""
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii")
    except OSError:
        return 0.0
    # Not `getrusage`: it also counts the parent's memory at the moment of the start.
    found = re.search(r"VmHWM:\s*(\d+) kB", status)
    return round(int(found[1]) / 1024, 1) if found else 0.0


def _end_with_parent() -> None:
    """On Linux the kernel ends this process when the parent is killed; elsewhere the alarm does, later."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _limit_memory(megabytes: int) -> None:
    try:
        import resource
    except ImportError:  # Windows: the parent watches the size of its workers
        return
    limit = (megabytes + OWN_MEMORY_MB) * 2**20
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (limit if hard == resource.RLIM_INFINITY else min(limit, hard), hard))


def _start_alarm(seconds: float) -> None:
    if hasattr(signal, "setitimer"):  # its default action ends the process, also inside a C library
        signal.setitimer(signal.ITIMER_REAL, seconds)
