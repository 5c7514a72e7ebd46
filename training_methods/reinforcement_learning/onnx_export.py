"""`policy.onnx`: an agent's policy for other programs, checked against the agent."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from shared_utils.errors import LLMToolkitError, missing_extra
from shared_utils.file_utils import TEMPORARY_PREFIX
from training_methods.reinforcement_learning.agents.agent import Agent
from training_methods.reinforcement_learning.normalization import EPSILON, LIMIT

PROBES = 64
TOLERANCE = 1e-4


def check_onnx() -> None:
    """Refuse, before training, where a package is missing.

    Raises:
        ConfigurationError: names the install command.
    """
    for package in ("onnx", "onnxscript", "onnxruntime"):
        if find_spec(package) is None:
            raise missing_extra("onnx", package, "--onnx")


class Policy(nn.Module):
    """From raw observations to what is acted on: logits, means or action values."""

    def __init__(self, agent: Agent) -> None:
        super().__init__()
        self.network = agent.network
        scaler = agent.observation_scaler
        self.is_scaled = scaler is not None
        if scaler is not None:
            root = np.sqrt(scaler.statistics.variance + EPSILON)
            self.register_buffer("mean", torch.from_numpy(scaler.statistics.mean.astype(np.float32)))
            self.register_buffer("root", torch.from_numpy(root.astype(np.float32)))

    def forward(self, observation: Tensor) -> Tensor:
        """Scores of actions, shape (batch, outputs)."""
        if self.is_scaled:
            observation = ((observation - self.mean) / self.root).clamp(-float(LIMIT), float(LIMIT))
        scores = self.network(observation)
        return scores[0] if isinstance(scores, tuple) else scores


def export_policy(agent: Agent, path: Path) -> str:
    """Write the policy and compare it with the agent on random observations; the result in words.

    Raises:
        ConfigurationError: a package is missing.
        LLMToolkitError: the file says something else than the agent; it is deleted.
    """
    check_onnx()
    observations = _probes(agent)
    draft = path.with_name(f"{TEMPORARY_PREFIX}{path.name}")
    policy = Policy(agent).cpu().eval()
    try:
        _export(policy, torch.from_numpy(observations[:2]), draft)
        with torch.no_grad():
            expected = policy(torch.from_numpy(observations)).numpy()
        difference = float(np.abs(_run(draft, observations) - expected).max())
        if not difference <= TOLERANCE * max(1.0, float(np.abs(expected).max())):
            raise LLMToolkitError(
                f"the exported policy differs from the agent by {difference:.2g}",
                hint="please report it; use the agent",
            )
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
    return f"equal to the agent on {PROBES} observations (largest difference {difference:.1g})"


def _probes(agent: Agent) -> Any:
    random = np.random.default_rng(0)
    shape = (PROBES, *agent.observations.shape)
    if agent.observations.dtype == "uint8":
        return random.integers(0, 256, shape, dtype=np.uint8)
    return random.standard_normal(shape).astype(np.float32)


def _export(policy: nn.Module, example: Tensor, path: Path) -> None:
    batch = torch.export.Dim("batch")
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            torch.onnx.export(
                policy,
                (example,),
                str(path),
                dynamo=True,
                external_data=False,
                input_names=["observation"],
                output_names=["scores"],
                dynamic_shapes=({0: batch},),
            )
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _run(path: Path, observations: Any) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return session.run(None, {"observation": observations})[0]
