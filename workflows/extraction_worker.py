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
import signal
import sys
from dataclasses import asdict
from pathlib import Path

from document_processing.converters.lm_studio_converter import LMStudioConverter
from workflows.extraction_file import WorkPlan, process_single_file

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
    for line in sys.stdin:
        job = json.loads(line)
        _start_alarm(job["seconds"] + GRACE_SECONDS)
        try:
            if plan.converter is not None and converter is None:
                converter = LMStudioConverter(**plan.converter)
            result = process_single_file(Path(job["path"]), job["source"], plan, converter)
        except MemoryError:
            # What is left of the memory is scattered: the parent starts a fresh worker.
            answers.write(json.dumps({"memory": True}) + "\n")
            return
        _start_alarm(0)
        answers.write(json.dumps(asdict(result)) + "\n")


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
