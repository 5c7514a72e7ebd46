"""The merged settings: defaults < configs/config.yaml < --config files in order < --set and flags.

Each value remembers where it came from, so that `config` can print it and an error can name it.
"""

from __future__ import annotations

import os
import re
import types
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Union, get_args, get_origin

import yaml
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from configs.fields import Override, field_at, leaf_fields, literal_choices, section_class
from configs.schema import ToolkitConfig
from shared_utils.errors import ConfigurationError
from shared_utils.settings import Settings, nearest

DEFAULT_FILE = Path(__file__).with_name("config.yaml")
PRESETS_DIR = Path(__file__).with_name("presets")
MAX_YAML_NODES = 10_000  # far above any real settings file; ends alias bombs

# Short forms that earlier documents used; taken with a warning.
ALIASES = {
    "document_processing.chunk_size": "document_processing.lm_studio.chunk_size",
    "document_processing.output_format": "document_processing.lm_studio.output_format",
    "document_processing.overlap_size": "document_processing.lm_studio.overlap_size",
}

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_ENV = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


@dataclass(frozen=True)
class LoadedConfig:
    """The settings, where each came from, and what to tell about them."""

    config: ToolkitConfig
    sources: Mapping[str, str]
    warnings: tuple[str, ...] = ()


def load_config(
    files: Sequence[str | Path] = (), overrides: Sequence[Override] = (), *, default_file: Path | None = DEFAULT_FILE
) -> LoadedConfig:
    """Merge and check all sources.

    Raises:
        ConfigurationError: an unknown or duplicate key, a wrong type or range, a rule between two
            settings broken, or a file that cannot be read; names file, line and key.
    """
    layers: list[list[Override]] = []
    paths = [Path(file) for file in files]
    if default_file is not None and default_file.exists():
        paths.insert(0, default_file)
    for path in paths:
        layers.append(read_settings_file(path))
    layers.append([_checked_path(override) for override in overrides])

    warnings: list[str] = []
    merged: dict[str, Override] = {}
    for layer in layers:
        values = {entry.path: entry for entry in (_without_alias(entry, warnings) for entry in layer)}
        _validate(values, rules_between_settings=False)
        merged.update(values)
    config = _validate(merged, rules_between_settings=True)
    sources = {path: merged[path].source if path in merged else "default" for path, _ in leaf_fields()}
    return LoadedConfig(config, sources, tuple(warnings))


def preset_file(name: str) -> Path:
    """The file of a ready-made set of settings.

    Raises:
        ConfigurationError: there is no preset of this name.
    """
    path = PRESETS_DIR / f"{name}.yaml"
    known = sorted(file.stem for file in PRESETS_DIR.glob("*.yaml"))
    if name not in known:
        guess = nearest(name, known)
        hint = f"did you mean {guess}? known: " if guess else "known: "
        raise ConfigurationError(f"no preset '{name}'", hint=hint + ", ".join(known))
    return path


def parse_set(text: str) -> Override:
    """`section.key=value` of one `--set`; the value is read as YAML where the key is not text."""
    path, separator, raw = text.partition("=")
    if not separator or not path.strip():
        raise ConfigurationError(f"--set {text}: 'section.key=value' is needed", hint="for example --set common.seed=7")
    path = path.strip()
    field = _checked_path(Override(path, None, "--set")).path
    annotation = field_at(ALIASES.get(field, field)).annotation
    if _is_text(annotation) and raw.strip() not in ("null", "~"):
        return Override(path, raw, f"--set {path}")
    try:
        return Override(path, yaml.safe_load(raw), f"--set {path}")
    except yaml.YAMLError:
        return Override(path, raw, f"--set {path}")


