"""Where things stand on a page: boxes, pieces of lines, lines and tables.

Lengths are in points (1/72 inch); x grows to the right and y downwards from the top left corner of the page
as a reader holds it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

_RIGHT_TO_LEFT = re.compile("[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufeff]")


class Box(NamedTuple):
    """A rectangle."""

    x0: float
    top: float
    x1: float
    bottom: float

    def holds(self, x: float, y: float) -> bool:
        """Whether a point lies inside."""
        return self.x0 <= x <= self.x1 and self.top <= y <= self.bottom


class Segment(NamedTuple):
    """A piece of a line with a wide gap on either side."""

    text: str
    x0: float
    x1: float


class Edge(NamedTuple):
    """A straight horizontal or vertical ruling: `at` is its y or x, from `start` to `end` along the other axis."""

    at: float
    start: float
    end: float


@dataclass(frozen=True, slots=True)
class Line:
    """What stands at one height. `segments` is empty where the line has no wide gap."""

    text: str
    x0: float
    top: float
    x1: float
    bottom: float
    segments: tuple[Segment, ...] = ()

    @property
    def height(self) -> float:
        """From the top of the tallest to the bottom of the deepest letter of its font."""
        return self.bottom - self.top

    @property
    def middle(self) -> float:
        """Half its height."""
        return (self.top + self.bottom) / 2

    @property
    def pieces(self) -> tuple[Segment, ...]:
        """The segments; the whole line where it has none."""
        return self.segments or (Segment(self.text, self.x0, self.x1),)


@dataclass(frozen=True, slots=True)
class Table:
    """A table as rows of cells, and where it stands."""

    box: Box
    rows: tuple[tuple[str, ...], ...]

    @property
    def text(self) -> str:
        """The rows in Markdown, one line each."""
        return "\n".join(f"| {' | '.join(cell.replace('|', '/') for cell in row)} |" for row in self.rows)


def is_right_to_left(text: str) -> bool:
    """Whether a text holds Hebrew, Arabic or their relatives."""
    return _RIGHT_TO_LEFT.search(text) is not None


def box_around(lines: Sequence[Line]) -> Box:
    """The smallest box that holds all lines."""
    return Box(
        min(line.x0 for line in lines),
        min(line.top for line in lines),
        max(line.x1 for line in lines),
        max(line.bottom for line in lines),
    )
