"""Games of heuristics become balanced records."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from shared_utils.console import Console
from shared_utils.data_loader import load_records
from shared_utils.errors import ConfigurationError, DataValidationError
from workflows import DatasetDirectoryManager
from workflows.snake_generation import GenerationPlan, generate_records

TEACHERS = ("bfs", "astar", "dfs", "hamiltonian")
QUIET = Console(quiet=True)


def plan(**changes):
    return GenerationPlan(
        **{"algorithms": TEACHERS, "board": 6, "games": 23, "seed": 1, "max_records": None, **changes}
    )


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_number_of_workers_changes_no_byte(tmp_path):
    generate_records(plan(), tmp_path / "one", 1, QUIET)
    generate_records(plan(), tmp_path / "two", 3, QUIET)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")
    assert sorted(contents(tmp_path / "one")) == sorted(
        [*(f"heuristics-{name}/records.jsonl" for name in TEACHERS), "statistics.json"]
    )


def test_each_heuristic_has_as_many_records_as_the_scarcest_and_from_all_its_games(tmp_path):
    statistics = generate_records(plan(), tmp_path, 1, QUIET)
    scarcest = min(row["steps"] for row in statistics["heuristics"].values())
    for name, row in statistics["heuristics"].items():
        records = load_records([tmp_path / f"heuristics-{name}"])
        assert len(records.records) == row["records"] == scarcest
        assert not records.rejected
        lines = (tmp_path / f"heuristics-{name}" / "records.jsonl").read_text(encoding="utf-8").splitlines()
        games = Counter(json.loads(line)["metadata"]["game"] for line in lines)
        assert set(games) == set(range(23))
    assert statistics["heuristics"]["hamiltonian"]["wins"] == 23
    assert json.loads((tmp_path / "statistics.json").read_text(encoding="utf-8")) == statistics


def test_a_limit_of_records_holds_for_each_heuristic(tmp_path):
    statistics = generate_records(plan(max_records=100), tmp_path, 1, QUIET)
    assert {row["records"] for row in statistics["heuristics"].values()} == {100}


def test_the_folders_are_what_mixtures_of_data_sets_take(tmp_path):
    generate_records(plan(games=3), tmp_path, 1, QUIET)
    counts = DatasetDirectoryManager([tmp_path / "heuristics-*"]).count_types(["BFS", "A*", "HAMILTONIAN"])
    assert set(counts) == {"BFS", "A*", "dfs", "HAMILTONIAN"}


class _StopsAfter(Console):
    """A person who presses Ctrl-C when so many games are done."""

    def __init__(self, games: int) -> None:
        super().__init__(quiet=True)
        self.games = games

    def progress(self, total, label):
        import contextlib

        left = [self.games]

        class Counter:
            def advance(self, steps: int) -> None:
                left[0] -= steps
                if left[0] <= 0:
                    raise KeyboardInterrupt

        return contextlib.nullcontext(Counter())


@pytest.mark.parametrize("games", [15, 80, 100, 150])
def test_a_run_that_was_stopped_goes_on_to_the_same_bytes(tmp_path, games):
    generate_records(plan(), tmp_path / "whole", 1, QUIET)
    with pytest.raises(KeyboardInterrupt):
        generate_records(plan(), tmp_path / "cut", 1, _StopsAfter(games))
    done = {
        path: path.stat().st_mtime_ns for path in (tmp_path / "cut" / ".parts").iterdir() if path.name != "plan.json"
    }
    assert done
    assert not (tmp_path / "cut" / "statistics.json").exists()
    generate_records(plan(), tmp_path / "cut", 1, QUIET)
    assert contents(tmp_path / "whole") == contents(tmp_path / "cut")


def test_what_is_there_already_is_not_done_again(tmp_path):
    first = generate_records(plan(games=3), tmp_path, 1, QUIET)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.jsonl")}
    assert generate_records(plan(games=3), tmp_path, 1, QUIET) == first
    assert before == {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.jsonl")}


def test_a_lost_file_of_a_finished_run_is_made_again(tmp_path):
    generate_records(plan(games=3), tmp_path, 1, QUIET)
    whole = contents(tmp_path)
    (tmp_path / "heuristics-dfs" / "records.jsonl").unlink()
    generate_records(plan(games=3), tmp_path, 1, QUIET)
    assert contents(tmp_path) == whole


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"games": 4}, "games was 3, is 4"),
        ({"seed": 2}, "seed was 1, is 2"),
        ({"algorithms": ("bfs",)}, "algorithms was"),
        ({"board": 7}, "board was 6, is 7"),
    ],
)
def test_a_folder_of_other_games_is_refused(tmp_path, changes, message):
    generate_records(plan(games=3), tmp_path, 1, QUIET)
    with pytest.raises(DataValidationError, match=message):
        generate_records(plan(**{"games": 3, **changes}), tmp_path, 1, QUIET)


@pytest.mark.parametrize("name", ["thesis.docx", "statistics.json", ".parts"])
def test_a_folder_with_something_else_is_refused_and_left_alone(tmp_path, name):
    (tmp_path / name).write_text("mine", encoding="utf-8")
    with pytest.raises(DataValidationError, match=f"holds something else, for example {name}"):
        generate_records(plan(games=3), tmp_path, 1, QUIET)
    assert contents(tmp_path) == {name: b"mine"}


def test_an_algorithm_is_named_once_and_known():
    with pytest.raises(ConfigurationError, match="named twice: bfs bfs"):
        plan(algorithms=("bfs", "bfs"))
    with pytest.raises(ConfigurationError, match="unknown algorithm: dijkstra"):
        plan(algorithms=("dijkstra",))
