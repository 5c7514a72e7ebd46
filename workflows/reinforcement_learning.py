"""An agent, trained in an environment, in a run folder that can be gone on with at any moment."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from shared_utils.console import Console
from shared_utils.errors import ConfigurationError, Interrupted
from shared_utils.file_utils import ensure_output_dir, remove_leftovers, write_json_atomic, write_text_atomic
from shared_utils.run_lock import run_lock
from shared_utils.stop_signals import StopSignals
from workflows.rl_outputs import finish_run, run_record
from workflows.rl_request import AgentRequest, resume_command, steps_and_episodes
from workflows.run_folder import RUN_FILE, finished_result, refuse_foreign_files

LOG_STEPS = 1000  # between two lines of metrics.jsonl; PPO has one for each update


def train_agent(request: AgentRequest, console: Console) -> dict[str, object]:
    """Train, and leave a complete run folder; the summary of the run.

    Raises:
        ConfigurationError: the environment or a package is missing, or settings and environment do not fit.
        DataValidationError: a continuation with other settings, or no whole checkpoint where one was named.
        TrainingError: the environment failed, or a loss was not finite.
        Interrupted: Ctrl-C or SIGTERM, after a checkpoint was written.
    """
    register_own_environments()
    _check_limits(request)
    ensure_output_dir(request.run_dir)
    with run_lock(request.run_dir):
        remove_leftovers(request.run_dir)
        summary = finished_result(
            request.run_dir,
            request.identity,
            resume=request.resume is not None,
            resume_with=resume_command(request),
        )
        if summary is not None:
            console.info(f"{request.run_dir} is finished already")
            return summary
        refuse_foreign_files(request.run_dir)
        return _train(request, console)


def dry_run(request: AgentRequest, console: Console) -> dict[str, object]:
    """Say what would be done: environment, network, steps, memory and time; write nothing."""
    from training_methods.reinforcement_learning.run_parts import foretell

    register_own_environments()
    _check_limits(request)
    facts = foretell(request.environment, request.settings, request.algorithm, request.seed, request.device)
    steps, episodes = steps_and_episodes(request.settings)
    length = f"{steps:,} steps" if steps is not None else f"{episodes:,} episodes"
    seconds = steps / facts["steps_per_second"] if steps else None
    console.info(f"{request.environment.id}: observations {facts['observations']}, actions {facts['actions']}")
    console.info(
        f"{request.algorithm}: {facts['parameters']:,} parameters, {facts['memory_mb']:.1f} MB for stored steps"
    )
    console.info(
        f"{length} at about {facts['steps_per_second']:,.0f} steps a second"
        + (f", {seconds:,.0f} seconds" if seconds is not None else "")
        + "; nothing was written"
    )
    return {"run_dir": str(request.run_dir), **facts, "timesteps": steps, "episodes": episodes, "seconds": seconds}


def register_own_environments() -> None:
    """Make the toolkit's own environments, whose ids begin with LLMToolkit/, known to gymnasium."""
    from snake_game.environment import register

    register()


def _check_limits(request: AgentRequest) -> None:
    steps, episodes = steps_and_episodes(request.settings)
    if steps is None and episodes is None:
        raise ConfigurationError(
            "max_episodes and total_timesteps are both null: the training would have no end",
            hint="use --total-timesteps N or --max-episodes N",
        )


def _check_extras(request: AgentRequest, source: Any) -> None:
    """What is asked for at the end must be possible at the beginning."""
    if request.record_video:
        from training_methods.reinforcement_learning.videos import check_video

        check_video(source)
    if request.onnx:
        from training_methods.reinforcement_learning.onnx_export import check_onnx

        check_onnx()


@dataclass
class Standing:
    """What a run knows of itself besides agent and environments; part of each checkpoint."""

    next_log: int = LOG_STEPS
    next_evaluation: int = 0
    next_save: int = 0
    saved_at: int = 0
    evaluated_at: int = 0
    best_mean: float | None = None
    best_step: int = 0
    evaluations_without_gain: int = 0
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    is_solved: bool = False
    is_out_of_patience: bool = False


