"""What the training of an agent leaves behind: its summary, weights, card, curves and `run.json`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from shared_utils.bug_report import package_versions
from shared_utils.console import Console
from shared_utils.file_utils import atomic_binary_writer, write_json_atomic, write_text_atomic
from workflows.agent_evaluation import PACKAGES, evaluation_record, return_interval
from workflows.fine_tuning_request import flat_settings
from workflows.rl_request import AgentRequest, resume_command
from workflows.run_folder import RUN_FILE, timestamp


def run_record(request: AgentRequest, loop: Any, started: float) -> dict[str, object]:
    """What `run.json` says while the run goes on."""
    return {
        "status": "running",
        "command": resume_command(request).removesuffix(" --resume"),
        "algorithm": request.algorithm,
        "environment": request.environment.model_dump(mode="json"),
        "vectorization": loop.environments.kind,
        "seed": request.seed,
        "identity": request.identity,
        "threads": request.settings.training.threads,
        "versions": package_versions(PACKAGES),
        "started": timestamp(started),
        "result": None,
    }


def finish_run(request: AgentRequest, run: Any, record: dict[str, object], console: Console) -> dict[str, object]:
    """Measure the agent that is kept, write all files; `run.json` says `done` only when they stand."""
    from shared_utils.training_logging import TrainingLoggingUtils
    from training_methods.reinforcement_learning.evaluation import SEEDS_OF_FINAL
    from training_methods.reinforcement_learning.return_curves import write_return_curves
    from training_methods.reinforcement_learning.run_parts import AGENT_FILE, agent_class

    run.save()
    keeps_best = request.early_stopping.restore_best_weights and run.best_agent is not None
    run_dir = request.run_dir
    if keeps_best:
        with atomic_binary_writer(run_dir / AGENT_FILE) as file:
            file.write(run.best_agent)
    else:
        run.loop.agent.save(run_dir / AGENT_FILE, with_memory=False)
    agent = agent_class(request.algorithm).load(run_dir / AGENT_FILE)
    episodes = run.training.final_eval_episodes
    final = run.evaluator(episodes).evaluate(agent, request.seed + SEEDS_OF_FINAL)
    summary = _summary(request, run, final, return_interval(final.returns))
    write_json_atomic(run_dir / "evaluation.json", evaluation_record(str(run_dir), request.environment.id, final))
    write_text_atomic(run_dir / "README.md", _card(request, agent, summary))
    rows = TrainingLoggingUtils.read_metrics(run_dir)
    title = f"{request.algorithm.upper()} in {Path(request.environment.id).name}"
    write_return_curves(run_dir / "curves.png", rows, title, run.threshold)
    _extras(request, run, agent, console)
    write_json_atomic(run_dir / RUN_FILE, {**record, "status": "done", "finished": timestamp(), "result": summary})
    return summary


def _extras(request: AgentRequest, run: Any, agent: Any, console: Console) -> None:
    if request.record_video:
        from training_methods.reinforcement_learning.videos import record_episode

        console.info(f"recorded {record_episode(agent, run.source, request.run_dir / 'episode.gif', request.seed)}")
    if request.onnx:
        from training_methods.reinforcement_learning.onnx_export import export_policy

        console.info(f"policy.onnx: {export_policy(agent, request.run_dir / 'policy.onnx')}")


def _summary(request: AgentRequest, run: Any, final: Any, interval: tuple[float, float]) -> dict[str, object]:
    """The summary keys that the command promises."""
    standing, loop = run.standing, run.loop
    mean = run.mean_return
    return {
        "run_dir": str(request.run_dir),
        "algorithm": request.algorithm,
        "env": request.environment.id,
        "timesteps": loop.timesteps,
        "episodes": loop.episodes,
        "mean_return": round(mean, 4) if mean is not None else None,
        "best_mean_return": standing.best_mean,
        "best_step": standing.best_step,
        "eval_mean_return": final.mean,
        "eval_std_return": final.deviation,
        "eval_low": interval[0],
        "eval_high": interval[1],
        "eval_episodes": len(final.returns),
        "solve_at": run.threshold,
        "solved": run.threshold is not None and final.mean >= run.threshold,
        "stopped_early": standing.is_solved or standing.is_out_of_patience,
        "seconds": round(standing.seconds, 3),
        "cpu_seconds": round(standing.cpu_seconds, 3),
        "steps_per_second": round(loop.timesteps / max(standing.seconds, 1e-9), 1),
        "resumed_from": str(run.resumed_from) if run.resumed_from else None,
    }


def _card(request: AgentRequest, agent: Any, summary: dict[str, Any]) -> str:
    from training_methods.reinforcement_learning.agent_card import AgentFacts, agent_card

    return agent_card(
        AgentFacts(
            algorithm=request.algorithm,
            environment=request.environment.id,
            environment_kwargs=request.environment.kwargs,
            seed=request.seed,
            parameters=int(agent.parameters.values.numel()),
            settings=flat_settings(request.settings.model_dump(mode="json")),
            summary=summary,
            versions=package_versions(PACKAGES),
        )
    )
