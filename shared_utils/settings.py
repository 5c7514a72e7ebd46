"""The base of every settings class, and the nearest known name for a mistyped one."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError, ValidationInfo, field_validator

from shared_utils.errors import ConfigurationError


class Settings(BaseModel):
    """Frozen, typed settings; unknown keys are refused.

    Subclasses declare each setting once: `chunk_size: int = Field(512, ge=1, description="...")`.
    """

    # Built at the first check, so that help, which checks nothing, does not pay for it.
    model_config = ConfigDict(
        extra="forbid", frozen=True, allow_inf_nan=False, protected_namespaces=(), defer_build=True
    )

    @field_validator("*", mode="before")
    @classmethod
    def _true_is_not_one(cls, value: Any, info: ValidationInfo) -> Any:
        # pydantic takes `true` for the number 1; in a YAML file that is a mistake worth telling.
        annotation = cls.model_fields[info.field_name or ""].annotation
        if isinstance(value, bool) and annotation in (int, float, int | None, float | None):
            raise ValueError("a number is needed, not true or false")
        return value


SettingsT = TypeVar("SettingsT", bound=Settings)


def checked(kind: type[SettingsT], values: dict[str, Any]) -> SettingsT:
    """Settings made by a program, checked like those of a file.

    Raises:
        ConfigurationError: names the setting and what is wrong with it.
    """
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        detail = error.errors()[0]
        where = ".".join(str(part) for part in detail["loc"])
        message = detail["msg"].removeprefix("Value error, ")
        shown = (
            f" is {detail['input']!r:.80};" if where and not isinstance(detail["input"], dict) else ":" * bool(where)
        )
        known = ", ".join(kind.model_fields)
        raise ConfigurationError(f"{where}{shown} {message}".strip(), hint=f"settings here: {known}") from None


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that `name` was probably meant to be, or None when nothing is close."""
    by_folded = {word.casefold(): word for word in known}
    matches = difflib.get_close_matches(name.casefold(), list(by_folded), n=1, cutoff=0.5)
    return by_folded[matches[0]] if matches else None
