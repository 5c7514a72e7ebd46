"""The files of an extraction, read by the machines of a Ray cluster.

Each actor holds a worker process of its own with limits of time and memory (see `worker_pool`), so a file that
hangs or crashes takes neither the actor nor the others with it. What is stored comes back through Ray's object
store and is put into the cache here: the machines need no common output folder. They do need the toolkit, and
the input files under the same paths. Whoever can reach a Ray cluster can run programs on it: keep it private.
"""

from __future__ import annotations

import importlib.util
import os
import signal
import tempfile
import threading
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from shared_utils.errors import ConfigurationError, LLMToolkitError
from shared_utils.file_utils import TEMPORARY_PREFIX
from workflows.extraction_entries import read_entry_summary
from workflows.extraction_file import WorkPlan, fingerprint_of_file
from workflows.extraction_pages import part_entry
from workflows.worker_pool import PROJECT_ROOT, Failure, TakeJob, WorkerPool

MOST_TRIES = 3  # of a job whose actor died; the third time, the job itself is suspect


def require_ray() -> None:
    """See that Ray is installed.

    Raises:
        ConfigurationError: it is not; names the command that installs it.
    """
    if importlib.util.find_spec("ray") is None:
        raise ConfigurationError(
            "the engine 'ray' needs the package 'ray'", hint='pip install "llm-complete-toolkit[ray]"'
        )


class Reader:
    """Runs on a machine of the cluster, as an actor: answers jobs, and gives back what it stored."""

    def __init__(self, plan: dict[str, Any]) -> None:
        self._store = tempfile.TemporaryDirectory(prefix=TEMPORARY_PREFIX)
        self._pool = WorkerPool(
            "workflows.extraction_worker",
            {**plan, "store": self._store.name},
            workers=1,
            timeout_seconds=plan["timeout_seconds"],
            memory_limit_mb=plan["memory_limit_mb"],
        )

    def answer(self, job: dict[str, Any], known: dict[str, bytes]) -> tuple[Any, dict[str, bytes], float]:
        """The answer to a job, the entries that were made for it, and the peak memory of the worker.

        Args:
            job: of `ExtractionSchedule`.
            known: entries that exist already, by name.
        """
        store = Path(self._store.name)
        for name, data in known.items():
            (store / name).write_bytes(data)
        answer = self._pool.answer(job)
        made: dict[str, bytes] = {}
        for path in list(store.iterdir()):
            if not path.name.startswith(TEMPORARY_PREFIX):
                data = path.read_bytes()
                if known.get(path.name) != data:
                    made[path.name] = data
            path.unlink()
        # A failure is a kind of text; as a plain one it would be taken for an answer.
        told = {"failure": str(answer)} if isinstance(answer, Failure) else answer
        return told, made, self._pool.peak_memory_mb


class RayPool:
    """Runs jobs on Ray, with the face of a `WorkerPool`.

    Args:
        plan: what is done with each file.
        workers: how many files are read at the same time; None takes one a core of the cluster.
        address: of a running cluster; None takes `RAY_ADDRESS`, or starts Ray on this machine alone.
    """

    def __init__(self, plan: WorkPlan, *, workers: int | None, address: str | None) -> None:
        require_ray()
        self._plan, self._workers = plan, workers
        self._address = address or os.environ.get("RAY_ADDRESS")
        self.peak_memory_mb = 0.0

    def run(self, take: TakeJob) -> Iterator[tuple[int, dict[str, Any] | Failure]]:
        """The number of each job with its answer or failure, as they are finished; see `WorkerPool.run`.

        Raises:
            LLMToolkitError: there is no cluster at the address.
        """
        import ray

        is_ours = not ray.is_initialized()
        if is_ours:
            _start(self._address, self._workers)
        try:
            yield from self._run(take, self._workers or max(1, int(ray.cluster_resources().get("CPU", 1))))
        finally:
            if is_ours:
                ray.shutdown()

    def _run(self, take: TakeJob, size: int) -> Iterator[tuple[int, dict[str, Any] | Failure]]:
        import ray

        actor_class = ray.remote(num_cpus=1, max_restarts=0)(Reader)
        plan = asdict(self._plan)
        idle: list[Any] = []
        again: deque[tuple[int, Mapping[str, Any], int]] = deque()
        running: dict[Any, tuple[Any, int, Mapping[str, Any], int]] = {}
        try:
            while True:
                while idle or len(running) < size:
                    number, job, tries = again.popleft() if again else (*(take() or (0, None)), 1)
                    if job is None:
                        break
                    actor = idle.pop() if idle else actor_class.remote(plan)
                    running[actor.answer.remote(job, _known_entries(job, self._plan))] = (actor, number, job, tries)
                if not running:
                    return
                (ready, *_), _ = ray.wait(list(running), num_returns=1)
                actor, number, job, tries = running.pop(ready)
                try:
                    told, made, peak_memory_mb = ray.get(ready)
                except ray.exceptions.RayError as error:  # the actor or its machine is gone
                    ray.kill(actor)
                    if tries < MOST_TRIES:
                        again.append((number, job, tries + 1))
                    else:
                        yield number, Failure(f"{tries} workers died while they read it ({type(error).__name__})")
                    continue
                idle.append(actor)
                self._store(made)
                self.peak_memory_mb = max(self.peak_memory_mb, peak_memory_mb)
                yield number, Failure(told["failure"]) if "failure" in told else told
        finally:
            for actor in [*idle, *(each[0] for each in running.values())]:
                ray.kill(actor)

    def _store(self, made: Mapping[str, bytes]) -> None:
        for name, data in made.items():
            entry = Path(self._plan.store) / name
            temporary = entry.with_name(f"{TEMPORARY_PREFIX}{os.getpid()}-{name}")
            temporary.write_bytes(data)
            temporary.replace(entry)


def _start(address: str | None, workers: int | None) -> None:
    """Connect to a cluster, or start Ray on this machine: no usage reports, no dashboard, no other address."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    if not address:
        # Of this machine alone, too: without it Ray listens on all its addresses, whatever address it is given.
        os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
    import ray

    local = {} if address else {"num_cpus": workers, "include_dashboard": False, "_node_ip_address": "127.0.0.1"}
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        ray.init(
            address,
            log_to_driver=False,
            logging_level="error",
            runtime_env={"env_vars": {"PYTHONPATH": str(PROJECT_ROOT)}},
            **local,
        )
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise LLMToolkitError(
            f"Ray could not be reached at {address or 'this machine'}: {' '.join(str(error).split())[:200]}",
            hint="check document_processing.extraction.ray_address and RAY_ADDRESS, or use --engine local",
        ) from error
    finally:
        if threading.current_thread() is threading.main_thread():  # Ray sets its own; ours save what was done
            for number, handler in handlers.items():
                signal.signal(number, handler)


def _known_entries(job: Mapping[str, Any], plan: WorkPlan) -> dict[str, bytes]:
    """What the cache holds for a job, by name."""
    if job["do"] == "join":
        entries = [Path(plan.store) / piece["part"] for piece in job["pieces"] if piece["part"]]
    elif job["do"] == "pages":
        entries = [part_entry(job["sha256"], job["first"], job["last"], plan)]
    else:
        try:
            digest, _ = fingerprint_of_file(Path(job["path"]), plan.max_bytes)
        except LLMToolkitError:  # the worker tells
            return {}
        parsed = plan.parsed_entry(job["source"], digest)
        summary = read_entry_summary(parsed)
        entries = [parsed, plan.chunked_entry(summary["sha256"])] if summary else []
    return {entry.name: entry.read_bytes() for entry in entries if entry.exists()}
