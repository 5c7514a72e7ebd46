"""`chat`: talk to a model, ask it one question, or have a file of questions answered."""

from __future__ import annotations

import argparse
import io
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from commands.model_argument import MODEL_HELP, default_model, naming_known_models, resolve_model
from commands.options import add_setting
from configs.schema import ToolkitConfig
from shared_utils.console import CommandResult, Console, printable
from shared_utils.errors import ConfigurationError, DataValidationError
from shared_utils.file_utils import open_binary, to_json, validate_file_path
from shared_utils.model_names import STARTER, STARTER_NOTICE

if TYPE_CHECKING:
    from deployment.chat_interface import ChatInterface
    from shared_utils.records import Message

EXAMPLE = 'python main.py chat starter --prompt "What is a router?"'


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("model", metavar="MODEL", nargs="?", help=f"{MODEL_HELP} (default: the one of models use)")
    group = parser.add_mutually_exclusive_group()
    group.add_argument("--prompt", metavar="TEXT", help="ask this one question and end")
    group.add_argument("--prompts-file", metavar="FILE", help="answer every line of a file, as JSON lines")
    parser.add_argument("--log", metavar="FILE", help="append each turn to this conversation log")
    add_setting(parser, "--temperature", "chat.temperature")
    add_setting(parser, "--top-p", "chat.top_p")
    add_setting(parser, "--max-new-tokens", "chat.max_new_tokens")
    add_setting(parser, "--system", "chat.system")


def run(args: argparse.Namespace, config: ToolkitConfig, console: Console) -> CommandResult:
    """Load the model, answer what is asked, and say how long it took."""
    place = None
    if args.model is None:
        args.model, place = default_model(config)
        if not console.quiet:
            print(f"model: {args.model}", file=sys.stderr)  # stdout is for answers
    questions = _questions(args)
    log_turn = _turn_log(args.log, args.model, config)
    interface = _load(args.model, place, config, console)
    if questions is None:
        interface.chat(log_turn)
        return CommandResult({"model": args.model})
    replies: list[dict[str, object]] = []
    for question in questions:
        reply = interface.answer(question)
        replies.append(
            {
                "prompt": question,
                "reply": reply.text,
                "tokens": reply.tokens,
                "seconds": round(reply.seconds, 3),
            }
        )
        log_turn([*interface.opening(question), {"role": "assistant", "content": reply.text}])
        if not console.json_output:
            print(printable(reply.text) if args.prompt else _harmless_json(replies[-1]), flush=True)
    return CommandResult({"model": args.model, **(replies[0] if args.prompt else {"replies": replies})})


def _questions(args: argparse.Namespace) -> list[str] | None:
    """What to ask, read before the model loads; None when a person is to be talked to."""
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(errors="replace")  # one wrong byte must not end the conversation
    if args.prompt is not None:
        if not args.prompt.strip():
            raise ConfigurationError("--prompt is empty", hint=EXAMPLE)
        return [args.prompt]
    if args.prompts_file:
        return _lines(Path(args.prompts_file))
    if not args.json:
        return None
    if sys.stdin.isatty():
        raise ConfigurationError("--json needs something to ask", hint="add --prompt TEXT or --prompts-file FILE")
    questions = [line.strip() for line in sys.stdin if line.strip()]
    if not questions:
        raise DataValidationError("standard input holds no questions", hint="write one question a line")
    return questions


def _lines(path: Path) -> list[str]:
    with open_binary(validate_file_path(path, extensions=None)) as file:
        try:
            text = file.read().decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise DataValidationError(
                f"{path} is not UTF-8 (byte {error.start + 1})", hint="save it as UTF-8"
            ) from None
    lines = [line.strip() for line in text.split("\n") if line.strip()]
    if not lines:
        raise DataValidationError(f"{path} holds no questions", hint="write one question a line")
    return lines


def _load(name: str, place: str | None, config: ToolkitConfig, console: Console) -> ChatInterface:
    chat = config.chat
    place = place or resolve_model(name, config, console)  # a wrong name is told before anything heavy loads
    if name == STARTER and not console.quiet:
        print(STARTER_NOTICE, file=sys.stderr)
    with naming_known_models(name, config):
        from deployment.chat_interface import ChatInterface

        return ChatInterface(
            place,
            device=config.common.device,
            temperature=chat.temperature,
            top_p=chat.top_p,
            max_new_tokens=chat.max_new_tokens,
            system=chat.system,
            seed=config.common.seed,
        )


def _turn_log(path: str | None, model: str, config: ToolkitConfig) -> Callable[[Sequence[Message]], None]:
    """What appends a turn to the log; does nothing where no log is wanted."""
    if path is None:
        return lambda messages: None
    from conversation_data.conversation_logger import ConversationLogger

    if Path(path).is_dir():
        raise ConfigurationError(f"--log {path} is a folder", hint="name a file, for example conversations.jsonl")
    logger = ConversationLogger(path)
    metadata = {"model": model, "temperature": config.chat.temperature, "top_p": config.chat.top_p}

    def append(messages: Sequence[Message]) -> None:
        logger.log_messages(messages, metadata)

    return append


def _harmless_json(row: dict[str, object]) -> str:
    """One line of JSON that cannot steer the terminal: what could is written as an escape of JSON."""
    return "".join(ch if printable(ch) == ch else json.dumps(ch)[1:-1] for ch in to_json(row))
