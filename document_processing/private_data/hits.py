"""A place in a text that holds private data, and how candidates become such places."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import NamedTuple


class Hit(NamedTuple):
    """`text[start:end]` is private; `label` is what stands in its place, in brackets."""

    start: int
    end: int
    label: str


def scan(pattern: re.Pattern[str], text: str, accept: Callable[[re.Match[str]], bool]) -> Iterator[re.Match[str]]:
    """Matches that are accepted; behind a refused one the search goes on at its second character.

    So a number that happens to stand before a card number does not hide it. The time stays linear where
    a match is of bounded length.
    """
    position = 0
    while match := pattern.search(text, position):
        if accept(match):
            yield match
            position = match.end()
        else:
            position = match.start() + 1


def is_spaceless(character: str) -> bool:
    """True for letters of scripts that put no space between words, and for Hangul, which adds particles."""
    return character.isalpha() and (
        "\u0e00" <= character <= "\u0eff" or "\u1100" <= character <= "\u11ff" or character >= "\u2e80"
    )
