"""The README.md of a run by rewards: what was asked, what it was worth, and how good the model has become."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class GRPOFacts:
    """What the card says."""

    base_model: str
    source: str  # of the questions
    arguments: Mapping[str, object]  # of the environment
    reward: str
    seed: int
    settings: Mapping[str, object]
    summary: Mapping[str, Any]
    figures: Sequence[str]  # before and after, in words
    versions: Mapping[str, str]


def grpo_card(facts: GRPOFacts) -> str:
    """Markdown with the front matter that model hubs read."""
    summary = facts.summary
    settings = "\n".join(f"| {name} | {value} |" for name, value in facts.settings.items())
    figures = "\n".join(f"- {line}" for line in facts.figures)
    versions = ", ".join(f"{name} {number}" for name, number in facts.versions.items())
    arguments = f" with {dict(facts.arguments)}" if facts.arguments else ""
    return f"""---
base_model: {facts.base_model}
library_name: peft
pipeline_tag: text-generation
tags: [grpo, reinforcement-learning, llm-complete-toolkit]
---

# {facts.base_model}, trained by rewards (GRPO)

## Task
{summary["questions"]} questions from {facts.source}{arguments}; reward: {facts.reward}. In {summary["steps"]} steps the
model gave {summary["answers"]:,} answers and was moved towards those that were worth more than the others to the same
question (Shao et al. 2024, arXiv:2402.03300), with the seed {facts.seed}, in {summary["seconds"]:,.0f} seconds.

## Result
On {summary["held_out"]} questions that it was not trained on, likeliest answers, before and after the training, with
{summary["confidence"]:.0%} intervals; the differences are of the same questions:

{figures}

Each answer stands in `answers.jsonl`.

## Settings
| setting | value |
| --- | --- |
{settings}

The resolved settings of every kind are in `config.yaml`, the course of the run in `metrics.jsonl` and `curves.png`.

## Limits
A model learns what is rewarded, which need not be what was meant: read some answers. The figures are of this run;
another seed can end better or worse, which only several trainings tell.

Made with {versions}.
"""
