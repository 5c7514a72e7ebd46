"""Write what comes from the code: configs/config.yaml, docs/cli.md and the tables of docs/scaling.md."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
os.environ["COLUMNS"] = "100"  # argparse wraps help to the terminal; a file has one width


def default_config() -> str:
    """The text of `configs/config.yaml`."""
    from configs.loader import to_yaml
    from configs.schema import ToolkitConfig

    head = "# Every setting with its default. Written by `make generated`; put changes into a file of your own.\n\n"
    return head + to_yaml(ToolkitConfig(), with_descriptions=True)


def command_reference() -> str:
    """The text of `docs/cli.md`: the help of every command."""
    from commands import HELP_BY_COMMAND
    from commands.options import Parser, add_global_options

    parts = ["# The command line\n\nWritten by `make generated` from the commands themselves.\n"]
    for name, help_text in HELP_BY_COMMAND.items():
        module = import_module("commands." + name.replace("-", "_"))
        parser = Parser(prog=f"main.py {name}", description=help_text, epilog=f"example:\n  {module.EXAMPLE}")
        module.configure(parser)
        add_global_options(parser)
        parts.append(f"## {name}\n\n```text\n{parser.format_help()}```\n")
    return "\n".join(parts)


def scaling_page() -> str:
    """The text of `docs/scaling.md`, its tables anew."""
    from training_methods.transfer_learning.scaling import memory_table, traffic_table

    text = (ROOT / "docs" / "scaling.md").read_text(encoding="utf-8")
    for name, table in {"memory": memory_table(), "traffic": traffic_table()}.items():
        start = f"<!-- {name}: written by scripts/write_generated.py -->\n"
        before, rest = text.split(start)
        text = before + start + table + "\n<!-- end -->" + rest.split("<!-- end -->", 1)[1]
    return text


def main() -> int:
    """Write all of them."""
    (ROOT / "docs" / "scaling.md").write_text(scaling_page(), encoding="utf-8")
    (ROOT / "configs" / "config.yaml").write_text(default_config(), encoding="utf-8")
    (ROOT / "docs" / "cli.md").write_text(command_reference(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
