"""`models`: the registry of finished models."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

from configs.schema import ToolkitConfig
from deployment.model_registry import ModelRegistry, RegisteredModel
from shared_utils.console import CommandResult, Console
from shared_utils.errors import ConfigurationError
from shared_utils.settings import nearest

EXAMPLE = "python main.py models use support_bot"
VERBS = """\
what to do:
  list                    all of them, or those with --tag TAG
  show NAME               one of them, and whether its weights are still those that were registered
  use NAME                the one that chat takes when none is named
  tag NAME TAG [TAG ...]  words to find it by; --remove-tag TAG takes one off
  add NAME FOLDER         register a run or model folder; the training commands do it with --register NAME
  remove NAME             forget it; with --delete-files its folder is deleted, too"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.description = f"{parser.description}\n\n{VERBS}"
    parser.add_argument(
        "verb",
        nargs="?",
        default="list",
        metavar="{list,show,use,tag,add,remove}",
        help="what to do, see above (default list)",
    )
    parser.add_argument("name", metavar="NAME", nargs="?", help="of a registered model")
    parser.add_argument("values", metavar="TAG", nargs="*", help="tags, or the folder of add")
    parser.add_argument("--tag", metavar="TAG", help="with list: only models with this tag")
    parser.add_argument("--remove-tag", action="append", default=[], metavar="TAG", help="with tag: take this one off")
    parser.add_argument("--delete-files", action="store_true", help="with remove: delete the folder of the model, too")


def run(args: argparse.Namespace, config: ToolkitConfig, console: Console) -> CommandResult:
    """Do what the verb says."""
    actions: dict[str, Callable[[argparse.Namespace, ModelRegistry, Console], dict[str, Any]]] = {
        "list": _list, "show": _show, "use": _use, "tag": _tag, "add": _add, "remove": _remove,
    }  # fmt: skip
    if args.verb not in actions:
        guess = nearest(args.verb, actions)
        raise ConfigurationError(
            f"models {args.verb} is unknown", hint=f"did you mean {guess}?" if guess else f"known: {', '.join(actions)}"
        )
    if args.verb == "list" and args.name is not None:
        raise ConfigurationError(f"models list: {args.name!r} is too much", hint=f"models show {args.name}, or --tag")
    if args.verb != "list" and args.name is None:
        raise ConfigurationError(f"models {args.verb} needs the name of a model", hint=EXAMPLE)
    most = {"tag": None, "add": 1}.get(args.verb, 0)
    if most is not None and len(args.values) > most:
        raise ConfigurationError(f"models {args.verb}: {args.values[most]!r} is too much", hint=EXAMPLE)
    return CommandResult(actions[args.verb](args, ModelRegistry(config.common.registry_dir), console))


def _list(args: argparse.Namespace, registry: ModelRegistry, console: Console) -> dict[str, Any]:
    tag = args.tag
    models = [one for one in registry.models() if tag is None or tag in one["tags"]]
    default = registry.default()
    if not models:
        console.info(f"no model in {registry.folder}" + (f" has the tag {tag}" if tag else ""))
        console.info("next: python main.py train-lora --train-data FILE --register NAME")
    else:
        rows = [
            ["", "name", "method", "base", "held-out loss", "tags", "folder"],
            *(_row(one, default) for one in models),
        ]
        widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
        for row in rows:
            console.info("  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip())
    return {"registry": str(registry.folder), "default": default, "models": models}


def _row(model: RegisteredModel, default: str | None) -> list[str]:
    loss = model["metrics"].get("eval_loss")
    return [
        "*" if model["name"] == default else "",
        model["name"],
        model["method"],
        model["base"] or "-",
        f"{loss:.4f}" if loss is not None else "-",
        ", ".join(model["tags"]) or "-",
        model["folder"],
    ]


def _show(args: argparse.Namespace, registry: ModelRegistry, console: Console) -> dict[str, Any]:
    model = registry.get(args.name)
    state = registry.state(args.name)
    words = {
        "ok": "as registered",
        "changed": "not those that were registered; models add brings the entry up to date",
        "gone": "gone, with their folder",
    }
    figures = {name: value for name, value in model["metrics"].items() if value is not None}
    facts = {
        "name": model["name"] + (" (the default of chat)" if registry.default() == args.name else ""),
        "folder": model["folder"],
        "method": model["method"],
        "base": model["base"] or "-",
        "registered": model["registered"],
        "tags": ", ".join(model["tags"]) or "-",
        "weights": words[state],
        **{name: f"{value:,}" if isinstance(value, int) else f"{value:.4f}" for name, value in figures.items()},
    }
    for name, text in facts.items():
        console.info(f"{name:<16}{text}")
    return {**model, "state": state, "default": registry.default() == args.name}


def _use(args: argparse.Namespace, registry: ModelRegistry, console: Console) -> dict[str, Any]:
    model = registry.use(args.name)
    console.info(f"chat takes {args.name} when no model is named\nnext: python main.py chat")
    return {**model, "default": True}


def _tag(args: argparse.Namespace, registry: ModelRegistry, console: Console) -> dict[str, Any]:
    if not args.values and not args.remove_tag:
        raise ConfigurationError("models tag needs a tag", hint=f"python main.py models tag {args.name} best")
    model = registry.tag(args.name, args.values, args.remove_tag)
    console.info(f"{args.name}: {', '.join(model['tags']) or 'no tags'}")
    return {**model}


def _add(args: argparse.Namespace, registry: ModelRegistry, console: Console) -> dict[str, Any]:
    if not args.values:
        raise ConfigurationError(
            "models add needs the folder of the model", hint=f"python main.py models add {args.name} outputs/first"
        )
    model = registry.add(args.name, args.values[0])
    console.info(f"{model['folder']} is registered as {args.name}")
    return {**model}


def _remove(args: argparse.Namespace, registry: ModelRegistry, console: Console) -> dict[str, Any]:
    model = registry.remove(args.name, delete_files=args.delete_files)
    console.info(f"{args.name} is forgotten; {model['folder']} {'is deleted' if args.delete_files else 'stays'}")
    return {**model, "files_deleted": args.delete_files}
