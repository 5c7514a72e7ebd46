"""Repairs to text that was drawn on pages: words cut at line ends, accents drawn apart, repeated headers."""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_left
from collections import Counter
from collections.abc import Container, Hashable, Iterable, Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

from document_processing.parsers.pdf_accents import compose
from document_processing.word_lists import word_set

EDGE_LINES = 3  # lines at the top and the bottom of a page that can be a header or footer
FEWEST_REPETITIONS = 3
LEAST_SHARE_OF_PAGES = 0.3
PAGES_AROUND = 20
CLEAR_SHARE_OF_PAGES = 0.45  # every other page, with left and right ones
LONGEST_HEADER = 120  # characters
LONGEST_NOTICE = 400  # characters; the same on every page, as of a licence
FEWEST_LETTERS = 3
LONGEST_WORD = 60  # characters
STEM = 5  # letters that related words share

# Old TeX fonts draw an accent and its letter one after the other.
_LOOSE_ACCENT = re.compile("([\u00a8\u00b4\u02c6\u02dc\u00b8\u02da\u02c7`])[ ]?([A-Za-z\u0131\u0237])")
_LIGATURES = {"ﬀ": "ff", "ﬁ": "fi", "ﬂ": "fl", "ﬃ": "ffi", "ﬄ": "ffl", "ﬅ": "st", "ﬆ": "st"}
_LIGATURE = re.compile("[\ufb00-\ufb06]")
_SOFT_HYPHEN = re.compile("\u00ad[ \t]*\n?|\ufffe[ \t]*\n?")
_SHAPED_LETTER = re.compile("[\ufb1d-\ufdc7\ufdf0-\ufdfc\ufe70-\ufefc]")  # of Hebrew and Arabic
_UNKNOWN_GLYPH = re.compile(r"\(cid:\d+\)")

# Chinese and Japanese writing; a page of it has few lines of one or two characters.
_VERTICAL = re.compile("(?:^[\u3001-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uff01-\uff60 ]{1,6}\n+){6,}", re.MULTILINE)

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
    if text.isascii():
        return _UNKNOWN_GLYPH.sub("\ufffd", text)
    text = _LIGATURE.sub(lambda found: _LIGATURES[found.group()], text)
    text = _SOFT_HYPHEN.sub("", text)
    text = _SHAPED_LETTER.sub(lambda shape: unicodedata.normalize("NFKC", shape.group()), text)
    return _UNKNOWN_GLYPH.sub("\ufffd", text)


def join_loose_accents(text: str) -> str:
    """Accents that are drawn just before their letters, on them; for engines that do not tell where both stand."""
    return _LOOSE_ACCENT.sub(_put_accent, text)


def join_vertical_lines(text: str) -> str:
    """Text written from top to bottom, one character a line, as lines."""
    return _VERTICAL.sub(lambda column: "".join(column.group().split()) + "\n", text)


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
    edges = [_edges_of(lines) for lines in split_pages]
    repetitions = _Repetitions(edges)
    stripped: list[StrippedPage] = []
    for number, (page, lines, sides) in enumerate(zip(pages, split_pages, edges, strict=True)):
        drop = {position for edge in sides for position in repetitions.positions_to_drop(number, edge)}
        drop |= repetitions.numbered_position(number, sides, drop)
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


class _EdgeLine(NamedTuple):
    """One of the outermost lines of a page, from the border inwards; its key is its text without the numbers."""

    position: int
    text: str
    key: str


class _Edge(NamedTuple):
    """The top (0) or bottom (1) of a page."""

    side: int
    lines: list[_EdgeLine]


