"""`create-samples`: documents, records and a model to try everything with."""

from __future__ import annotations

import argparse
import shlex
from collections import Counter
from pathlib import Path

from configs.schema import ToolkitConfig
from shared_utils.console import CommandResult, Console
from shared_utils.file_utils import ensure_output_dir

EXAMPLE = "python main.py create-samples --output-dir data"
DESCRIPTIONS = {
    "documents": "a small world in PDF, Markdown and text",
    "train.jsonl": "questions about it with answers, in three kinds of records",
    "evaluation.jsonl": "other questions about the same facts, never trained on",
    "preferences.jsonl": "questions with a chosen and a rejected answer, for train-dpo",
    "conversations.jsonl": "logged chats",
    "snake_games.jsonl": "moves of four heuristics in Snake, with reasons",
    "custom_environment.py": "an environment for reinforcement learning, to be changed",
    "config.yaml": "settings to start from",
    "starter": "the built-in model as a folder",
}


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("--overwrite", action="store_true", help="replace samples that were changed")


def run(args: argparse.Namespace, config: ToolkitConfig, console: Console) -> CommandResult:
    """Write the samples and say what can be tried with each."""
    from sample_world.samples import write_samples

    folder = ensure_output_dir(Path(args.output_dir or config.common.data_dir))
    files = write_samples(folder, overwrite=args.overwrite)
    counts = Counter(file.path.relative_to(folder).parts[0] for file in files)
    for name, description in DESCRIPTIONS.items():
        many = f" ({counts[name]} files)" if counts[name] > 1 else ""
        console.info(f"{folder / name}: {description}{many}")
    kept = [file.path for file in files if file.status == "kept"]
    if kept:
        console.warn(f"kept {len(kept)} changed files as they are, first {kept[0]}; --overwrite replaces them")
    place = shlex.quote(str(folder))
    console.info(f"next: python main.py train-lora --train-data {place}/train.jsonl --preset tiny_cpu")
    console.info(f"      python main.py extract {place}/documents {place}/extracted")
    return CommandResult({"output_dir": str(folder), "files": {str(file.path): file.status for file in files}})
