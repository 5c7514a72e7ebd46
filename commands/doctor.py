"""`doctor`: what this machine can do, and what to do about each gap."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path

from configs.schema import ToolkitConfig
from shared_utils.console import CommandResult, Console

EXAMPLE = "python main.py doctor"
MARKS = {"ok": "ok  ", "gap": "GAP ", "info": "    "}


def configure(parser: argparse.ArgumentParser) -> None:
    """No arguments of its own."""


def run(args: argparse.Namespace, config: ToolkitConfig, console: Console) -> CommandResult:
    """Print one line a finding; exit 1 when something that is needed is missing."""
    from workflows.machine_check import check_machine

    findings = check_machine(Path(args.output_dir or config.common.output_dir))
    for finding in findings:
        advice = f" -> {finding.advice}" if finding.advice else ""
        console.info(f"{MARKS[finding.status]}{finding.subject}: {finding.text}{advice}")
    gaps = [finding.subject for finding in findings if finding.status == "gap"]
    console.info("everything needed is here" if not gaps else f"to be mended: {', '.join(gaps)}")
    return CommandResult({"gaps": gaps, "findings": [asdict(finding) for finding in findings]}, 1 if gaps else 0)
