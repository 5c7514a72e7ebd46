"""`train-dpo`: teach adapters which of two answers is preferred."""

from __future__ import annotations

import argparse

from commands.options import add_setting
from commands.train_options import add_training_arguments, run_training
from configs.schema import ToolkitConfig
from shared_utils.console import CommandResult, Console

EXAMPLE = "python main.py train-dpo --train-data data/preferences.jsonl --model outputs/lora"
FLAGS = {
    "--beta": "beta",
    "--loss-type": "loss_type",
    "--label-smoothing": "label_smoothing",
    "--load-in-4bit": "load_in_4bit",
}


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    add_training_arguments(parser, "dpo")
    for flag, setting in FLAGS.items():
        add_setting(parser, flag, f"transfer_learning.dpo.{setting}")


def run(args: argparse.Namespace, config: ToolkitConfig, console: Console) -> CommandResult:
    """Train, then say what was written and what to type next."""
    return run_training("dpo", args, config, console)
