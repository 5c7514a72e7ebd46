"""Following a training and doing its steps: TrainingMetrics, MetricsLogger and OptimizedTrainer.

The first two are what every run of the toolkit writes its `metrics.jsonl` with; the last one is for training loops of
your own. torch is loaded on first use.
"""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

from shared_utils.errors import ConfigurationError, TrainingError, missing_package
from shared_utils.file_utils import append_jsonl

if TYPE_CHECKING:
    import torch

Observer = Callable[["TrainingMetrics"], None]


@dataclass(frozen=True)
class TrainingMetrics:
    """What was measured at one step; None is what was not.

    Attributes:
        step: optimizer steps done.
        epoch: passes over the records done, with its fraction.
        loss, eval_loss: nats per supervised token, in training and on held-out records.
        grad_norm: before it was clipped.
        eval_perplexity: exp of `eval_loss`.
        others: what else a method measures, for example `episode_return`.
        tokens: read so far; tokens_per_second: since the step logged before.
        seconds: since the training began; memory_mb: the most it has held, in megabytes.
    """

    step: int
    epoch: float | None = None
    loss: float | None = None
    grad_norm: float | None = None
    learning_rate: float | None = None
    eval_loss: float | None = None
    eval_perplexity: float | None = None
    others: Mapping[str, float] = field(default_factory=dict)
    tokens: int | None = None
    tokens_per_second: float | None = None
    seconds: float | None = None
    memory_mb: float | None = None

    @classmethod
    def from_figures(cls, step: int, figures: Mapping[str, Any]) -> Self:
        """The metrics of a step from figures by name; names that are no field go to `others`."""
        known = {one.name for one in fields(cls)} - {"step", "others"}
        named = {name: value for name, value in figures.items() if name in known}
        return cls(step=step, **named, others={name: value for name, value in figures.items() if name not in known})

    def as_dict(self) -> dict[str, float | None]:
        """One line of `metrics.jsonl`: what was measured; null is a figure that is no finite number."""
        line: dict[str, float | None] = {}
        for one in fields(self):
            value = getattr(self, one.name)
            line |= value if one.name == "others" else {one.name: value}
        return {name: value if math.isfinite(value) else None for name, value in line.items() if value is not None}


class MetricsLogger:
    """Hands the metrics of a run to everybody who follows it.

    >>> with MetricsLogger("run/metrics.jsonl", tensorboard_dir="run/tensorboard") as logger:
    ...     logger.log_metrics(TrainingMetrics(step=1, loss=2.5))

    Args:
        path: a JSONL file that one line is appended to each time.
        tensorboard_dir: folder of event files; where TensorBoard is not installed, that is told once.
        wandb_project: project of Weights & Biases; offline unless the environment variable WANDB_MODE says otherwise.
        run_name: name of the run there.
        progress: called with the step and a short note, such as `Progress.move_to` of the console.
        observers: called with the metrics.
        first_step: event files forget this step and later ones, which a continued run is about to write again.

    Raises:
        ConfigurationError: a project is named, but wandb is not installed.
    """

    def __init__(
        self,
        path: str | Path | None = None,
        *,
        tensorboard_dir: str | Path | None = None,
        wandb_project: str | None = None,
        run_name: str | None = None,
        progress: Callable[[int, str], None] | None = None,
        observers: Iterable[Observer] = (),
        first_step: int | None = None,
    ) -> None:
        if wandb_project is not None and find_spec("wandb") is None:
            raise missing_package("wandb", "logging.use_wandb")
        self._path = Path(path) if path is not None else None
        self._tensorboard_dir = tensorboard_dir
        self._wandb_project = wandb_project
        self._run_name = run_name
        self._progress = progress
        self._observers = list(observers)
        self._first_step = first_step
        # Opened at the first line, so that a process that logs nothing leaves nothing behind.
        self._events: Any = None
        self._wandb_run: Any = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def add_observer(self, observer: Observer) -> None:
        """Call `observer` with all metrics from now on."""
        self._observers.append(observer)

    def log_metrics(self, metrics: TrainingMetrics) -> None:
        """Write one line to the file, and tell everybody else."""
        line = metrics.as_dict()
        if self._path is not None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            append_jsonl(self._path, line)
        figures = {_tag(name): value for name, value in line.items() if name != "step" and value is not None}
        if self._tensorboard_dir is not None:
            self._write_events(figures, metrics.step)
        if self._wandb_project is not None:
            self._write_wandb(figures, metrics.step)
        if self._progress is not None:
            self._progress(metrics.step, "" if metrics.loss is None else f"loss {metrics.loss:.3f}")
        for observer in self._observers:
            observer(metrics)

    def close(self) -> None:
        """Finish what is open; the next line would open it again."""
        if self._events is not None:
            self._events.close()
        if self._wandb_run is not None:
            self._wandb_run.finish()
        self._events = self._wandb_run = None

    def _write_events(self, figures: Mapping[str, float], step: int) -> None:
        if self._events is None:
            if find_spec("tensorboard") is None:
                logging.getLogger(__name__).warning("no TensorBoard event files are written: pip install tensorboard")
                self._tensorboard_dir = None
                return
            from torch.utils.tensorboard import SummaryWriter

            self._events = SummaryWriter(str(self._tensorboard_dir), purge_step=self._first_step)
        for tag, value in figures.items():
            self._events.add_scalar(tag, value, step)
        self._events.flush()  # so that a watcher sees it, and a kill loses nothing

    def _write_wandb(self, figures: Mapping[str, float], step: int) -> None:
        if self._wandb_run is None:
            import wandb

            # nothing leaves the machine unless asked to; wandb itself refuses a word that it does not know
            mode: Any = os.environ.get("WANDB_MODE", "offline")
            self._wandb_run = wandb.init(
                project=self._wandb_project,
                name=self._run_name,
                mode=mode,
                # No source code, no copy of what the terminal shows, no words of its own.
                settings=wandb.Settings(disable_code=True, disable_git=True, console="off", silent=True),
            )
        self._wandb_run.log({**figures, "step": step})


