"""Repairs to text that was drawn on pages: words cut at line ends, accents drawn apart, repeated headers."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from document_processing.word_lists import word_set

EDGE_LINES = 3  # lines at the top and the bottom of a page that can be a header or footer
FEWEST_REPETITIONS = 3
LEAST_SHARE_OF_PAGES = 0.3
LONGEST_HEADER = 120  # characters

# Old TeX fonts draw an accent and its letter one after the other.
_COMBINING = {
    "\u00a8": "\u0308",
    "\u00b4": "\u0301",
    "`": "\u0300",
    "\u02c6": "\u0302",
    "\u02dc": "\u0303",
    "\u00b8": "\u0327",
    "\u02da": "\u030a",
    "\u02c7": "\u030c",
    "\u00af": "\u0304",
}
_LOOSE_ACCENT = re.compile("([\u00a8\u00b4\u02c6\u02dc\u00b8\u02da\u02c7`])[ ]?([A-Za-z\u0131\u0237])")
_DOTLESS = {"\u0131": "i", "\u0237": "j"}
_LIGATURES = str.maketrans({"ﬀ": "ff", "ﬁ": "fi", "ﬂ": "fl", "ﬃ": "ffi", "ﬄ": "ffl", "ﬅ": "st", "ﬆ": "st"})
_SOFT_HYPHEN = re.compile("\u00ad[ \t]*\n?|\ufffe[ \t]*\n?")
_UNKNOWN_GLYPH = re.compile(r"\(cid:\d+\)")

_CUT_WORD = re.compile(r"([^\W\d_]+)[\u2010-][ \t]*\n([^\W\d_]+)")
_CUT_RANGE = re.compile(r"(?<=\d)([\u2013-])\n(?=\d)")
_HYPHENATED = re.compile(r"[^\W\d_]+[\u2010-][^\W\d_]+")
_PLAIN_WORD = re.compile(r"[^\W\d_]{4,}")
# Halves of words that are also words, so they vouch for no compound: some-thing, under-stand.
_WORD_BEGINNINGS = word_set("some there under over with when where every after what fore here inter then")
_COMPOUND_BEGINNINGS = word_set("self semi quasi well cross")
_DIGITS = re.compile(r"\d+")


class StrippedPage(NamedTuple):
    """A page without its header and footer, and these lines."""

    text: str
    removed: list[str]


def repair_characters(text: str) -> str:
    """Ligatures spelt out, accents on their letters, soft hyphens gone, unknown glyphs as U+FFFD."""
    text = _SOFT_HYPHEN.sub("", text.translate(_LIGATURES))
    text = _UNKNOWN_GLYPH.sub("\ufffd", text)
    return _LOOSE_ACCENT.sub(_put_accent, text)


def share_of_unknown_glyphs(text: str) -> float:
    """How much of the text, 0 to 1, are glyphs without a meaning."""
    unknown = len(_UNKNOWN_GLYPH.findall(text)) + text.count("\ufffd")
    visible = sum(not character.isspace() for character in _UNKNOWN_GLYPH.sub("", text))
    return unknown / max(1, unknown + visible)


def strip_repeated_lines(pages: Sequence[str]) -> list[StrippedPage]:
    """Pages without the lines that many of them repeat at their edges; page numbers may differ.

    A page that holds nothing else keeps its lines.
    """
    split_pages = [page.split("\n") for page in pages]
    edges = [_edge_positions(lines) for lines in split_pages]
    counts = Counter(
        key
        for lines, edge in zip(split_pages, edges, strict=True)
        for key in {_key(lines[position]) for position in edge}
    )
    enough = max(FEWEST_REPETITIONS, LEAST_SHARE_OF_PAGES * len(pages))
    stripped: list[StrippedPage] = []
    for page, lines, edge in zip(pages, split_pages, edges, strict=True):
        drop = {
            position
            for position in edge
            if counts[_key(lines[position])] >= enough and len(lines[position]) < LONGEST_HEADER
        }
        kept = [line for position, line in enumerate(lines) if position not in drop]
        if drop and any(line.strip() for line in kept):
            stripped.append(StrippedPage("\n".join(kept), [lines[position].strip() for position in sorted(drop)]))
        else:
            stripped.append(StrippedPage(page, []))
    return stripped


def join_cut_words(pages: Sequence[str]) -> list[str]:
    """Pages with the words joined that were cut at a line end.

    Whether the hyphen belongs to the word ("well-known") is told by how the same file writes it elsewhere.
    """
    # Words that were cut themselves must not vouch for the hyphen.
    whole = "\n".join(_CUT_WORD.sub(" ", page) for page in pages)
    hyphenated = Counter(word.lower().replace("\u2010", "-") for word in _HYPHENATED.findall(whole))
    plain = Counter(word.lower() for word in _PLAIN_WORD.findall(whole))

    def join(cut: re.Match[str]) -> str:
        first, second = cut[1], cut[2]
        with_hyphen = f"{first}-{second}"
        often_joined = plain[(first + second).lower()]
        begins = first.lower()
        is_compound = (
            hyphenated[with_hyphen.lower()] > often_joined
            or (second[:1].isupper() and not first.isupper())  # "Jean-Paul"
            or begins in _COMPOUND_BEGINNINGS
            # "sequence-aligned": both are words of this file, and together they are none
            or (not often_joined and plain[begins] and plain[second.lower()] and begins not in _WORD_BEGINNINGS)
        )
        return with_hyphen if is_compound else first + second

    return [_CUT_RANGE.sub(r"\1", _CUT_WORD.sub(join, page)) for page in pages]


def _put_accent(found: re.Match[str]) -> str:
    letter = _DOTLESS.get(found[2], found[2])
    composed = unicodedata.normalize("NFC", letter + _COMBINING[found[1]])
    return composed if len(composed) == 1 else found[0]


def _edge_positions(lines: Sequence[str]) -> set[int]:
    visible = [position for position, line in enumerate(lines) if line.strip()]
    return set(visible[:EDGE_LINES] + visible[-EDGE_LINES:])


def _key(line: str) -> str:
    return _DIGITS.sub("#", line.strip())
