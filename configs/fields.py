"""The settings as a flat list of dotted paths: what flags, files and the printed configuration share."""

from __future__ import annotations

import types
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Union, get_args, get_origin

from pydantic.fields import FieldInfo

from configs.schema import ToolkitConfig
from shared_utils.settings import Settings


@dataclass(frozen=True)
class Override:
    """A value for a setting, and the file or flag that gave it."""

    path: str
    value: Any
    source: str


def leaf_fields(model: type[Settings] = ToolkitConfig, prefix: str = "") -> Iterator[tuple[str, FieldInfo]]:
    """Every setting with its dotted path, in the order of declaration."""
    for name, field in model.model_fields.items():
        section = section_class(field)
        if section:
            yield from leaf_fields(section, f"{prefix}{name}.")
        else:
            yield prefix + name, field


def field_at(path: str) -> FieldInfo:
    """The declaration of one setting; KeyError when there is none."""
    return dict(leaf_fields())[path]


def section_class(field: FieldInfo) -> type[Settings] | None:
    """The settings class of a section, or None for a single value."""
    annotation = field.annotation
    return annotation if isinstance(annotation, type) and issubclass(annotation, Settings) else None


def value_at(config: ToolkitConfig, path: str) -> Any:
    """The value of one setting by its dotted path."""
    value: Any = config
    for name in path.split("."):
        value = getattr(value, name)
    return value


def literal_choices(annotation: Any) -> tuple[Any, ...]:
    """The values of a `Literal`, also inside `Literal[...] | None`; empty for other types."""
    origin = get_origin(annotation)
    if origin in (Union, types.UnionType):
        return tuple(choice for part in get_args(annotation) for choice in literal_choices(part))
    return get_args(annotation) if str(origin) == "typing.Literal" else ()
