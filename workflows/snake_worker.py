"""The program that plays games for the pool: answers jobs until its stdin ends.

    python -c "from workflows.snake_worker import main; main()"

reads a plan and then jobs from stdin, one JSON object a line, and answers each job with one line.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from shared_utils.errors import LLMToolkitError
from shared_utils.file_utils import atomic_writer
from snake_game.game_records import Share, new_game, record_lines
from snake_game.matches import play


def main() -> None:
    """Answer jobs until stdin ends."""
    plan = json.loads(sys.stdin.readline())
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        try:
            answer = answer_to(json.loads(line), plan)
        except LLMToolkitError as error:
            answer = {"error": [error.message, error.hint]}
        print(json.dumps(answer), flush=True)


def answer_to(job: Mapping[str, Any], plan: Mapping[str, Any]) -> dict[str, Any]:
    """Play the games of a job.

    Args:
        job: `algorithm`, `first` and `last` (the numbers of its games, the last one not included). With `path`, the
            records of the games are written there, those that `share` takes.
        plan: `board` and `seed`.

    Returns:
        `games`: the result of each game; with `path` instead `records`: how many were written.
    """
    algorithm, board, seed = job["algorithm"], plan["board"], plan["seed"]
    numbers = range(job["first"], job["last"])
    if "path" not in job:
        return {"games": [asdict(play(*new_game(algorithm, board, seed, number))) for number in numbers]}
    share, index, records = Share(**job["share"]), 0, 0
    with atomic_writer(Path(job["path"])) as file:
        for number, steps in zip(numbers, job["steps"], strict=True):
            takes = Share(share.first + index, share.taken, share.total).takes
            for line in record_lines(algorithm, board, seed, number, takes):
                file.write(line)
                records += 1
            index += steps
    return {"records": records}
