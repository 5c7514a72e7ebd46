"""Games of heuristics -> balanced training records, a folder for each heuristic, and how the games went.

OUTPUT/heuristics-bfs/records.jsonl    instruction records; see docs/snake.md
OUTPUT/statistics.json                 the settings, and each heuristic's wins, score, steps and records
OUTPUT/.parts/                         while it runs: what is done already

All games are played first, to know how many steps each heuristic makes; then those steps are written that make the
numbers equal, evenly spread over the games. Which games are played together does not depend on the number of workers.
"""

from __future__ import annotations

import json
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from shared_utils.console import Console
from shared_utils.errors import ConfigurationError, DataValidationError, LLMToolkitError
from shared_utils.file_utils import atomic_writer, ensure_output_dir, remove_leftovers, write_json_atomic
from shared_utils.run_lock import LOCK_NAME, run_lock
from snake_game.game_records import Share
from snake_game.heuristics import make_heuristic
from workflows.snake_worker import answer_to
from workflows.worker_pool import Failure, WorkerPool

STATISTICS = "statistics.json"
PARTS = ".parts"
PLAN = "plan.json"
GAMES_A_JOB = 10
JOB_SECONDS = 3600.0  # ten games on the largest board take about a minute
JOB_MEMORY_MB = 1024


@dataclass(frozen=True)
class GenerationPlan:
    """What is played and written; two runs of one plan write the same bytes."""

    algorithms: tuple[str, ...]
    board: int
    games: int
    seed: int
    max_records: int | None

    def __post_init__(self) -> None:
        if len(set(self.algorithms)) < len(self.algorithms):
            raise ConfigurationError(f"an algorithm is named twice: {' '.join(self.algorithms)}", hint="name each once")
        for algorithm in self.algorithms:
            make_heuristic(algorithm)

    def as_dict(self) -> dict[str, Any]:
        """The plan as JSON holds it."""
        return {**asdict(self), "algorithms": list(self.algorithms)}


def generate_records(plan: GenerationPlan, output: Path, workers: int | None, console: Console) -> dict[str, Any]:
    """Play, write, and give back the statistics; what an interrupted run has done is not done again.

    Args:
        plan: what to do.
        output: a new or empty folder, or one of the same plan.
        workers: processes; None takes one a core.
        console: told how far it is.

    Raises:
        ConfigurationError: the folder cannot be written.
        DataValidationError: the folder holds something else.
    """
    ensure_output_dir(output)
    with run_lock(output):
        remove_leftovers(output)
        finished = _check_folder(plan, output)
        if finished:
            console.info(f"{output} holds these games already; nothing is done again")
            return finished
        write_json_atomic(output / PARTS / PLAN, plan.as_dict())
        jobs = _Jobs(plan, output / PARTS, workers or os.cpu_count() or 1)
        with console.progress(2 * plan.games * len(plan.algorithms), "snake generate") as progress:
            results = jobs.play(progress.advance)
            taken = _taken(plan, results)
            jobs.write(results, taken, progress.advance)
        for algorithm in plan.algorithms:
            _join(jobs.record_parts(algorithm), output / f"heuristics-{algorithm}" / "records.jsonl")
        statistics = {"plan": plan.as_dict(), "heuristics": _statistics(plan, results, taken)}
        write_json_atomic(output / STATISTICS, statistics)
        shutil.rmtree(output / PARTS)
        return statistics


