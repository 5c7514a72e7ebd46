"""Repairs to text that was drawn on pages: words cut at line ends, accents drawn apart, repeated headers."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from document_processing.parsers.pdf_accents import compose
from document_processing.word_lists import word_set

EDGE_LINES = 3  # lines at the top and the bottom of a page that can be a header or footer
FEWEST_REPETITIONS = 3
LEAST_SHARE_OF_PAGES = 0.3
PAGES_AROUND = 20
LONGEST_HEADER = 120  # characters
LONGEST_WORD = 60  # characters
STEM = 5  # letters that related words share

# Old TeX fonts draw an accent and its letter one after the other.
_LOOSE_ACCENT = re.compile("([\u00a8\u00b4\u02c6\u02dc\u00b8\u02da\u02c7`])[ ]?([A-Za-z\u0131\u0237])")
_LIGATURES = {"ﬀ": "ff", "ﬁ": "fi", "ﬂ": "fl", "ﬃ": "ffi", "ﬄ": "ffl", "ﬅ": "st", "ﬆ": "st"}
_LIGATURE = re.compile("[\ufb00-\ufb06]")
_SOFT_HYPHEN = re.compile("\u00ad[ \t]*\n?|\ufffe[ \t]*\n?")
_SHAPED_LETTER = re.compile("[\ufb1d-\ufdc7\ufdf0-\ufdfc\ufe70-\ufefc]")  # of Hebrew and Arabic
_UNKNOWN_GLYPH = re.compile(r"\(cid:\d+\)")

# The look-behind is found first, so that only words at line ends cost anything.
_CUT_WORD = re.compile(r"(?<=[^\W\d_])[\u2010-][ \t]*\n(?=[^\W\d_])")
_LAST_WORD, _FIRST_WORD = re.compile(r"[^\W\d_]+$"), re.compile(r"[^\W\d_]+")
_CUT_RANGE = re.compile(r"(?<=\d)([\u2013-])\n(?=\d)")
_WORD = re.compile(r"[^\W\d_]+(?:-[^\W\d_]+)*+")
# Halves of words that are also words, so they vouch for no compound: some-thing, under-stand.
_WORD_BEGINNINGS = word_set("some there under over with when where every after what fore here inter then")
_COMPOUND_BEGINNINGS = word_set("self semi quasi well cross")
# What follows a hyphen that only marks the end of a line: present-ation, develop-ment.
_ENDINGS = ("ation", "ations", "ment", "ments", "ness", "tion", "tions", "ities", "ability", "ical", "ically", "ingly")
_PAGE_NUMBER = re.compile(
    r"(?:(?:page|seite|página|pagina|strona|стр\.?|сторінка|страница|p\.)\s*)\d{1,4}(?:\s*(?:of|/|von|de|sur|z|из|з)\s*\d{1,4})?"
    r"|\d{1,4}\s*(?:of|/|von|sur|из|з)\s*\d{1,4}|[-–—]\s?\d{1,4}\s?[-–—]|第\s*\d{1,4}\s*页|\d{1,4}\s*ページ",
    re.IGNORECASE,
)
_BORDER_NUMBER = re.compile(r"^[0-9]{1,5}\b|\b[0-9]{1,5}$")
_DIGITS = re.compile(r"\d+")


class StrippedPage(NamedTuple):
    """A page without its header and footer, and these lines."""

    text: str
    removed: list[str]


def repair_characters(text: str) -> str:
    """Ligatures spelt out, letters for the shapes of Arabic ones, soft hyphens gone, unknown glyphs as U+FFFD."""
    text = _LIGATURE.sub(lambda found: _LIGATURES[found.group()], text)
    text = _SOFT_HYPHEN.sub("", text)
    text = _SHAPED_LETTER.sub(lambda shape: unicodedata.normalize("NFKC", shape.group()), text)
    return _UNKNOWN_GLYPH.sub("\ufffd", text)


def join_loose_accents(text: str) -> str:
    """Accents that are drawn just before their letters, on them; for engines that do not tell where both stand."""
    return _LOOSE_ACCENT.sub(_put_accent, text)


def share_of_unknown_glyphs(text: str) -> float:
    """How much of the text, 0 to 1, are glyphs without a meaning."""
    unknown = len(_UNKNOWN_GLYPH.findall(text)) + text.count("\ufffd")
    if not unknown:
        return 0.0
    visible = sum(not character.isspace() for character in _UNKNOWN_GLYPH.sub("", text))
    return unknown / max(1, unknown + visible)


def strip_repeated_lines(pages: Sequence[str]) -> list[StrippedPage]:
    """Pages without the lines that many of them repeat at their edges; page numbers may differ.

    A page that holds nothing else keeps its lines.
    """
    split_pages = [page.split("\n") for page in pages]
    edges = [_edge_positions(lines) for lines in split_pages]
    pages_of: dict[str, list[int]] = {}
    for number, (lines, edge) in enumerate(zip(split_pages, edges, strict=True)):
        for key in {_key(lines[position]) for position in edge}:
            pages_of.setdefault(key, []).append(number)
    offsets = _number_offsets(split_pages, edges)
    stripped: list[StrippedPage] = []
    for number, (page, lines, edge) in enumerate(zip(pages, split_pages, edges, strict=True)):
        drop = {
            position
            for position in edge
            if len(lines[position]) < LONGEST_HEADER
            and (
                _is_repeated(pages_of[_key(lines[position])], number, len(pages))
                or _is_page_number(lines, position, number, offsets)
            )
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
    if not any(_CUT_WORD.search(page) for page in pages):
        return [_CUT_RANGE.sub(r"\1", page) for page in pages]
    joiner = _WordJoiner(pages)
    return [_CUT_RANGE.sub(r"\1", _CUT_WORD.sub(joiner.joint, page)) for page in pages]


class _WordJoiner:
    """Knows how a file writes its words where they are not cut."""

    def __init__(self, pages: Sequence[str]) -> None:
        # Words that were cut themselves must not vouch for anything.
        whole = "\n".join(_without_cut_words(page) for page in pages)
        words = Counter(_WORD.findall(whole.lower().replace("\u2010", "-")))
        self._hyphenated: Counter[str] = Counter()
        for word, count in words.items():
            parts = word.split("-")
            for pair in pairwise(parts):  # of "state-of-the-art" every hyphen counts
                self._hyphenated["-".join(pair)] += count
        self._plain = {word: count for word, count in words.items() if len(word) > 3 and "-" not in word}
        self._beginnings = {word[:STEM] for word in self._plain}

    def joint(self, cut: re.Match[str]) -> str:
        """What stands between the halves of a cut word: a hyphen or nothing."""
        first, second = _halves(cut)
        often_joined = self._plain.get((first + second).lower(), 0)
        often_hyphenated = self._hyphenated[f"{first}-{second}".lower()]
        if often_joined or often_hyphenated:
            return "-" if often_hyphenated > often_joined else ""
        if second[:1].isupper() and not first.isupper():  # "Jean-Paul"
            return "-"
        return "-" if self._is_compound(first.lower(), second.lower()) else ""

    def _is_compound(self, first: str, second: str) -> bool:
        """Whether both are words of this file, as in "sequence-aligned", and together they are none."""
        if first in _COMPOUND_BEGINNINGS:
            return True
        if first not in self._plain or first in _WORD_BEGINNINGS:
            return False
        is_related = len(second) > STEM and not second.endswith(_ENDINGS) and second[:STEM] in self._beginnings
        return second in self._plain or is_related


def _without_cut_words(page: str) -> str:
    kept: list[str] = []
    position = 0
    for cut in _CUT_WORD.finditer(page):
        first, second = _halves(cut)
        kept.append(page[position : max(position, cut.start() - len(first))])
        position = cut.end() + len(second)
    return " ".join([*kept, page[position:]])


def _halves(cut: re.Match[str]) -> tuple[str, str]:
    text = cut.string
    first = _LAST_WORD.search(text, max(0, cut.start() - LONGEST_WORD), cut.start())
    second = _FIRST_WORD.match(text, cut.end(), cut.end() + LONGEST_WORD)
    return first.group() if first else "", second.group() if second else ""


def _put_accent(found: re.Match[str]) -> str:
    return compose(found[1], found[2]) or found[0]


def _edge_positions(lines: Sequence[str]) -> set[int]:
    visible = [position for position, line in enumerate(lines) if line.strip()]
    return set(visible[:EDGE_LINES] + visible[-EDGE_LINES:])


def _is_repeated(numbers: Sequence[int], page: int, page_count: int) -> bool:
    """Whether enough of the pages around this one have the line; a chapter's title heads only its own pages."""
    around = min(page_count, PAGES_AROUND)
    near = sum(abs(number - page) <= around // 2 for number in numbers)
    return near >= FEWEST_REPETITIONS and near >= LEAST_SHARE_OF_PAGES * around


def _number_offsets(split_pages: Sequence[Sequence[str]], edges: Sequence[set[int]]) -> set[int]:
    """By how much the numbers that the pages bear differ from their places in the file."""
    counts: Counter[int] = Counter()
    for number, (lines, edge) in enumerate(zip(split_pages, edges, strict=True)):
        found = {int(each) for position in edge for each in _BORDER_NUMBER.findall(lines[position].strip())}
        counts.update(each - number for each in found)
    return {offset for offset, count in counts.items() if count >= max(FEWEST_REPETITIONS, 0.1 * len(split_pages))}


def _is_page_number(lines: Sequence[str], position: int, page: int, offsets: set[int]) -> bool:
    """Whether the first or last line of a page only numbers it.

    A bare number does when it counts along with the others of the file; other forms do by themselves.
    """
    visible = [each for each, line in enumerate(lines) if line.strip()]
    if position not in (visible[0], visible[-1]):
        return False
    line = lines[position].strip()
    if line.isdecimal():
        return len(line) < 6 and int(line) - page in offsets
    return _PAGE_NUMBER.fullmatch(line) is not None


def _key(line: str) -> str:
    return _DIGITS.sub("#", line.strip())
