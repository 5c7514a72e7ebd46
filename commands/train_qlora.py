"""`train-qlora`: fine-tune adapters on a base stored in 4 bits."""

from __future__ import annotations

import argparse

from commands.train_options import add_training_arguments, run_training
from configs.schema import ToolkitConfig
from shared_utils.console import CommandResult, Console

EXAMPLE = "python main.py train-qlora --train-data data/train.jsonl --merge"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    add_training_arguments(parser, "qlora")


def run(args: argparse.Namespace, config: ToolkitConfig, console: Console) -> CommandResult:
    """Train, then say what was written and what to type next."""
    return run_training("qlora", args, config, console)
