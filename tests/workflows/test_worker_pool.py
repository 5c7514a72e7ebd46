"""Worker processes that hang, crash or swell."""

import textwrap
from pathlib import Path

import pytest

from workflows.worker_pool import Failure, WorkerPool

FAKE_WORKER = """
    import json, os, signal, sys, time

    def main():
        plan = json.loads(sys.stdin.readline())
        for line in sys.stdin:
            job = json.loads(line)["do"]
            if job == "hang":
                time.sleep(600)
            if job == "crash":
                os.kill(os.getpid(), signal.SIGSEGV)
            if job == "grow":
                hoard = bytearray(os.urandom(1) * 200_000_000)
                time.sleep(600)
            print(json.dumps({"answer": job + plan["suffix"]}), flush=True)
"""


@pytest.fixture
def run_jobs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "fake_worker.py").write_text(textwrap.dedent(FAKE_WORKER), encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    def run(jobs: list[str], workers: int = 2, timeout: float = 20.0) -> dict[int, object]:
        pool = WorkerPool("fake_worker", {"suffix": "!"}, workers=workers, timeout_seconds=timeout, memory_limit_mb=150)
        waiting = iter(enumerate(jobs))
        return dict(pool.run(lambda: next(((number, {"do": job}) for number, job in waiting), None)))

    return run


def test_every_job_is_answered(run_jobs):
    """More jobs than workers, and more workers than jobs."""
    assert run_jobs(["a", "b", "c", "d"]) == {n: {"answer": f"{job}!"} for n, job in enumerate("abcd")}
    assert run_jobs([]) == {}


def test_a_crash_costs_one_job(run_jobs):
    """Also of a C library, which no `except` can catch."""
    answers = run_jobs(["a", "crash", "b", "c"], workers=1)
    assert isinstance(answers[1], Failure)
    assert "crashed (signal 11)" in str(answers[1])
    assert [answers[n] for n in (0, 2, 3)] == [{"answer": "a!"}, {"answer": "b!"}, {"answer": "c!"}]


def test_a_worker_that_swells_is_ended(run_jobs):
    """Before it takes the memory of the machine."""
    answers = run_jobs(["grow", "a"], workers=1)
    assert answers == {0: "it needs more than 150 MB of memory", 1: {"answer": "a!"}}


def test_a_worker_that_hangs_is_ended(run_jobs, monkeypatch):
    """The others go on."""
    monkeypatch.setattr("workflows.worker_pool.START_SECONDS", 0.5)
    answers = run_jobs(["hang", "a", "b"], timeout=1.5)
    assert answers == {0: "it took longer than 1.5 seconds", 1: {"answer": "a!"}, 2: {"answer": "b!"}}
