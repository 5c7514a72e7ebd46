"""`pipeline`: the whole way from documents to a tuned model, measured against the base."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path
from typing import Any

from commands.options import METHOD, add_setting
from configs.schema import ToolkitConfig
from shared_utils.console import CommandResult, Console
from shared_utils.errors import Interrupted

EXAMPLE = "python main.py pipeline --documents my_documents --output-dir outputs/mine"
SECTION = f"transfer_learning.{METHOD}"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("--documents", metavar="DIR", help="documents to learn (default: the built-in samples)")
    parser.add_argument(
        "--train-data", nargs="+", default=[], metavar="FILE", help="questions with answers (default: from headings)"
    )
    parser.add_argument("--eval-data", metavar="FILE", help="held-out questions (default: other words for headings)")
    add_setting(parser, "--model", f"{SECTION}.model_name")
    parser.add_argument(
        "--method", choices=["lora", "qlora", "full"], default="lora", help="how the model is tuned (default lora)"
    )
    parser.add_argument(
        "--export", nargs="+", choices=["merged"], default=["merged"], help="what is made of it (default merged)"
    )
    add_setting(parser, "--epochs", f"{SECTION}.training.num_train_epochs")
    add_setting(parser, "--batch-size", f"{SECTION}.training.per_device_train_batch_size")
    add_setting(parser, "--learning-rate", f"{SECTION}.training.learning_rate")
    add_setting(parser, "--max-length", f"{SECTION}.training.max_length")
    parser.add_argument(
        "--preset", metavar="NAME", help="ready-made settings from configs/presets, for example tiny_cpu"
    )
    parser.add_argument(
        "--resume", action="store_true", help="refuse to start anew: --output-dir must hold a pipeline to go on with"
    )


def run(args: argparse.Namespace, config: ToolkitConfig, console: Console) -> CommandResult:
    """Do every step that is not done yet, then say what the figures are and what to type next."""
    from commands.requests import fine_tune_request
    from workflows.pipeline import PipelineRequest, run_pipeline

    run_dir = Path(args.output_dir or Path(config.common.output_dir) / "pipeline")
    request = PipelineRequest(
        run_dir=run_dir,
        documents=Path(args.documents) if args.documents else None,
        train_data=tuple(args.train_data),
        eval_data=args.eval_data,
        document_processing=config.document_processing,
        comparison=config.evaluation,
        fine_tuning=fine_tune_request(config, args.method, run_dir, console),
        must_resume=args.resume,
    )
    try:
        summary = run_pipeline(request, console)
    except (Interrupted, KeyboardInterrupt) as stop:
        number = stop.signal_number if isinstance(stop, Interrupted) else 2
        raise Interrupted(number, hint="run the same command again; finished steps are not repeated") from stop
    _tell(summary, console)
    return CommandResult(summary, 4 if summary["extract"]["failed"] else 0)


def _tell(summary: dict[str, Any], console: Console) -> None:
    base, tuned = summary["base"], summary["tuned"]
    console.info("")
    console.info(f"exact match on {summary['data']['questions']} held-out questions (with 95% interval)")
    for name, figures in (("base", base), ("tuned", tuned)):
        match, perplexity = figures["exact_match"], figures["perplexity"]
        console.info(
            f"  {name:6}{match['value']:.2f} ({match['low']:.2f} to {match['high']:.2f})"
            f"   perplexity {perplexity['value']:,.1f} ({perplexity['low']:,.1f} to {perplexity['high']:,.1f})"
        )
    example = summary["replies"][0]
    console.info(f"\nquestion    {example['prompt']}")
    console.info(f"  base      {_one_line(example['base'])}")
    console.info(f"  tuned     {_one_line(example['tuned'])}")
    console.info(f"\nreport      {summary['report']}")
    console.info(f"model       {summary['exports']['merged']}")
    console.info(f"{summary['seconds']:.0f} seconds in all")
    console.info(f"next: python main.py chat {shlex.quote(summary['exports']['merged'])}")


def _one_line(text: str, width: int = 90) -> str:
    line = " ".join(text.split())
    return line if len(line) <= width else line[: width - 3] + "..."
