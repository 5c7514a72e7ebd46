"""What `train-lora`, `train-qlora`, `train-full` and `train-dpo` share: one set of flags, one way through."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from commands.options import add_run_options, add_setting, run_dir_of
from configs.schema import ToolkitConfig
from shared_utils.console import CommandResult, Console
from training_methods.transfer_learning.settings import Method

TRAINING_FLAGS = {
    "--epochs": "num_train_epochs",
    "--max-steps": "max_steps",
    "--batch-size": "per_device_train_batch_size",
    "--gradient-accumulation-steps": "gradient_accumulation_steps",
    "--learning-rate": "learning_rate",
    "--max-length": "max_length",
    "--eval-split": "eval_split",
    "--train-on-prompt": "train_on_prompt",
    "--strict": "strict",
    "--chat-template": "chat_template",
    "--gradient-checkpointing": "gradient_checkpointing",
    "--packing": "packing",
    "--precision": "precision",
}
ADAPTER_FLAGS = {
    "--lora-r": "lora_r",
    "--lora-alpha": "lora_alpha",
    "--lora-dropout": "lora_dropout",
    "--target-modules": "target_modules",
}


def add_training_arguments(parser: argparse.ArgumentParser, method: Method) -> None:
    """Add the arguments of one way of fine-tuning."""
    section = f"transfer_learning.{method}"
    parser.add_argument(
        "--train-data", nargs="+", required=True, metavar="FILE", help="training records: .jsonl, .json, .csv, .parquet"
    )
    parser.add_argument("--eval-data", metavar="FILE", help="held-out records; default: a share of the training data")
    parser.add_argument(
        "--weights",
        nargs="+",
        type=_weight,
        metavar="W",
        help="proportion of each --train-data in the mixture; no record is taken twice (default: all records)",
    )
    parser.add_argument(
        "--max-samples-per-source", type=_count, metavar="N", help="at most so many records of each --train-data"
    )
    add_setting(parser, "--model", f"{section}.model_name")
    if method != "full":
        for flag, setting in ADAPTER_FLAGS.items():
            add_setting(parser, flag, f"{section}.{setting}")
    for flag, setting in TRAINING_FLAGS.items():
        if method == "dpo" and setting == "train_on_prompt":
            continue  # the prompts of a pair are the same: their loss falls out
        add_setting(parser, flag, f"{section}.training.{setting}")
    precision = parser.add_mutually_exclusive_group()
    for name in ("bf16", "fp16"):
        precision.add_argument(
            f"--{name}",
            action="store_const",
            const=name,
            dest=f"setting:{section}.training.precision",
            default=argparse.SUPPRESS,
            help=f"compute in {name}",
        )
    add_run_options(parser, preset="tiny_cpu")
    parser.add_argument(
        "--show-example",
        type=_count,
        default=0,
        metavar="N",
        help="print N records as the model sees them, with what it learns in colour or in brackets",
    )
    parser.add_argument("--register", metavar="NAME", help="give the finished model this name in the registry")
    if method == "full":
        parser.set_defaults(merge=False)
    else:
        parser.add_argument("--merge", action="store_true", help="write the adapter merged into its base, too")
    parser.add_argument("--dry-run", action="store_true", help="say what would be done; write nothing")


def run_training(method: Method, args: argparse.Namespace, config: ToolkitConfig, console: Console) -> CommandResult:
    """Train, then say what was written and what to type next."""
    from commands.requests import fine_tune_request
    from workflows.fine_tuning import dry_run, fine_tune
    from workflows.preference_figures import preferences_in_words

    request = fine_tune_request(
        config,
        method,
        run_dir_of(method, args, Path(config.common.output_dir)),
        console,
        train_data=args.train_data,
        eval_data=args.eval_data,
        resume=args.resume,
        merge=args.merge,
        weights=args.weights,
        max_samples_per_source=args.max_samples_per_source,
        show_examples=args.show_example,
        register=args.register,
    )
    if args.dry_run:
        return CommandResult(dry_run(request, console))
    summary: dict[str, Any] = fine_tune(request, console)
    if summary["eval_loss"] is not None:
        console.info(f"held-out loss: base {summary['base_eval_loss']:.4f}, tuned {summary['eval_loss']:.4f}")
    for line in preferences_in_words(summary):
        console.info(line)
    console.info(
        f"{summary['steps']} steps in {summary['seconds']:.0f} seconds, at most {summary['peak_memory_mb']:,.0f} MB of "
        f"memory; written to {request.run_dir}"
    )
    console.info(f'next: python main.py chat {args.register or request.run_dir} --prompt "..."')
    return CommandResult(summary)


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"'{text}' is not a whole number above 0")
    return int(text)


def _weight(text: str) -> float:
    try:
        weight = float(text)
    except ValueError:
        weight = -1.0
    if not 0 <= weight < float("inf"):
        raise argparse.ArgumentTypeError(f"'{text}' is not a number of 0 or more")
    return weight
