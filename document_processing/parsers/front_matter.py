"""The block of keys at the top of a Markdown file, as JSON-safe values.

    ---
    title: Kitchen log
    date: 2023-11-20
    ---

YAML, JSON and TOML blocks are told apart and cut off by python-frontmatter's handlers. Its `Post` is not
used: it fails on keys such as `content` and on keys that are not text.
"""

from __future__ import annotations

import base64
import math
import re
import tomllib
from dataclasses import dataclass, field
from datetime import date, datetime, time
from typing import Any

from frontmatter.default_handlers import BaseHandler, JSONHandler, YAMLHandler

from shared_utils.file_utils import to_json

MOST_CHARACTERS = 32_768  # it is repeated in every section of the file
MOST_BLOCK_CHARACTERS = 262_144
MOST_VALUES = 2_000  # ends aliases that explode
MOST_DEPTH = 20

_FIRST_LINE = re.compile(r"(?:-{3,}|\+{3,})[ \t]*\n(?=\S)|\{\n")


@dataclass(frozen=True)
class FrontMatter:
    """What stands at the top of a file.

    Attributes:
        values: the keys; empty when there are none or when they could not be read.
        lines: how many lines the block takes, with its borders; the body begins behind them.
        unreadable: the block as text, when it could not be read.
        warning: why it could not be read.
    """

    values: dict[str, Any] = field(default_factory=dict)
    lines: int = 0
    unreadable: str = ""
    warning: str = ""


class _NotUsableError(ValueError):
    """The values are too many, too deep or circular."""


def read_front_matter(text: str) -> FrontMatter:
    """The front matter of a text with `\\n` line ends. Never raises: what cannot be read is kept as text."""
    if not _FIRST_LINE.match(text):
        # Also a `---` with a blank line below: that is a rule between paragraphs.
        return FrontMatter()
    handler = next((each for each in (YAMLHandler(), JSONHandler(), _TOMLHandler()) if each.detect(text)), None)
    if handler is None:
        return FrontMatter()
    try:
        block, body = handler.split(text)
    except ValueError:
        return FrontMatter()  # nothing closes it
    # The body begins with the end of the line that closes the block.
    lines = text[: len(text) - len(body)].rstrip().count("\n") + 1
    try:
        if len(block) > MOST_BLOCK_CHARACTERS:
            raise _NotUsableError(f"it has {len(block):,} characters; the limit is {MOST_BLOCK_CHARACTERS:,}")
        values = handler.load(block)
        if isinstance(values, str):
            return FrontMatter()  # a paragraph between two rules
        if values is None:
            return FrontMatter(lines=lines)  # comments only
        if not isinstance(values, dict):
            raise _NotUsableError(f"it is a {type(values).__name__}, not a mapping")
        return FrontMatter(values=_json_safe_mapping(values), lines=lines)
    except Exception as error:  # the YAML, JSON and TOML readers each have their own family of errors
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        return FrontMatter(
            lines=lines, unreadable=block.strip("\n"), warning=f"the front matter was kept as text: {reason}"
        )


class _TOMLHandler(BaseHandler):
    """The library's own needs a further package; the standard library reads TOML as well."""

    FM_BOUNDARY = re.compile(r"^\+{3,}\s*$", re.MULTILINE)

    def load(self, fm: str) -> dict[str, Any]:
        return tomllib.loads(fm)


def _json_safe_mapping(values: dict[Any, Any]) -> dict[str, Any]:
    budget = [MOST_VALUES]
    safe: dict[str, Any] = _json_safe(values, MOST_DEPTH, budget)
    size = len(to_json(safe))
    if size > MOST_CHARACTERS:
        raise _NotUsableError(f"it has {size:,} characters; the limit is {MOST_CHARACTERS:,}")
    return safe


def _json_safe(value: Any, depth: int, budget: list[int]) -> Any:
    budget[0] -= 1
    if depth < 0 or budget[0] < 0:
        raise _NotUsableError("it holds too many or too deeply nested values")
    if isinstance(value, dict):
        return {_key(key): _json_safe(each, depth - 1, budget) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_json_safe(each, depth - 1, budget) for each in value]
    if isinstance(value, (set, frozenset)):
        return [_json_safe(each, depth - 1, budget) for each in sorted(value, key=str)]
    if isinstance(value, (datetime, date, time)):
        return value.isoformat()
    if isinstance(value, bytes):
        return base64.b64encode(value).decode("ascii")
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if value is None or isinstance(value, (str, bool, int, float)):
        return value
    return str(value)


def _key(key: Any) -> str:
    if isinstance(key, bool):
        return "true" if key else "false"
    return key if isinstance(key, str) else str(key)
