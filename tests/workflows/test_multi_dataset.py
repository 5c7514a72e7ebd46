"""Folders of records of several kinds: sorted, balanced, learnt and measured."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from evaluation.settings import ComparisonSettings
from shared_utils.errors import ConfigurationError, DataValidationError
from workflows import DatasetDirectoryManager, MultiDatasetConfig, MultiDatasetPipeline


def write(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def pairs(count, name, **metadata):
    extra = {"metadata": metadata} if metadata else {}
    return [{"prompt": f"{name} move {n}?", "completion": f"{name} up {n}.", **extra} for n in range(count)]


def lines(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.fixture
def logs(tmp_path):
    """Three ways of saying what made a record."""
    write(tmp_path / "logs" / "heuristics-bfs_20300101" / "games.jsonl", pairs(30, "bfs"))
    write(tmp_path / "logs" / "heuristics-bfs_20300102" / "day" / "games.jsonl", pairs(10, "late bfs"))
    write(tmp_path / "logs" / "mixed" / "a-star.jsonl", pairs(20, "astar"))
    write(tmp_path / "logs" / "mixed" / "rest.jsonl", pairs(7, "hamilton", algorithm="Hamiltonian") + pairs(3, "other"))
    return tmp_path / "logs"


# ---- folders ------------------------------------------------------------------------------------------


def test_records_are_sorted_by_what_they_state_else_by_the_nearest_name(logs):
    manager = DatasetDirectoryManager([logs / "heuristics-bfs_*", logs / "mixed"])
    assert [folder.name for folder in manager.directories] == [
        "heuristics-bfs_20300101", "heuristics-bfs_20300102", "mixed",
    ]  # fmt: skip
    assert manager.count_types(["BFS", "A*"]) == {"BFS": 40, "A*": 20, "Hamiltonian": 7, "mixed": 3}


def test_without_names_each_folder_is_a_type(logs):
    assert DatasetDirectoryManager([logs / "heuristics-bfs_*"]).count_types() == {
        "heuristics-bfs_20300101": 30,
        "heuristics-bfs_20300102": 10,
    }


def test_each_type_gets_a_file_and_what_is_held_out_is_in_none_of_them(logs, tmp_path):
    manager = DatasetDirectoryManager([logs / "heuristics-bfs_*", logs / "mixed"])
    data = manager.organize(tmp_path / "data", ["BFS", "A*", "HAMILTONIAN"], held_out_share=0.2)
    assert data.records == {"BFS": 40, "A*": 20, "HAMILTONIAN": 7}
    assert data.left_out == {"mixed": 3}
    assert {kind: path.name for kind, path in data.train.items()} == {
        "BFS": "bfs.jsonl", "A*": "astar.jsonl", "HAMILTONIAN": "hamiltonian.jsonl",
    }  # fmt: skip
    trained = [row["prompt"] for path in data.train.values() for row in lines(path)]
    held_out = [row["prompt"] for row in lines(data.evaluation)]
    assert not set(trained) & set(held_out)
    assert sorted(trained + held_out) == sorted(
        row["prompt"] for row in pairs(30, "bfs") + pairs(10, "late bfs") + pairs(20, "astar") + pairs(7, "hamilton")
    )
    assert 5 <= len(held_out) <= 25
    assert lines(data.train["A*"])[0]["id"].startswith(f"A*: {logs}/mixed/a-star.jsonl, line ")


def test_equal_records_of_two_types_are_on_the_same_side(tmp_path):
    for kind in ("one", "two"):
        write(tmp_path / kind / "a.jsonl", pairs(50, "same"))
    data = DatasetDirectoryManager([tmp_path / "one", tmp_path / "two"]).organize(tmp_path / "out", (), 0.3)
    sides = [{row["prompt"] for row in lines(path)} for path in data.train.values()]
    assert sides[0] == sides[1]
    assert not sides[0] & {row["prompt"] for row in lines(data.evaluation)}


def test_a_type_without_records_names_those_that_were_found(logs, tmp_path):
    with pytest.raises(DataValidationError, match="no records of type DFS") as caught:
        DatasetDirectoryManager([logs / "mixed"]).organize(tmp_path / "data", ["A*", "DFS"])
    assert caught.value.hint == "types found: A* (20), Hamiltonian (7), mixed (3)"
    assert not list((tmp_path / "data").iterdir())


def test_mistakes_are_told(logs, tmp_path):
    with pytest.raises(DataValidationError, match="nothing matches"):
        DatasetDirectoryManager([logs / "heuristics-dfs_*"])
    with pytest.raises(ConfigurationError, match="are the same"):
        DatasetDirectoryManager([logs]).organize(tmp_path / "x", ["A*", "ASTAR"])
    with pytest.raises(DataValidationError, match="no folder"):
        DatasetDirectoryManager([])
    write(logs / "mixed" / "broken.jsonl", [{"question": "?"}])
    with pytest.raises(DataValidationError, match=r"broken.jsonl, line 1: no known kind"):
        DatasetDirectoryManager([logs]).count_types()


# ---- pipeline -----------------------------------------------------------------------------------------


@pytest.fixture
def config(logs, tiny_model, tmp_path):
    return MultiDatasetConfig(
        heuristic_log_dirs=[logs / "heuristics-bfs_*", str(logs / "mixed")],
        dataset_types=["BFS", "ASTAR"],
        max_samples_per_algorithm=12,
        training_strategy="lora",
        base_model_name=str(tiny_model),
        output_dir=tmp_path / "out",
        max_length=64,
        settings={"training.max_steps": 2, "logging.use_tensorboard": False, "evaluation.generate_samples": False},
        evaluation=ComparisonSettings(max_new_tokens=2, bootstrap_resamples=100),
        device="cpu",
    )


def test_a_pipeline_balances_trains_and_measures_both_models(config, tmp_path):
    from shared_utils.model_names import locate_model

    results = MultiDatasetPipeline(config).run_pipeline()
    assert locate_model(results.model_path).kind == "adapter"
    assert results.records == {"BFS": 40, "ASTAR": 20}
    assert results.taken == {"BFS": 12, "ASTAR": 12}
    assert results.training["steps"] == 2
    assert set(results.base) == set(results.tuned) == {"exact_match", "perplexity"}
    held_out = lines(tmp_path / "out" / "data" / "evaluation.jsonl")
    assert {kind: figures["n"] for kind, figures in results.by_type.items()} == {
        kind: sum(row["id"].startswith(f"{kind}: ") for row in held_out) for kind in ("BFS", "ASTAR")
    }
    assert results.by_type["BFS"]["tuned"]["perplexity"] > 1
    saved = json.loads((tmp_path / "out" / "results.json").read_text(encoding="utf-8"))
    assert saved["by_type"] == results.by_type


def test_a_finished_pipeline_is_not_done_twice_and_another_one_needs_another_folder(config, tmp_path):
    first = MultiDatasetPipeline(config).run_pipeline()
    weights = (first.model_path / "adapter_model.safetensors").stat().st_mtime_ns
    assert MultiDatasetPipeline(config).run_pipeline() == first
    assert (first.model_path / "adapter_model.safetensors").stat().st_mtime_ns == weights
    with pytest.raises(DataValidationError, match="max_samples_per_algorithm differs"):
        MultiDatasetPipeline(replace(config, max_samples_per_algorithm=5)).run_pipeline()


def test_plain_texts_without_anything_held_out_are_trained_on_and_not_asked(config, logs, tmp_path):
    write(logs / "texts" / "a.jsonl", [{"text": f"The snake goes left {n}."} for n in range(6)])
    changed = replace(config, heuristic_log_dirs=[logs / "texts"], dataset_types=[], held_out_share=0.0)
    results = MultiDatasetPipeline(changed).run_pipeline()
    assert (results.records, results.base, results.by_type) == ({"texts": 6}, {}, {})
    assert (results.model_path / "adapter_model.safetensors").is_file()


def test_the_base_is_measured_with_the_tokens_that_training_adds(config):
    """A training that changes nothing measurable leaves both with one perplexity, if they read the same tokens."""
    settings = {**config.settings, "new_tokens": ["bfs"]}  # stands in many answers
    results = MultiDatasetPipeline(replace(config, settings=settings, learning_rate=1e-12)).run_pipeline()
    assert results.tuned["perplexity"]["value"] == pytest.approx(results.base["perplexity"]["value"], rel=1e-4)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"training_strategy": "lorra"}, "no strategy 'lorra'"),
        ({"max_samples_per_algorithm": 0}, "max_samples_per_algorithm 0"),
        ({"held_out_share": 0.9}, "held_out_share 0.9"),
        ({"settings": {"training.max_stepz": 3}}, "max_stepz"),
        ({"dataset_types": "BFS"}, "are lists"),
        ({"learning_rate": -1}, "learning_rate"),
    ],
)
def test_a_wrong_configuration_is_told_when_it_is_made(config, change, told):
    with pytest.raises(ConfigurationError, match=told):
        replace(config, **change)
