"""How good a saved agent is, with an interval."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from shared_utils.bug_report import package_versions
from shared_utils.errors import DataValidationError
from shared_utils.file_utils import write_json_atomic
from training_methods.reinforcement_learning.settings import EnvironmentSettings

PACKAGES = ("gymnasium", "torch", "numpy")
CONFIDENCE = 0.95
RESAMPLES = 2000


def evaluate_agent(
    agent_path: Path, environment: EnvironmentSettings | None, episodes: int, seed: int, output_dir: Path | None
) -> dict[str, object]:
    """Play episodes with a saved agent's best known actions.

    Args:
        agent_path: a run folder, or the file of an agent.
        environment: where; None takes that in which it was trained.
        episodes: how many.
        seed: of the first episode; those of a run's own evaluations follow from the run's seed.
        output_dir: where `evaluation.json` goes; None writes nothing.

    Raises:
        ConfigurationError: there is no such environment.
        DataValidationError: no agent, a damaged one, or one of another environment.
    """
    from training_methods.reinforcement_learning.evaluation import SEEDS_OF_FINAL, Evaluator
    from training_methods.reinforcement_learning.prepared_environment import WATCH
    from training_methods.reinforcement_learning.run_parts import AGENT_FILE, check_fits, load_agent, source_of
    from training_methods.reinforcement_learning.threads import few_threads

    path = agent_path / AGENT_FILE if agent_path.is_dir() else agent_path
    agent = load_agent(path)
    if environment is None:
        if agent.environment is None:
            raise DataValidationError(f"{path} does not say where it was trained", hint="name it with --env")
        environment = EnvironmentSettings(**agent.environment)
    timeout = agent.settings.training.step_timeout
    started = time.monotonic()
    with few_threads(), WATCH.on(timeout):
        evaluator = Evaluator(source_of(environment, agent.settings), episodes)
        try:
            check_fits(agent, evaluator.environments, path)
            measured = evaluator.evaluate(agent, seed + SEEDS_OF_FINAL)
        finally:
            evaluator.close()
    record = evaluation_record(str(agent_path), environment.id, measured)
    steps = int(sum(measured.lengths))
    record["speed"] = {"steps_per_second": round(steps / max(time.monotonic() - started, 1e-9), 1)}
    if output_dir is not None:
        write_json_atomic(output_dir / "evaluation.json", record)
    return record


def return_interval(returns: Sequence[float]) -> tuple[float, float]:
    """Bootstrap interval of the mean return (percentiles of resampled means)."""
    values = np.asarray(returns, np.float64)
    random = np.random.default_rng(0)
    means = values[random.integers(len(values), size=(RESAMPLES, len(values)))].mean(1)
    low, high = np.quantile(means, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(low), float(high)


def evaluation_record(model: str, environment: str, measured: Any) -> dict[str, object]:
    """An evaluation as `evaluation.json` holds it."""
    low, high = return_interval(measured.returns)
    count = len(measured.returns)
    shared = {"confidence": CONFIDENCE, "n": count, "signature": "bootstrap of the mean, 2000 resamples"}
    length_low, length_high = return_interval(measured.lengths)
    return {
        "model": model,
        "data": environment,
        "n": count,
        "metrics": {
            "mean_return": {"value": measured.mean, "low": low, "high": high, "unit": "return", **shared},
            "mean_length": {
                "value": float(np.mean(measured.lengths)),
                "low": length_low,
                "high": length_high,
                "unit": "steps",
                **shared,
            },
        },
        "std_return": measured.deviation,
        "returns": list(measured.returns),
        "versions": package_versions(PACKAGES),
    }
