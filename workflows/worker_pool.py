"""Worker processes with limits of time and memory; one that hangs, crashes or swells is replaced.

Workers are started as fresh programs and spoken to in lines of JSON: nothing is forked, nothing is pickled,
and the program that uses the pool needs no `if __name__ == "__main__"`.
"""

from __future__ import annotations

import contextlib
import json
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

PROJECT_ROOT = Path(__file__).resolve().parents[1]
START_SECONDS = 20.0  # allowed to a worker for its start, on a busy machine
LOOK_SECONDS = 0.1  # between two looks at the memory


TakeJob = Callable[[], tuple[int, Mapping[str, Any]] | None]


class Failure(str):
    """Why a job gave no answer."""


class _Worker:
    def __init__(self, number: int, module: str, plan: str, inbox: queue.SimpleQueue[tuple[int, str | None]]) -> None:
        program = f"import sys; sys.path.insert(0, {str(PROJECT_ROOT)!r}); from {module} import main; main()"
        self.number = number
        self.job: int | None = None
        self.seconds = 0.0
        self.deadline = 0.0
        self.is_fresh = True
        # A session of its own: Ctrl-C reaches the parent alone, which then ends its workers in order.
        self.process = subprocess.Popen(
            [sys.executable, "-c", program],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            encoding="ascii",
            start_new_session=True,
        )
        self.send(plan)
        self._thread = threading.Thread(target=self._listen, args=(inbox,), daemon=True)
        self._thread.start()

    def _listen(self, inbox: queue.SimpleQueue[tuple[int, str | None]]) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            inbox.put((self.number, line))
        inbox.put((self.number, None))

    def send(self, line: str) -> None:
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # it has ended; the listener tells
            self.process.stdin.write(line + "\n")
            self.process.stdin.flush()

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        self._thread.join()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe:
                with contextlib.suppress(OSError):
                    pipe.close()

    def memory_mb(self) -> float:
        import psutil

        try:
            return float(psutil.Process(self.process.pid).memory_info().rss / 2**20)
        except psutil.Error:
            return 0.0


class WorkerPool:
    """Runs jobs in worker processes.

    Args:
        module: its `main()` reads the plan and then jobs from stdin and answers each with one line of JSON.
            A first line `{"ready": true}` says that it has started.
        plan: what each worker is told at its start.
        workers: how many run at the same time.
        timeout_seconds: a job that takes longer is ended; a job may hold its own limit as `seconds`.
        memory_limit_mb: a worker that grows larger is ended.
    """

    def __init__(
        self,
        module: str,
        plan: Mapping[str, Any],
        *,
        workers: int,
        timeout_seconds: float,
        memory_limit_mb: int,
    ) -> None:
        self._module, self._plan = module, json.dumps(plan)
        self._size, self._timeout, self._memory_limit = workers, timeout_seconds, memory_limit_mb
        self._inbox: queue.SimpleQueue[tuple[int, str | None]] = queue.SimpleQueue()
        self._workers: dict[int, _Worker] = {}
        self._started = 0
        self._next_look = 0.0
        self.peak_memory_mb = 0.0  # of the largest worker; answers may tell theirs, else it is looked at now and then

    def run(self, take: TakeJob) -> Iterator[tuple[int, dict[str, Any] | Failure]]:
        """The number of each job with its answer or failure, as they are finished.

        However the iteration ends, no worker is left behind.

        Args:
            take: gives the next job with its number, or None when there is none now. It is asked again after
                each answer, so an answer may bring new jobs.
        """
        try:
            while self._hand_out(take):
                yield from self._collect()
        finally:
            self.close()

    def answer(self, job: Mapping[str, Any]) -> dict[str, Any] | Failure:
        """Do one job; its worker stays for the next one, until `close`."""
        jobs = iter([(0, job)])
        while True:
            self._hand_out(lambda: next(jobs, None))
            for _, answer in self._collect():
                return answer

    def close(self) -> None:
        """End all workers."""
        for worker in self._workers.values():
            worker.end()
        self._workers.clear()

    def _hand_out(self, take: TakeJob) -> bool:
        """Give jobs to all workers that have none; whether any worker has one now."""
        while True:
            worker = next((each for each in self._workers.values() if each.job is None), None)
            if worker is None and len(self._workers) >= self._size:
                return True
            taken = take()
            if taken is None:
                return any(each.job is not None for each in self._workers.values())
            worker = worker or self._start_worker()
            worker.job, job = taken
            worker.seconds = float(job.get("seconds", self._timeout))
            worker.deadline = time.monotonic() + worker.seconds + (START_SECONDS if worker.is_fresh else 0)
            worker.is_fresh = False
            worker.send(json.dumps(job))

    def _start_worker(self) -> _Worker:
        self._started += 1
        worker = _Worker(self._started, self._module, self._plan, self._inbox)
        self._workers[worker.number] = worker
        return worker

    def _collect(self) -> Iterator[tuple[int, dict[str, Any] | Failure]]:
        """Wait a moment for answers; end what broke a limit."""
        try:
            number, line = self._inbox.get(timeout=LOOK_SECONDS)
        except queue.Empty:
            yield from self._enforce_limits()
            return
        worker = self._workers.get(number)
        if worker is None:
            return  # ended meanwhile
        if line is None:
            yield from self._drop(worker, self._why_ended(worker))
            return
        answer = json.loads(line)
        self.peak_memory_mb = max(self.peak_memory_mb, answer.pop("peak_memory_mb", 0.0))
        if answer.get("ready"):  # the time for its start is over
            worker.deadline = min(worker.deadline, time.monotonic() + worker.seconds)
        elif answer.get("memory"):
            yield from self._drop(worker, self._too_large())
        elif worker.job is not None:
            job, worker.job = worker.job, None
            yield job, answer
        yield from self._enforce_limits()

    def _enforce_limits(self) -> Iterator[tuple[int, Failure]]:
        now = time.monotonic()
        looks_at_memory = now >= self._next_look
        if looks_at_memory:
            self._next_look = now + LOOK_SECONDS
        for worker in [each for each in self._workers.values() if each.job is not None]:
            if now > worker.deadline:
                yield from self._drop(worker, Failure(f"it took longer than {worker.seconds:g} seconds"))
            elif looks_at_memory:
                megabytes = worker.memory_mb()
                self.peak_memory_mb = max(self.peak_memory_mb, megabytes)
                if megabytes > self._memory_limit:
                    yield from self._drop(worker, self._too_large())

    def _drop(self, worker: _Worker, reason: Failure) -> Iterator[tuple[int, Failure]]:
        del self._workers[worker.number]
        worker.end()
        if worker.job is not None:
            yield worker.job, reason

    def _too_large(self) -> Failure:
        return Failure(f"it needs more than {self._memory_limit:,} MB of memory")

    @staticmethod
    def _why_ended(worker: _Worker) -> Failure:
        code = worker.process.wait()
        return Failure(f"the program that read it crashed ({f'signal {-code}' if code < 0 else f'exit {code}'})")