def _tag(name: str) -> str:
    return f"eval/{name.removeprefix('eval_')}" if name.startswith("eval_") else f"train/{name}"


Precision = Literal["auto", "float32", "bf16", "fp16"]


class OptimizedTrainer:
    """Steps of a training loop of your own: accumulated, in mixed precision, with clipped gradients.

    `accumulation_steps` batches give exactly the gradient of one batch that holds all their records: each counts by
    its supervised tokens, while the mean of their means would give short answers more weight than long ones.

    Args:
        model: called with the tensors of a batch; gives a mean loss, as the models of transformers do.
        optimizer: of the model's parameters.
        accumulation_steps: batches to an optimizer step.
        precision: auto is bf16 or fp16 on CUDA, float32 elsewhere. The loss is scaled for fp16 only: bf16 has the
            range of float32 (Micikevicius et al. 2018, section 3.2).
        max_grad_norm: gradients are scaled down to this norm; None leaves them.
        scheduler: of the learning rate; moved after each optimizer step.

    Raises:
        ConfigurationError: fp16 without CUDA, or less than one accumulation step.
    """

    def __init__(
        self,
        model: torch.nn.Module,
        optimizer: torch.optim.Optimizer,
        accumulation_steps: int = 4,
        *,
        precision: Precision = "auto",
        max_grad_norm: float | None = 1.0,
        scheduler: Any = None,
    ) -> None:
        import torch

        if accumulation_steps < 1:
            raise ConfigurationError(f"accumulation_steps is {accumulation_steps}", hint="it must be 1 or more")
        self.model = model
        self.optimizer = optimizer
        self.accumulation_steps = accumulation_steps
        self.max_grad_norm = max_grad_norm
        self.scheduler = scheduler
        self.device = next(model.parameters()).device
        on_cuda = self.device.type == "cuda"
        if precision == "auto":
            has_bf16 = on_cuda and torch.cuda.is_bf16_supported()
            precision = "bf16" if has_bf16 else "fp16" if on_cuda else "float32"
        if precision == "fp16" and not on_cuda:
            raise ConfigurationError("fp16 needs a CUDA device", hint="use bf16 or float32")
        self.precision = precision
        self._half = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(precision)
        self._scaler = torch.amp.GradScaler("cuda", enabled=precision == "fp16")
        self._weight_first = self._weight_sum = 0
        self.optimizer_steps = 0

    def training_step(self, batch: Mapping[str, torch.Tensor], step: int) -> float:
        """Forward and backward of one batch; its mean loss.

        Every `accumulation_steps` of them the optimizer moves. What is left at the end is for `finish`.

        Args:
            batch: tensors; with `labels` of shape (batch, tokens), those that are not -100 are supervised.
            step: number of the batch, counted from 0.

        Raises:
            TrainingError: the loss is no finite number.
        """
        import torch

        self.model.train()
        inputs = {name: value.to(self.device) for name, value in batch.items()}
        with torch.autocast(self.device.type, dtype=self._half, enabled=self._half is not None):
            output = self.model(**inputs)
        loss = output if isinstance(output, torch.Tensor) else output["loss"]
        if not math.isfinite(float(loss.detach())):
            raise TrainingError(
                f"the loss became {float(loss.detach())} at step {step}",
                hint="lower the learning rate, and look at the records of this batch",
            )
        weight = _supervised(inputs)
        self._weight_first = self._weight_first or weight
        self._weight_sum += weight
        # Near 1, so that the scaled loss stays inside of fp16; `_update` divides by the true sum.
        self._scaler.scale(loss * (weight / self._weight_first)).backward()
        if (step + 1) % self.accumulation_steps == 0:
            self._update()
        return float(loss.detach())

    def finish(self) -> None:
        """Move the optimizer by what was accumulated since its last step, if anything was."""
        if self._weight_sum:
            self._update()

    def _update(self) -> None:
        import torch

        self._scaler.unscale_(self.optimizer)
        weights = [weight for group in self.optimizer.param_groups for weight in group["params"]]
        gradients = [weight.grad for weight in weights if weight.grad is not None]
        for gradient in gradients:
            gradient.mul_(self._weight_first / self._weight_sum)
        if self.max_grad_norm is not None:
            torch.nn.utils.clip_grad_norm_(weights, self.max_grad_norm)
        scale = self._scaler.get_scale()
        self._scaler.step(self.optimizer)
        self._scaler.update()
        self.optimizer.zero_grad(set_to_none=True)
        self._weight_first = self._weight_sum = 0
        if self._scaler.get_scale() < scale:
            return  # fp16 overflowed: the step was left out, and the next one is scaled less
        self.optimizer_steps += 1
        if self.scheduler is not None:
            self.scheduler.step()


def _supervised(batch: Mapping[str, torch.Tensor]) -> int:
    """What the mean loss of a batch is a mean over: supervised tokens, or records where there are none."""
    labels = batch.get("labels")
    if labels is None:
        return len(next(iter(batch.values())))
    # A language model predicts each token from those before it, so the first label is never used.
    return int((labels[:, 1:] != -100).sum()) if labels.dim() > 1 else int((labels != -100).sum())
