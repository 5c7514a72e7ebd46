"""Arguments: the ones every command takes, and flags that are tied to a setting."""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from configs.fields import Override, field_at, leaf_fields, literal_choices
from shared_utils.errors import ConfigurationError
from shared_utils.settings import nearest

if TYPE_CHECKING:
    from configs.loader import LoadedConfig

SETTING_PREFIX = "setting:"
METHOD = "{method}"  # in a setting's path: the way of fine-tuning that --method names
ALGORITHM = "{algorithm}"  # the same for --algorithm


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are `ConfigurationError`s that name the nearest right word."""

    def __init__(
        self, *, prog: str, description: str | None = None, epilog: str | None = None, add_help: bool = True
    ) -> None:
        super().__init__(
            prog=prog,
            description=description,
            epilog=epilog,
            add_help=add_help,
            allow_abbrev=False,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )

    def error(self, message: str) -> NoReturn:
        """Raise what argparse would print."""
        raise ConfigurationError(message, hint=f"{self.prog} --help lists what is known")

    def refuse(self, unknown: Sequence[str]) -> NoReturn:
        """Raise for words that no argument took."""
        word = unknown[0].split("=")[0]
        guess = nearest(word, self._option_string_actions) if word.startswith("-") else None
        hint = f"did you mean {guess}?" if guess else f"{self.prog} --help lists what is known"
        raise ConfigurationError(f"unknown argument: {word}", hint=hint)


def add_global_options(parser: argparse.ArgumentParser) -> None:
    """The options of every command; accepted before and after its name."""
    group = parser.add_argument_group("options of every command")
    group.add_argument("--config", action="append", default=[], metavar="FILE", help="one more YAML; later wins")
    group.add_argument(
        "--set", action="append", default=[], metavar="SECTION.KEY=VALUE", help="one setting; wins over files"
    )
    group.add_argument(
        "--output-dir", metavar="DIR", default=None, help="where the run writes (commands that write a folder)"
    )
    add_setting(group, "--seed", "common.seed")
    add_setting(group, "--device", "common.device")
    add_setting(group, "--log-level", "common.log_level")
    group.add_argument("--json", action="store_true", help="stdout holds one JSON object, the summary")
    group.add_argument("--quiet", action="store_true", help="no progress, no log below warning")


def add_run_options(parser: argparse.ArgumentParser, preset: str) -> None:
    """Add what every training takes to begin and to go on; `preset` is the one that the help names."""
    parser.add_argument(
        "--preset", metavar="NAME", help=f"ready-made settings from configs/presets, for example {preset}"
    )
    parser.add_argument(
        "--resume",
        nargs="?",
        const="",
        metavar="CHECKPOINT",
        help="go on from the newest whole checkpoint, or this one",
    )


def run_dir_of(method: str, args: argparse.Namespace, runs_dir: Path) -> Path:
    """Where the run writes: as asked, where the run to be resumed stands, or a new folder."""
    from workflows.run_folder import newest_unfinished

    if args.output_dir:
        return Path(args.output_dir)
    if args.resume:
        return Path(args.resume).parent
    if args.resume is not None:
        return newest_unfinished(runs_dir, method)
    return runs_dir / f"{method}-{time.strftime('%Y%m%d-%H%M%S')}"


def add_setting(
    parser: argparse.ArgumentParser | argparse._ArgumentGroup,
    flag: str,
    path: str,
) -> None:
    """Tie a flag to a setting: meaning, choices and default come from its declaration.

    The text that was typed is checked by the settings, like every other source.
    """
    field = field_at(path.replace(METHOD, "lora").replace(ALGORITHM, "ppo"))
    text = str(field.description).replace("%", "%%")
    default = "that of the method" if METHOD in path else _shown_default(path, field.default)
    shown = f"{text} (default {default}; {path.replace(METHOD, 'METHOD').replace(ALGORITHM, 'ALGORITHM')})"
    options: dict[str, Any] = {"dest": SETTING_PREFIX + path, "default": argparse.SUPPRESS, "help": shown}
    if field.annotation is bool:
        parser.add_argument(flag, action=argparse.BooleanOptionalAction, **options)
        return
    choices = literal_choices(field.annotation)
    number = ("X",) if float in getattr(field.annotation, "__args__", ()) else ()
    options["metavar"] = "{" + ",".join(map(str, (*number, *choices))) + "}" if choices else _metavar(field.annotation)
    if list[str] in getattr(field.annotation, "__args__", ()):
        options["nargs"] = "+"
    parser.add_argument(flag, **options)


def overrides_of(args: argparse.Namespace, parser: argparse.ArgumentParser) -> list[Override]:
    """What was typed on the command line, `--set` first, then flags."""
    from configs.loader import parse_set  # reads YAML, which help does not need

    overrides = [parse_set(text) for text in args.set]
    flag_by_dest = {action.dest: action.option_strings[0] for action in parser._actions if action.option_strings}
    for dest, value in vars(args).items():
        if dest.startswith(SETTING_PREFIX):
            typed = value[0] if isinstance(value, list) and len(value) == 1 else value
            path = dest.removeprefix(SETTING_PREFIX)
            path = path.replace(METHOD, args.method) if METHOD in path else path
            path = _of_algorithm(path, args.algorithm, flag_by_dest[dest]) if ALGORITHM in path else path
            overrides.append(Override(path, typed, flag_by_dest[dest]))
    return overrides


def _of_algorithm(path: str, algorithm: str, flag: str) -> str:
    """The setting of an algorithm that a flag means; not every algorithm has every one."""
    own = path.replace(ALGORITHM, algorithm)
    if own not in {name for name, _ in leaf_fields()}:
        raise ConfigurationError(f"{flag} is not for --algorithm {algorithm}", hint="leave it out")
    return own


def load_settings(args: argparse.Namespace, parser: argparse.ArgumentParser) -> LoadedConfig:
    """The settings that the preset, the files and the flags of a command line make together.

    Raises:
        ConfigurationError: a file, key or value is wrong; names where it stands.
    """
    from configs.loader import load_config, preset_file  # reads YAML, which help does not need

    preset = getattr(args, "preset", None)
    files = [preset_file(preset), *args.config] if preset else args.config
    return load_config(files, overrides_of(args, parser))


def _shown_default(path: str, default: object) -> str:
    """The default in words; those of all algorithms that have the setting, where they differ."""
    if ALGORITHM in path:
        declared = dict(leaf_fields())
        fields = {name: declared.get(path.replace(ALGORITHM, name)) for name in ("ppo", "dqn", "grpo")}
        shown = {name: _shown(field.default) for name, field in fields.items() if field is not None}
        if len(set(shown.values())) > 1:
            return ", ".join(f"{text} for {name}" for name, text in shown.items())
    return _shown(default)


def _shown(default: object) -> str:
    if isinstance(default, bool):
        return "on" if default else "off"
    return "none" if default in (None, []) else str(default)


def _metavar(annotation: object) -> str:
    text = str(annotation)
    if "int" in text:
        return "N"
    return "X" if "float" in text else "TEXT"