def read_settings_file(path: Path) -> list[Override]:
    """Every value of a YAML file with its line, keys checked against the schema."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise ConfigurationError(f"settings file not found: {path}", hint="check the path after --config") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path} cannot be read: {error}", hint="save it as UTF-8 text") from error
    try:
        loader = _Loader(text)
        root = loader.get_single_node()
    except (yaml.YAMLError, RecursionError) as error:
        raise _yaml_error(path, error, text) from None
    if root is None or _is_null(root):
        return []
    return list(_walk(path, loader, root, (), ToolkitConfig, [MAX_YAML_NODES]))


def to_yaml(config: ToolkitConfig, *, with_descriptions: bool = False) -> str:
    """The settings as YAML; with descriptions it is the text of `configs/config.yaml`."""
    lines: list[str] = []
    _write_section(config, 0, with_descriptions, lines)
    return "\n".join(lines) + "\n"


def _write_section(section: Settings, depth: int, with_descriptions: bool, lines: list[str]) -> None:
    indent = "  " * depth
    for name, field in type(section).model_fields.items():
        value = getattr(section, name)
        comment = f"  # {field.description}" if with_descriptions and field.description else ""
        if isinstance(value, Settings):
            if with_descriptions and depth == 0 and lines:
                lines.append("")
            lines.append(f"{indent}{name}:{comment}")
            _write_section(value, depth + 1, with_descriptions, lines)
        else:
            plain = type(section).model_validate(section).model_dump(mode="json")[name]
            text = yaml.safe_dump(plain, default_flow_style=True, allow_unicode=True, width=10**6)
            lines.append(f"{indent}{name}: {text.removesuffix('...' + chr(10)).strip()}{comment}")


def _walk(
    path: Path, loader: Any, node: Any, keys: tuple[str, ...], model: type[Settings], budget: list[int]
) -> Iterator[Override]:
    if not isinstance(node, yaml.MappingNode):
        where = ".".join(keys) or "the file"
        raise ConfigurationError(
            f"{_at(path, node)}: {where} must be a section of 'key: value' lines",
            hint=f"known keys here: {', '.join(model.model_fields)}",
        )
    seen: set[str] = set()
    for key_node, value_node in node.value:
        budget[0] -= 1
        if budget[0] < 0:
            raise ConfigurationError(f"{path}: more than {MAX_YAML_NODES} entries", hint="remove the aliases")
        key = str(key_node.value)
        dotted = ".".join((*keys, key))
        if key in seen:
            raise ConfigurationError(f"{_at(path, key_node)}: {dotted} stands twice", hint="remove one of the two")
        seen.add(key)
        field = model.model_fields.get(key)
        if field is None and dotted not in ALIASES:
            raise _unknown_key(_at(path, key_node), dotted)
        section = section_class(field) if field is not None else None
        if section is None:
            yield Override(dotted, _value(path, loader, value_node), _at(path, key_node))
        elif not _is_null(value_node):
            yield from _walk(path, loader, value_node, (*keys, key), section, budget)


def _value(path: Path, loader: Any, node: Any) -> Any:
    try:
        value = loader.construct_object(node, deep=True)
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise _yaml_error(path, error) from None
    return _expand(value, _at(path, node))


def _expand(value: Any, where: str) -> Any:
    if isinstance(value, list):
        return [_expand(item, where) for item in value]
    if not isinstance(value, str):
        return value

    def replace(match: re.Match[str]) -> str:
        name = match.group(1)
        if name not in os.environ:
            raise ConfigurationError(
                f"{where}: the environment variable {name} is not set", hint=f"export {name}=..., or write the value"
            )
        return os.environ[name]

    return _ENV.sub(replace, value)


def _checked_path(override: Override) -> Override:
    known = dict(leaf_fields())
    if override.path not in known and override.path not in ALIASES:
        raise _unknown_key(override.source, override.path)
    return override


def _without_alias(entry: Override, warnings: list[str]) -> Override:
    if entry.path not in ALIASES:
        return entry
    target = ALIASES[entry.path]
    warnings.append(f"{entry.source}: {entry.path} is an old name of {target}")
    return Override(target, entry.value, entry.source)


def _unknown_key(where: str, dotted: str) -> ConfigurationError:
    known = [path for path, _ in leaf_fields()]
    sections = sorted({path.rsplit(".", depth)[0] for path in known for depth in range(1, path.count(".") + 1)})
    if dotted in sections:
        return ConfigurationError(
            f"{where}: {dotted} is a section, not a setting",
            hint=f"name one key of it, for example {next(path for path in known if path.startswith(dotted + '.'))}",
        )
    guess = nearest(dotted, known + sections) or next(
        (path for path in known if path.rsplit(".", 1)[-1] == dotted.rsplit(".", 1)[-1]), None
    )
    hint = f"did you mean {guess}?" if guess else "python main.py config prints every key"
    return ConfigurationError(f"{where}: unknown key {dotted}", hint=hint)


def _validate(values: Mapping[str, Override], *, rules_between_settings: bool) -> ToolkitConfig:
    nested: dict[str, Any] = {}
    for path, entry in values.items():
        *sections, name = path.split(".")
        target = nested
        for section in sections:
            target = target.setdefault(section, {})
        target[name] = entry.value
    try:
        return ToolkitConfig.model_validate(nested)
    except ValidationError as error:
        problems = [(detail, _setting_of(detail)) for detail in error.errors()]
        if not rules_between_settings:
            problems = [(detail, path) for detail, path in problems if path in values]
        if not problems:
            return ToolkitConfig()
        raise _problem(*problems[0], values, more=len({path for _, path in problems}) - 1) from None


def _setting_of(detail: ErrorDetails) -> str:
    """The dotted path of the setting, without the parts that pydantic adds for unions and list items."""
    names: list[str] = []
    model: type[Settings] | None = ToolkitConfig
    for part in detail["loc"]:
        if model is None or part not in model.model_fields:
            break
        names.append(str(part))
        model = section_class(model.model_fields[str(part)])
    return ".".join(names)


def _problem(detail: ErrorDetails, path: str, values: Mapping[str, Override], more: int) -> ConfigurationError:
    message = detail["msg"].removeprefix("Value error, ")
    tail = f" (and {more} more)" if more > 0 else ""
    if path not in values:  # a rule between several settings of one section
        named = [entry.source for key, entry in values.items() if re.search(rf"\b{key.rsplit('.', 1)[-1]}\b", message)]
        where = " and ".join(dict.fromkeys(named)) or "settings"
        return ConfigurationError(f"{where}: {path}: {message}{tail}", hint="change one of the two")
    entry = values[path]
    shown = "null" if entry.value is None else repr(entry.value)
    text = message[0].lower() + message[1:]
    return ConfigurationError(f"{entry.source}: {path} is {shown:.80}; {text}{tail}", hint=_hint_for(path, entry.value))


def _hint_for(path: str, value: Any) -> str:
    field = field_at(path)
    choices = [str(choice) for choice in literal_choices(field.annotation)]
    guess = nearest(str(value), choices) if choices else None
    if guess:
        return f"did you mean {guess}? allowed: {', '.join(choices)}"
    if choices:
        return f"allowed: {', '.join(choices)}"
    return f"{field.description}; default {field.default}"


def _is_text(annotation: Any) -> bool:
    parts = set(get_args(annotation)) if get_origin(annotation) in (Union, types.UnionType) else {annotation}
    return str in parts and parts <= {str, type(None)}


def _is_null(node: Any) -> bool:
    return isinstance(node, yaml.ScalarNode) and node.tag == "tag:yaml.org,2002:null"


def _at(path: Path, node: Any) -> str:
    return f"{path}, line {node.start_mark.line + 1}"


def _yaml_error(path: Path, error: BaseException, text: str = "") -> ConfigurationError:
    mark = getattr(error, "problem_mark", None)
    where = f"{path}, line {mark.line + 1}" if mark else str(path)
    problem = getattr(error, "problem", None) or type(error).__name__
    lines = text.splitlines()
    has_tab = mark is not None and mark.line < len(lines) and "\t" in lines[mark.line]
    hint = "use spaces, not tabs, to indent" if has_tab else "check quotes, brackets and indentation"
    return ConfigurationError(f"{where}: not valid YAML: {problem}", hint=hint)
