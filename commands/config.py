"""`config`: the merged settings, each with where it came from."""

from __future__ import annotations

import argparse

from configs.fields import leaf_fields, value_at
from configs.schema import ToolkitConfig
from shared_utils.console import CommandResult, Console

EXAMPLE = "python main.py config --set transfer_learning.lora.lora_r=8"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("--check", action="store_true", help="only say whether the settings are valid")


def run(args: argparse.Namespace, config: ToolkitConfig, console: Console) -> CommandResult:
    """Print every setting as `key = value` and its source; reaching here means that all are valid."""
    if args.check:
        console.info("the settings are valid")
        return CommandResult({"valid": True})
    values = {path: value_at(config, path) for path, _ in leaf_fields()}
    sources = args.loaded.sources
    width = max(len(f"{path} = {value}") for path, value in values.items() if len(str(value)) < 60)
    for path, value in values.items():
        line = f"{path} = {value}"
        console.info(f"{line:{width}}  # {sources[path]}{_decided_elsewhere(path, config)}")
    return CommandResult({path: {"value": value, "source": sources[path]} for path, value in values.items()})


def _decided_elsewhere(path: str, config: ToolkitConfig) -> str:
    """Where two keys could mean the same, which one holds."""
    if path != "checkpoint.save_frequency":
        return ""
    sections = {
        name: getattr(config.transfer_learning, name).training.save_steps
        for name in type(config.transfer_learning).model_fields
    }
    winners = [f"transfer_learning.{name}.training.save_steps = {steps}" for name, steps in sections.items() if steps]
    return f"; where set, this wins: {', '.join(winners)}" if winners else ""