def _train(request: AgentRequest, console: Console) -> dict[str, object]:
    from training_methods.reinforcement_learning.prepared_environment import WATCH
    from training_methods.reinforcement_learning.run_parts import check_source, source_of
    from training_methods.reinforcement_learning.threads import few_threads

    started, timeout = time.time(), request.settings.training.step_timeout
    source = source_of(request.environment, request.settings)
    for finding in check_source(source, timeout):
        console.warn(finding)
    _check_extras(request, source)
    with few_threads(request.settings.training.threads), WATCH.on(timeout), StopSignals() as signals:
        run = Run(request, console, signals)
        try:
            write_text_atomic(request.run_dir / "config.yaml", request.config_yaml)
            record = run_record(request, run.loop, started)
            write_json_atomic(request.run_dir / RUN_FILE, record)
            run.go()
            if signals.number is not None and not run.is_finished:
                run.save()
                raise Interrupted(signals.number, hint=f"go on with: {resume_command(request)}")
            return finish_run(request, run, record, console)
        finally:
            run.close()


class Run:
    """One training from its first or its last checkpoint to its end.

    Args:
        request: what is asked.
        console: told of progress.
        signals: noted since the run began.
    """

    def __init__(self, request: AgentRequest, console: Console, signals: StopSignals) -> None:
        from training_methods.reinforcement_learning.run_parts import begin, go_on, solve_threshold, source_of
        from training_methods.transfer_learning.recorders import metrics_logger
        from workflows.rl_checkpoints import checkpoint_to_resume, cut_metrics_after

        self.request, self.console, self.signals = request, console, signals
        self.training: Any = request.settings.training
        self.steps, self.episodes = steps_and_episodes(request.settings)
        self.threshold = solve_threshold(request.environment, request.settings)
        self.source = source_of(request.environment, request.settings)
        self.resumed_from = checkpoint_to_resume(request, console)
        self.standing = Standing(
            next_evaluation=self.training.eval_frequency,
            next_save=self._save_frequency(),
        )
        self.best_agent: bytes | None = None
        if self.resumed_from is None:
            self.loop = begin(request.environment, request.settings, request.algorithm, request.seed, request.device)
        else:
            self.loop, standing, self.best_agent, is_same = go_on(
                self.resumed_from,
                request.environment,
                request.settings,
                request.algorithm,
                request.seed,
                request.device,
            )
            self.standing = Standing(**standing)
            if not is_same:
                console.warn(
                    f"{request.environment.id} did not come to the same place again: it draws on chance that its seed "
                    "does not govern. New episodes begin; the rest of the run is as good, but not the same"
                )
        cut_metrics_after(request.run_dir, self.loop.timesteps if self.resumed_from else -1)
        self.logger = metrics_logger(request.run_dir, request.logging, self.resumed_from)
        self._evaluators: dict[int, Any] = {}
        self._learnt = False  # by the last step

    @property
    def is_finished(self) -> bool:
        """Whether nothing is left to train."""
        enough = self.steps is not None and self.loop.timesteps >= self.steps
        enough = enough or (self.episodes is not None and self.loop.episodes >= self.episodes)
        return enough or self.standing.is_solved or self.standing.is_out_of_patience

    def go(self) -> None:
        """Train to the end, or until a signal."""
        with self.console.progress(self.steps or self.episodes, "training") as progress:
            progress.go_on_from(self._done())
            while not self.is_finished and self.signals.number is None:
                self._stretch()
                mean = self.mean_return
                progress.move_to(self._done(), f"return {mean:.1f}" if mean is not None else "")
        if self.is_finished:
            self._last_evaluation()

    def _stretch(self) -> None:
        """Train until something is to be logged, measured or saved, and do that."""
        standing, loop = self.standing, self.loop
        clock, cpu = time.monotonic(), time.process_time()
        loop.run(self._is_time)
        is_late = False
        if self._learnt and loop.timesteps >= standing.next_log:
            self._log()
        standing.seconds += time.monotonic() - clock
        standing.cpu_seconds += time.process_time() - cpu
        if loop.timesteps >= standing.next_evaluation:
            standing.next_evaluation = _after(loop.timesteps, self.training.eval_frequency)
            self._evaluate()
            # Where episodes are long or never end, a run must not go without checkpoints.
            is_late = loop.timesteps - standing.saved_at >= self.training.eval_frequency
        if loop.episodes >= standing.next_save or is_late:
            standing.next_save = _after(loop.episodes, self._save_frequency())
            standing.saved_at = loop.timesteps
            self.save()

    def _is_time(self, loop: Any, learnt: bool) -> bool:
        standing = self.standing
        self._learnt = learnt
        loop.agent.progress = min(1.0, loop.timesteps / self.steps) if self.steps else 0.0
        return (
            (learnt and loop.timesteps >= standing.next_log)
            or loop.timesteps >= standing.next_evaluation
            or loop.episodes >= standing.next_save
            or self.signals.number is not None
            or self.is_finished
        )

    @property
    def mean_return(self) -> float | None:
        """Of the last hundred episodes of the training; None before the first one ended."""
        recent = self.loop.recent_returns
        return sum(recent) / len(recent) if recent else None

    def _done(self) -> int:
        return self.loop.timesteps if self.steps is not None else self.loop.episodes

    def _save_frequency(self) -> int:
        own = self.training.save_frequency
        return own if own is not None else self.request.checkpoint.save_frequency

    def _log(self, **more: float) -> None:
        from shared_utils.training_utils import TrainingMetrics

        figures = {**self.loop.take_figures(), **more, "seconds": round(self.standing.seconds, 3)}
        self.logger.log_metrics(TrainingMetrics.from_figures(self.loop.timesteps, figures))
        self.standing.next_log = _after(self.loop.timesteps, LOG_STEPS)

    def evaluator(self, episodes: int) -> Any:
        """What plays so many episodes."""
        from training_methods.reinforcement_learning.evaluation import Evaluator

        if episodes not in self._evaluators:
            self._evaluators[episodes] = Evaluator(self.source, episodes)
        return self._evaluators[episodes]

    def _evaluate(self) -> None:
        from training_methods.reinforcement_learning.evaluation import SEEDS_WHILE_TRAINING

        standing, training = self.standing, self.training
        standing.evaluated_at = self.loop.timesteps
        measured = self.evaluator(training.eval_episodes).evaluate(
            self.loop.agent, self.request.seed + SEEDS_WHILE_TRAINING
        )
        self._log(eval_mean_return=measured.mean, eval_std_return=measured.deviation)
        least_gain = self.request.early_stopping.min_delta
        if standing.best_mean is None or measured.mean > standing.best_mean + least_gain:
            standing.evaluations_without_gain = 0
        else:
            standing.evaluations_without_gain += 1
        # Of equally good agents the one that has seen more is kept.
        if standing.best_mean is None or measured.mean >= standing.best_mean:
            standing.best_mean, standing.best_step = measured.mean, self.loop.timesteps
            self._keep_best()
        patience = training.patience if training.patience is not None else self.request.early_stopping.patience
        standing.is_out_of_patience = bool(patience) and standing.evaluations_without_gain >= patience
        if training.solve_at != "never" and self.threshold is not None and measured.mean >= self.threshold:
            standing.is_solved = self._is_confirmed()
            if standing.is_solved:  # what was confirmed is kept, whatever a shorter evaluation said before
                standing.best_mean, standing.best_step = measured.mean, self.loop.timesteps
                self._keep_best()

    def _is_confirmed(self) -> bool:
        """Whether as many episodes as the final evaluation has, on other seeds than it, agree."""
        episodes = self.training.final_eval_episodes
        seed = self.request.seed + 3_000_017 + self.loop.timesteps
        return (
            self.threshold is not None
            and self.evaluator(episodes).evaluate(self.loop.agent, seed).mean >= self.threshold
        )

    def _last_evaluation(self) -> None:
        """The agent at the end is measured like those before, unless it just was."""
        standing = self.standing
        if standing.evaluated_at != self.loop.timesteps:
            self._evaluate()

    def _keep_best(self) -> None:
        from workflows.rl_checkpoints import agent_bytes

        self.best_agent = agent_bytes(self.loop.agent, self.request.run_dir)

    def save(self) -> None:
        """Write a checkpoint."""
        from workflows.rl_checkpoints import write_checkpoint

        keep = 1 if self.request.checkpoint.save_best_only else self.request.checkpoint.max_checkpoints
        write_checkpoint(self.request.run_dir, self.loop, vars(self.standing), self.best_agent, keep)

    def close(self) -> None:
        """Let go of environments and log files."""
        self.loop.environments.close()
        for evaluator in self._evaluators.values():
            evaluator.close()
        self.logger.close()


def _after(count: int, frequency: int) -> int:
    """The next multiple of a frequency."""
    return (count // frequency + 1) * frequency
