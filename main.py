"""LLM Complete Toolkit: `python main.py COMMAND`.

Parses the command line, loads the settings, runs one command and turns errors into exit codes:
0 done, 1 an expected failure, 2 wrong usage or settings, 3 a bug (a report is saved),
4 done but some inputs were rejected, 130 and 143 interrupted.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from importlib import import_module
from types import FrameType, ModuleType

from commands import HELP_BY_COMMAND
from shared_utils.errors import ConfigurationError, Interrupted, LLMToolkitError
from shared_utils.processes import end_process, is_main_process, local_index, process_index

VERSION = "0.1.0"

# Worker threads of torch that wait must sleep: spinning, they take the processor from the thread they
# wait for as soon as anything else runs (a tiny training run: 75 seconds instead of 6). Read by OpenMP when
# torch is loaded, so it is set before any import that could do that.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    as_json = "--json" in words
    _listen_to_signals()
    try:
        return _run(words)
    except LLMToolkitError as error:
        return _tell(error, as_json)
    except KeyboardInterrupt:
        return _tell_interrupted(Interrupted(signal.SIGINT), as_json)
    except Interrupted as interruption:
        return _tell_interrupted(interruption, as_json)
    except BrokenPipeError:
        # The reader of our output is gone (`| head`); nothing is left to tell it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        return _tell(_system_error(error), as_json)
    except MemoryError:
        hint = "close other programs, or use a smaller model, batch or chunk size"
        return _tell(LLMToolkitError("the memory of this machine is used up", hint=hint), as_json)
    except Exception as error:
        return _tell_bug(error, words, as_json)


def _run(words: list[str]) -> int:
    if "--version" in words[:1]:
        print(f"llm-toolkit {VERSION}")
        return 0
    if not words or words[0] in ("-h", "--help"):
        print(_overview())
        return 0 if words else 2
    # Only a call that names a command needs the settings; the overview above stays instant.
    from commands.options import Parser, add_global_options

    global_parser = Parser(prog="main.py", add_help=False)
    add_global_options(global_parser)
    args, rest = global_parser.parse_known_args(words)
    name = next((word for word in rest if not word.startswith("-")), None)
    if name is None:
        if "-h" in rest or "--help" in rest:
            print(_overview())
            return 0
        raise ConfigurationError("a command is missing", hint="python main.py --help lists the commands")
    module = _command_module(name)
    parser = Parser(prog=f"main.py {name}", description=HELP_BY_COMMAND[name], epilog=f"example:\n  {module.EXAMPLE}")
    module.configure(parser)
    add_global_options(parser)
    rest.remove(name)
    try:
        args, unknown = parser.parse_known_args(rest, args)
    except SystemExit:  # argparse has printed the help
        return 0
    if unknown:
        parser.refuse(unknown)
    return _run_command(module, args, parser)


def _run_command(module: ModuleType, args: argparse.Namespace, parser: argparse.ArgumentParser) -> int:
    from commands.options import load_settings
    from shared_utils.console import Console
    from shared_utils.file_utils import to_json
    from shared_utils.training_logging import TrainingLoggingUtils

    args.loaded = load_settings(args, parser)
    config = args.loaded.config
    console = Console(json_output=args.json, quiet=args.quiet)
    TrainingLoggingUtils.set_up(
        config.common.log_level if is_main_process() else "ERROR", quiet=args.quiet and is_main_process()
    )
    for warning in args.loaded.warnings:
        console.warn(warning)
    result = module.run(args, config, console)
    if args.json and is_main_process():
        print(to_json(result.summary))
    sys.stdout.flush()
    return int(result.exit_code)


def _command_module(name: str) -> ModuleType:
    if name not in HELP_BY_COMMAND:
        from shared_utils.settings import nearest

        guess = nearest(name, HELP_BY_COMMAND)
        hint = f"did you mean {guess}?" if guess else "python main.py --help lists the commands"
        raise ConfigurationError(f"unknown command: {name}", hint=hint)
    return import_module("commands." + name.replace("-", "_"))


def _overview() -> str:
    width = max(map(len, HELP_BY_COMMAND)) + 2
    lines = [
        "LLM Complete Toolkit: from documents or chats to a fine-tuned model on your own machine",
        "",
        "usage: python main.py COMMAND [OPTIONS]",
        "",
        "commands:",
        *(f"  {name:{width}}{help_text}" for name, help_text in HELP_BY_COMMAND.items()),
        "",
        "python main.py COMMAND --help tells the options of one command",
        "first steps: python main.py create-samples, then python main.py pipeline",
    ]
    return "\n".join(lines)


def _listen_to_signals() -> None:
    try:
        # A parent may have left Ctrl-C ignored; without this it would do nothing here.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, _stop)
    except ValueError:
        pass  # not the main thread: the program that embeds us listens itself


def _stop(signal_number: int, frame: FrameType | None) -> None:
    raise Interrupted(signal_number)


def _tell(error: LLMToolkitError, as_json: bool) -> int:
    from shared_utils.console import printable

    # The processes of a machine have the same command line: one word about it is enough.
    if error.is_told_elsewhere or (isinstance(error, ConfigurationError) and local_index() > 0):
        return error.exit_code
    if as_json and is_main_process():
        from shared_utils.file_utils import to_json

        print(to_json({"error": {"type": type(error).__name__, "message": error.message, "hint": error.hint}}))
    who = "" if is_main_process() else f"process {process_index()}: "
    print(f"{who}error: {printable(error.message)}", file=sys.stderr)
    if error.hint:
        print(f"hint: {printable(error.hint)}", file=sys.stderr)
    return error.exit_code


def _tell_interrupted(interruption: Interrupted, as_json: bool) -> int:
    if not is_main_process():
        return 128 + interruption.signal_number
    hint = interruption.hint or "run the same command again to go on"
    if as_json:
        from shared_utils.file_utils import to_json

        print(to_json({"error": {"type": "Interrupted", "message": "stopped before the end", "hint": hint}}))
    print(f"\nstopped; what was done is saved\nhint: {hint}", file=sys.stderr)
    return 128 + interruption.signal_number


def _system_error(error: OSError) -> LLMToolkitError:
    import errno

    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        hint = "make room and run the same command again; what was written before is intact"
        return LLMToolkitError(f"the disk is full: {error.filename or error}", hint=hint)
    return LLMToolkitError(f"{error.filename or 'the system'}: {error.strerror or error}", hint="check the path")


def _tell_bug(error: Exception, words: Sequence[str], as_json: bool) -> int:
    from shared_utils.bug_report import save_bug_report

    path = save_bug_report(error, words, VERSION)
    message = f"this is a bug in the toolkit, not your fault: {type(error).__name__}: {error}"
    bug = LLMToolkitError(message, hint=f"the full report is in {path}; please send it to the maintainers")
    _tell(bug, as_json)
    return 3


if __name__ == "__main__":
    end_process(main())