class _Jobs:
    """The games in portions, done by one process or several; the result of each portion is kept in a file."""

    def __init__(self, plan: GenerationPlan, folder: Path, workers: int) -> None:
        self._plan, self._folder, self._workers = plan, folder, workers

    def play(self, advance: Callable[[int], None]) -> dict[str, list[dict[str, Any]]]:
        """Algorithm -> the result of each of its games."""
        portions = [(algorithm, first) for algorithm in self._plan.algorithms for first in self._firsts()]
        todo: list[dict[str, Any]] = []
        for algorithm, first in portions:
            if self._path(algorithm, first, "json").exists():
                advance(self._last(first) - first)
            else:
                todo.append({"algorithm": algorithm, "first": first, "last": self._last(first)})
        for job, answer in self._answers(todo):
            write_json_atomic(self._path(job["algorithm"], job["first"], "json"), answer["games"])
            advance(job["last"] - job["first"])
        results: dict[str, list[dict[str, Any]]] = {algorithm: [] for algorithm in self._plan.algorithms}
        for algorithm, first in portions:
            results[algorithm] += json.loads(self._path(algorithm, first, "json").read_text(encoding="utf-8"))
        return results

    def write(
        self, results: dict[str, list[dict[str, Any]]], taken: dict[str, int], advance: Callable[[int], None]
    ) -> None:
        """Write the records of all portions that are not written yet."""
        todo: list[dict[str, Any]] = []
        for algorithm, games in results.items():
            steps = [game["steps"] for game in games]
            for first in self._firsts():
                last, path = self._last(first), self._path(algorithm, first, "jsonl")
                if path.exists():
                    advance(last - first)
                    continue
                share = Share(sum(steps[:first]), taken[algorithm], sum(steps))
                job = {"algorithm": algorithm, "first": first, "last": last, "path": str(path.resolve())}
                todo.append({**job, "share": asdict(share), "steps": steps[first:last]})
        for done, _ in self._answers(todo):
            advance(done["last"] - done["first"])

    def record_parts(self, algorithm: str) -> list[Path]:
        """The written portions of an algorithm, in the order of the games."""
        return [self._path(algorithm, first, "jsonl") for first in self._firsts()]

    def _answers(self, jobs: Sequence[dict[str, Any]]) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
        plan = {"board": self._plan.board, "seed": self._plan.seed}
        if self._workers == 1 or len(jobs) < 2:
            yield from ((job, answer_to(job, plan)) for job in jobs)
            return
        pool = WorkerPool(
            "workflows.snake_worker",
            plan,
            workers=min(self._workers, len(jobs)),
            timeout_seconds=JOB_SECONDS,
            memory_limit_mb=JOB_MEMORY_MB,
        )
        numbered = iter(enumerate(jobs))
        for number, answer in pool.run(lambda: next(numbered, None)):
            if isinstance(answer, Failure):
                raise LLMToolkitError(f"a process that plays was lost: {answer}", hint="run the same command again")
            if "error" in answer:
                message, hint = answer["error"]
                raise LLMToolkitError(message, hint=hint)
            yield jobs[number], answer

    def _firsts(self) -> range:
        return range(0, self._plan.games, GAMES_A_JOB)

    def _last(self, first: int) -> int:
        return min(first + GAMES_A_JOB, self._plan.games)

    def _path(self, algorithm: str, first: int, suffix: str) -> Path:
        return self._folder / f"{algorithm}-{first:07}.{suffix}"


def _check_folder(plan: GenerationPlan, output: Path) -> dict[str, Any] | None:
    """The statistics of a finished run of this plan; None where there is something to do.

    Raises:
        DataValidationError: the folder holds something else.
    """
    found = {path.name for path in output.iterdir()} - {LOCK_NAME}
    earlier: dict[str, Any] | None = None
    try:
        if STATISTICS in found:
            statistics = json.loads((output / STATISTICS).read_text(encoding="utf-8"))
            earlier = statistics["plan"]
        elif PARTS in found:
            earlier = json.loads((output / PARTS / PLAN).read_text(encoding="utf-8"))
    except (OSError, ValueError, KeyError, TypeError):
        pass  # told below as what it is: other content
    if not isinstance(earlier, dict):
        if found:
            raise DataValidationError(
                f"{output} holds something else, for example {min(found)}", hint="choose a new or empty --output folder"
            )
        return None
    now = plan.as_dict()
    changed = [key for key in now if earlier.get(key) != now[key]]
    if changed:
        was, now_is = earlier.get(changed[0]), now[changed[0]]
        raise DataValidationError(
            f"{output} holds games with other settings: {changed[0]} was {was}, is {now_is}",
            hint="choose another --output folder, or delete that one",
        )
    is_whole = STATISTICS in found and all(
        (output / f"heuristics-{algorithm}" / "records.jsonl").is_file() for algorithm in plan.algorithms
    )
    return statistics if is_whole else None


def _taken(plan: GenerationPlan, results: dict[str, list[dict[str, Any]]]) -> dict[str, int]:
    """How many records of each heuristic are written: as many as the scarcest has, and no more than is asked for."""
    scarcest = min(sum(game["steps"] for game in games) for games in results.values())
    most = scarcest if plan.max_records is None else min(scarcest, plan.max_records)
    return dict.fromkeys(plan.algorithms, most)


def _join(parts: Iterable[Path], target: Path) -> None:
    with atomic_writer(target) as out:
        for part in parts:
            with part.open(encoding="utf-8", newline="\n") as file:
                shutil.copyfileobj(file, out)


def _statistics(
    plan: GenerationPlan, results: dict[str, list[dict[str, Any]]], taken: dict[str, int]
) -> dict[str, dict[str, Any]]:
    return {
        algorithm: {
            "games": len(games),
            "wins": sum(game["end"] == "won" for game in games),
            "mean_score": round(sum(game["score"] for game in games) / len(games), 3),
            "mean_steps": round(sum(game["steps"] for game in games) / len(games), 3),
            "steps": sum(game["steps"] for game in games),
            "records": taken[algorithm],
            "ends": dict(sorted(Counter(game["end"] for game in games).items())),
        }
        for algorithm, games in results.items()
    }
