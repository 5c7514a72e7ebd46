"""The memory told before a run is the memory that the run takes."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.conftest import ROOT


@pytest.mark.slow
@pytest.mark.parametrize(("method", "recompute"), [("lora", False), ("lora", True), ("full", False)])
def test_the_plan_is_near_what_a_run_takes(method, recompute):
    """Too little would end in the middle of a run, too much would refuse what fits."""
    case = json.dumps(["starter", method, 512, 4, recompute, "float32"])
    words = [sys.executable, str(ROOT / "benchmarks" / "memory_plan.py"), "--case", case]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    line = next(line for line in done.stdout.splitlines() if line.startswith("RESULT "))
    found = json.loads(line.removeprefix("RESULT "))
    assert 0.85 <= found["plan"] / found["took"] <= 1.3
