"""Accents that a page draws beside their letters, put onto them by where both stand."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator

from document_processing.parsers.pdf_geometry import Box

NOTHING = "\0"  # stands where a character went, so that all others keep their place
MOST_LONE_ACCENTS = 100  # of one page
DOWN_TO_LETTER = 1.5  # from the lower end of an accent into its letter, in heights of the accent

COMBINING = {
    "\u00a8": "\u0308",
    "\u00b4": "\u0301",
    "`": "\u0300",
    "\u02c6": "\u0302",
    "^": "\u0302",
    "\u02dc": "\u0303",
    "~": "\u0303",
    "\u00b8": "\u0327",
    "\u02da": "\u030a",
    "\u02c7": "\u030c",
    "\u02d8": "\u0306",
    "\u02d9": "\u0307",
    "\u02dd": "\u030b",
    "\u02db": "\u0328",
    "\u00af": "\u0304",
}
DOTLESS = {"\u0131": "i", "\u0237": "j"}

_ACCENT = re.compile(f"[{re.escape(''.join(COMBINING))}]")
_LETTER = re.compile(r"[^\W\d_]")


def place_accents(units: str, box_of: Callable[[int], Box], character_at: Callable[[float, float], int | None]) -> str:
    """The characters of a page with each loose accent on its letter, as many as before.

    An accent belongs to a letter when both stand above each other; a quotation mark or a tilde that
    stands for itself overlaps with nothing.

    Args:
        units: the characters in the order in which they are drawn.
        box_of: the box of the character with this index.
        character_at: the index of the character at a place.
    """
    changed: dict[int, str] = {}
    lone: list[int] = []
    for found in _ACCENT.finditer(units):
        accent = found.start()
        if not any(_put(units, accent, letter, box_of, changed) for letter in _near(units, accent)):
            lone.append(accent)
    if not changed:
        return units
    # Raised above a capital, an accent counts as a line of its own and lands far from its letter.
    for accent in lone[:MOST_LONE_ACCENTS]:
        box = box_of(accent)
        letter = character_at((box.x0 + box.x1) / 2, box.bottom + DOWN_TO_LETTER * (box.bottom - box.top))
        if letter is not None and letter not in changed and _LETTER.match(units[letter]):
            _put(units, accent, letter, box_of, changed)
    return "".join(changed.get(index, character) for index, character in enumerate(units))


def compose(accent: str, letter: str) -> str | None:
    """The letter with its accent as one character, or None where there is no such letter."""
    composed = unicodedata.normalize("NFC", DOTLESS.get(letter, letter) + COMBINING[accent])
    return composed if len(composed) == 1 else None


def _near(units: str, accent: int) -> Iterator[int]:
    """Letters drawn just after or before the accent, where a space may have been put between them."""
    for direction in (1, -1):
        index = accent + direction
        if 0 <= index < len(units) and units[index] == " ":
            index += direction
        if 0 <= index < len(units) and _LETTER.match(units[index]):
            yield index


def _put(units: str, accent: int, letter: int, box_of: Callable[[int], Box], changed: dict[int, str]) -> bool:
    composed = compose(units[accent], changed.get(letter, units[letter]))
    if composed is None or not _are_one(box_of(accent), box_of(letter)):
        return False
    changed[letter] = composed
    for index in range(min(accent, letter) + 1, max(accent, letter)) if abs(accent - letter) <= 2 else ():
        changed[index] = NOTHING
    changed[accent] = NOTHING
    return True


def _are_one(accent: Box, letter: Box) -> bool:
    """Whether an accent stands above or below a letter, in its middle."""
    middle = (accent.x0 + accent.x1) / 2
    width = max(letter.x1 - letter.x0, 2.0)
    height = max(letter.bottom - letter.top, 2.0)
    is_above = letter.x0 - 0.2 * width <= middle <= letter.x1 + 0.2 * width
    distance = max(letter.top - accent.bottom, accent.top - letter.bottom)
    return is_above and distance < 0.6 * height and (accent.top < letter.top or accent.bottom > letter.bottom)