class _Repetitions:
    """Which lines stand at the edges of which pages."""

    def __init__(self, edges: Sequence[Sequence[_Edge]]) -> None:
        self._page_count = len(edges)
        self._pages_of: dict[Hashable, list[int]] = {}
        for number, sides in enumerate(edges):
            keys: set[Hashable] = set()
            for side, lines in sides:
                for depth, (_, text, shape) in enumerate(lines):
                    keys.update((text, shape, (side, depth, shape)))
            for key in keys:
                self._pages_of.setdefault(key, []).append(number)
        self._offsets = _number_offsets(edges)
        offset, count = self._offsets.most_common(1)[0] if self._offsets else (0, 0)
        self._usual_offset = offset if count >= LEAST_SHARE_OF_PAGES * len(edges) else None

    def positions_to_drop(self, page: int, edge: _Edge) -> Iterator[int]:
        """The lines of headers and footers.

        Behind a line that stays, only what stands in the same place on the other pages is one: a word such as
        "Note" may begin the last paragraph of many pages.
        """
        is_outermost = True
        for depth, line in enumerate(edge.lines):
            if self._is_repeated(page, line, (edge.side, depth, line.key), is_outermost) or (
                is_outermost and _is_page_number(line.text, page, self._offsets)
            ):
                yield line.position
            else:
                is_outermost = False

    def numbered_position(self, page: int, sides: Sequence[_Edge], dropped: set[int]) -> set[int]:
        """The line that bears the number of the page, where no other line does: "Chapter 2: Plans 17".

        It stands alone where chapters are short; but the heading "3 Plans" may open page 3, too.
        """
        counting = [
            line.position
            for edge in sides
            for depth, line in enumerate(edge.lines)
            if (depth == 0 or line.position in dropped) and self._bears_number(page, line.text)
        ]
        return set() if dropped & set(counting) else set(counting[:1])

    def _bears_number(self, page: int, text: str) -> bool:
        numbers = _BORDER_NUMBER.findall(text) if len(text) < LONGEST_HEADER else []
        # "Chapter 1" opens the page with the number 1.
        return any(int(number) - page == self._usual_offset and int(number) > 1 for number in numbers)

    def _is_repeated(self, page: int, line: _EdgeLine, place: Hashable, is_outermost: bool) -> bool:
        text, key = line.text, line.key
        if len(text) >= LONGEST_HEADER or (_is_bare(key) and not self._counts_along(page, text)):
            # Numbered lines of programs are alike, too; a long line is a header only if it is always the same.
            is_alike = len(text) < LONGEST_NOTICE and self._share(page, text) >= LEAST_SHARE_OF_PAGES
            return is_alike or (len(text) < LONGEST_HEADER and self._share(page, place) >= CLEAR_SHARE_OF_PAGES)
        if is_outermost:
            return self._share(page, key) >= LEAST_SHARE_OF_PAGES
        return self._share(page, place) >= CLEAR_SHARE_OF_PAGES

    def _counts_along(self, page: int, text: str) -> bool:
        return any(int(number) - page in self._offsets for number in _BORDER_NUMBER.findall(text))

    def _share(self, page: int, key: Hashable) -> float:
        """How many of the pages around have the line; a chapter's title heads only its own pages."""
        reach = min(self._page_count, PAGES_AROUND) // 2
        first, end = max(0, page - reach), min(self._page_count, page + reach + 1)
        pages = self._pages_of[key]
        near = bisect_left(pages, end) - bisect_left(pages, first)
        return near / max(1, end - first - 1) if near >= FEWEST_REPETITIONS else 0.0


def _edges_of(lines: Sequence[str]) -> tuple[_Edge, _Edge]:
    return _Edge(0, _outermost(lines, range(len(lines)))), _Edge(1, _outermost(lines, range(len(lines) - 1, -1, -1)))


def _outermost(lines: Sequence[str], positions: Iterable[int]) -> list[_EdgeLine]:
    found: list[_EdgeLine] = []
    for position in positions:
        text = lines[position].strip()
        if text:
            found.append(_EdgeLine(position, text, _DIGITS.sub("#", text)))
            if len(found) == EDGE_LINES:
                break
    return found


def _is_bare(key: str) -> bool:
    """Whether a line holds hardly a letter."""
    return "#" in key and sum(character.isalpha() for character in key) < FEWEST_LETTERS


def _number_offsets(edges: Sequence[Sequence[_Edge]]) -> Counter[int]:
    """By how much the numbers that the pages bear differ from their places in the file, and on how many pages."""
    counts: Counter[int] = Counter()
    for number, sides in enumerate(edges):
        found = {int(each) for edge in sides for line in edge.lines for each in _BORDER_NUMBER.findall(line.text)}
        counts.update(each - number for each in found)
    fewest = max(FEWEST_REPETITIONS, 0.1 * len(edges))
    return Counter({offset: count for offset, count in counts.items() if count >= fewest})


def _is_page_number(line: str, page: int, offsets: Container[int]) -> bool:
    """Whether the first or last line of a page only numbers it.

    A bare number does when it counts along with the others of the file; other forms do by themselves.
    """
    if line.isdecimal():
        return len(line) < 6 and int(line) - page in offsets
    return _PAGE_NUMBER.fullmatch(line) is not None
