"""The commands: one module each, loaded when it is called.

A command module offers `EXAMPLE` (a line that can be pasted), `configure(parser)`, which adds its
arguments, and `run(args, config, console)`, which does the work and returns a `CommandResult`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from commands.training_cli import TrainingCLIUtils as TrainingCLIUtils

__all__ = ["HELP_BY_COMMAND", "TrainingCLIUtils"]

HELP_BY_COMMAND = {
    "extract": "turn documents into chunks and instruction pairs",
    "train-lora": "fine-tune a model with low-rank adapters",
    "train-qlora": "fine-tune low-rank adapters on a base stored in 4 bits",
    "train-full": "fine-tune every weight of a model",
    "train-dpo": "teach adapters which of two answers is preferred",
    "snake": "the game of Snake: records of games, games to look at, players measured",
    "train-rl": "train an agent by reinforcement learning in a gymnasium environment",
    "chat": "talk to a model",
    "models": "the registry of finished models: list, show, use, tag, add, remove",
    "pipeline": "the whole way: documents to a tuned model, measured against the base",
    "create-samples": "write sample documents and records to try everything with",
    "config": "print the merged settings, each with where it came from",
    "doctor": "what this machine can do, and what to do about each gap",
}


def __getattr__(name: str) -> object:
    """Load a public name on first use, so that the package itself costs nothing."""
    if name != "TrainingCLIUtils":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from commands.training_cli import TrainingCLIUtils

    return TrainingCLIUtils
