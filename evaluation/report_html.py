"""The small pieces of the report's HTML: inert text, tables, and numbers as people write them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

from shared_utils.console import printable

MOST_CHARACTERS_SHOWN = 2_000


def text(value: object) -> str:
    """Any text as inert HTML: markup escaped, terminal and bidirectional controls made visible."""
    return escape(printable(str(value)), quote=True)


def long_text(value: str) -> str:
    """Inert HTML of a text that is cut where it is very long; says how much is left out."""
    if len(value) <= MOST_CHARACTERS_SHOWN:
        return text(value)
    left_out = len(value) - MOST_CHARACTERS_SHOWN
    return f"{text(value[:MOST_CHARACTERS_SHOWN])} <small>(and {left_out:,} characters)</small>"


def cell(value: object, *, css_class: str = "", name: str = "") -> str:
    """A table cell; `name` stands before it on narrow screens, where there is no head."""
    return f"<td{_attribute('class', css_class)}{_attribute('data-name', name)}>{text(value)}</td>"


def figure_cell(name: str, value: str, bounds: str) -> str:
    """A table cell with a figure and, smaller, its interval."""
    shown = f"<span>{text(value)}<br><small>{text(bounds)}</small></span>"
    return f'<td class="number"{_attribute("data-name", name)}>{shown}</td>'


def table(head: Sequence[str], rows: Sequence[Sequence[str]], numeric: frozenset[int] = frozenset()) -> str:
    """A table of finished cells; on narrow screens each row becomes a small card."""
    names = "".join(
        f"<th{_attribute('class', 'number' if column in numeric else '')}>{text(name)}</th>"
        for column, name in enumerate(head)
    )
    body = "".join(f"<tr>{''.join(row)}</tr>" for row in rows)
    return f'<table class="stacking"><thead><tr>{names}</tr></thead><tbody>{body}</tbody></table>'


def code_table(values: Mapping[str, object]) -> str:
    """A table of names and values as they stand in files."""
    rows = "".join(
        f"<tr><td>{text(name)}</td><td><code>{text(value)}</code></td></tr>" for name, value in values.items()
    )
    return f"<table>{rows}</table>"


def facts(values: Mapping[str, object]) -> str:
    """Names and single values side by side; what is neither text nor number is left out."""
    shown = {name: value for name, value in values.items() if isinstance(value, (str, int, float)) and value != ""}
    pairs = "".join(
        f"<div><dt>{text(name.replace('_', ' '))}</dt><dd>{text(readable(name, value))}</dd></div>"
        for name, value in shown.items()
    )
    return f'<dl class="facts">{pairs}</dl>' if pairs else ""


def readable(name: str, value: object) -> str:
    """A value of a summary as a person would write it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if name == "seconds" and isinstance(value, (int, float)):
        return duration(value)
    if isinstance(value, int):
        return f"{value:,}"
    return number(value) if isinstance(value, float) else str(value)


def percent(value: float) -> str:
    """A share as a percentage with at most one decimal."""
    return f"{100 * value:.1f}%".replace(".0%", "%") if math.isfinite(value) else number(value)


def points(value: float) -> str:
    """A difference of two shares in percentage points, with its sign."""
    if value == 0 or not math.isfinite(value):
        return number(value)
    return f"{100 * value:+.{0 if abs(value) >= 0.1 else 1}f}".replace("-", "\u2212")


def number(value: float) -> str:
    """Three significant digits, or all of a large number's whole ones."""
    if not math.isfinite(value):
        return "not a number" if math.isnan(value) else ("\u221e" if value > 0 else "\u2212\u221e")
    shown = f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    return shown if "e" in shown else shown.replace("-", "\u2212")


def signed(value: float) -> str:
    """A number with its sign."""
    return ("+" if value > 0 else "") + number(value)


def duration(seconds: float) -> str:
    """A time span in its two largest units."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02} min"


def _attribute(name: str, value: str) -> str:
    return f' {name}="{text(value)}"' if value else ""
