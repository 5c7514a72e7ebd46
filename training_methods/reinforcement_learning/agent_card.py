"""The README.md of an agent's run folder: what was trained, where, and how good it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class AgentFacts:
    """What the card says."""

    algorithm: str
    environment: str
    environment_kwargs: Mapping[str, object]
    seed: int
    parameters: int
    settings: Mapping[str, object]
    summary: Mapping[str, Any]
    versions: Mapping[str, str]


def agent_card(facts: AgentFacts) -> str:
    """Markdown with the front matter that model hubs read."""
    summary = facts.summary
    settings = "\n".join(f"| {name} | {value} |" for name, value in facts.settings.items())
    versions = ", ".join(f"{name} {number}" for name, number in facts.versions.items())
    arguments = f" with {dict(facts.environment_kwargs)}" if facts.environment_kwargs else ""
    name = facts.algorithm.upper()
    return f"""---
tags: [reinforcement-learning, {facts.algorithm}, llm-complete-toolkit]
---

# {name} agent for {facts.environment}

## Task
The gymnasium environment `{facts.environment}`{arguments}. The agent has {facts.parameters:,} parameters.
It was trained for {summary["timesteps"]:,} steps ({summary["episodes"]:,} episodes) with the seed {facts.seed}, in
{summary["cpu_seconds"]:,.1f} seconds of CPU time.

## Result
{_result(summary)}

## Use
```python
from training_methods import {name}Agent

agent = {name}Agent.load("agent.safetensors")
{_call(facts.algorithm)}
```

## Settings
| setting | value |
| --- | --- |
{settings}

The resolved settings of every kind are in `config.yaml`, the course of the run in `metrics.jsonl` and `curves.png`,
every return of the evaluation in `evaluation.json`.

## Limits
The agent knows this environment with these arguments and nothing else. Its return is that of its best known actions
on seeds that it was not trained on; another seed of the training can end better or worse, which only several
trainings tell.

Made with {versions}.
"""


def _result(summary: Mapping[str, Any]) -> str:
    lines = [
        f"Mean return over {summary['eval_episodes']} episodes on seeds of their own: "
        f"{summary['eval_mean_return']:.2f} (95% interval {summary['eval_low']:.2f} to "
        f"{summary['eval_high']:.2f}, standard deviation of an episode "
        f"{summary['eval_std_return']:.2f})."
    ]
    if summary["solve_at"] is not None:
        lines.append(f"{'Solved' if summary['solved'] else 'Not solved'}: {summary['solve_at']:g} counts as solved.")
    if summary["best_mean_return"] is not None:
        lines.append(f"The weights are those of step {summary['best_step']:,}, the best ones measured while training.")
    return " ".join(lines)


def _call(algorithm: str) -> str:
    if algorithm == "ppo":
        return "action, log_prob, value = agent.select_action(observation, training=False)"
    return "action = agent.select_action(observation, training=False)"
