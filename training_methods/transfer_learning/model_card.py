"""The README.md of a run folder: what was done, with what, and how good it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class CardFacts:
    """What a model card says."""

    base_model: str
    method: str
    settings: Mapping[str, object]
    data_files: Sequence[str]
    records: int
    held_out_records: int
    steps: int
    train_loss: float
    base_eval_loss: float | None
    eval_loss: float | None
    seconds: float
    peak_memory_mb: Mapping[str, float]  # by part
    versions: Mapping[str, str]
    data_words: str  # what the loss was taken on
    result_words: str  # the held-out loss, with {base} and {tuned}
    base_memory_mb: float | None = None  # of QLoRA: the weights in float32, and as they were held
    quantized_memory_mb: float | None = None


def model_card(facts: CardFacts) -> str:
    """Markdown with the front matter that model hubs read."""
    settings = "\n".join(f"| {name} | {value} |" for name, value in facts.settings.items())
    files = "\n".join(f"- {name}" for name in facts.data_files)
    versions = ", ".join(f"{name} {number}" for name, number in facts.versions.items())
    return f"""---
base_model: {facts.base_model}
library_name: {"transformers" if facts.method == "full" else "peft"}
pipeline_tag: text-generation
tags: [{facts.method}, llm-complete-toolkit]
---

# {facts.base_model}, fine-tuned with {facts.method}

## Data
{facts.records} records to train on and {facts.held_out_records} held out, from

{files}

{facts.data_words}

## Result
{_figures(facts)}

## Settings
| setting | value |
| --- | --- |
{settings}

The resolved settings of every kind are in `config.yaml`, the course of the run in `metrics.jsonl`.

## Limits
This model knows what its base model and its training records gave it, and nothing else. It can be wrong
with confidence: check what matters. The held-out loss says how well it continues records like the ones it
was trained on, not whether its answers are true.

Made with {versions}.
"""


def _figures(facts: CardFacts) -> str:
    lines = [f"{facts.steps} optimizer steps, mean training loss {facts.train_loss:.4f}."]
    if facts.eval_loss is not None and facts.base_eval_loss is not None:
        lines.append(facts.result_words.format(base=facts.base_eval_loss, tuned=facts.eval_loss))
    else:
        lines.append("No records were held out, so there is no held-out loss.")
    parts = ", ".join(f"{name} {size:,.0f}" for name, size in facts.peak_memory_mb.items())
    lines.append(
        f"Training took {facts.seconds:,.0f} seconds and at most {sum(facts.peak_memory_mb.values()):,.0f} MB of "
        f"memory ({parts})."
    )
    if facts.base_memory_mb is not None:
        lines.append(
            f"While it was trained, the base took {facts.quantized_memory_mb:,.1f} MB instead of "
            f"{facts.base_memory_mb:,.1f} MB in float32, and its loss is the one given here. "
            "The adapter fits the full-precision base, too."
        )
    return " ".join(lines)
