"""`train-full`: fine-tune every weight of a model."""

from __future__ import annotations

import argparse

from commands.train_options import add_training_arguments, run_training
from configs.schema import ToolkitConfig
from shared_utils.console import CommandResult, Console

EXAMPLE = "python main.py train-full --train-data data/train.jsonl --epochs 1"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    add_training_arguments(parser, "full")


def run(args: argparse.Namespace, config: ToolkitConfig, console: Console) -> CommandResult:
    """Train, then say what was written and what to type next."""
    return run_training("full", args, config, console)
