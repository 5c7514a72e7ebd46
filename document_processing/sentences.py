"""Where sentences end, in any script, in time linear in the text.

Every pattern starts only where a run begins (look-behind) and never gives characters back
(possessive quantifiers), so that 300,000 dots cost no more than 300,000 letters.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from document_processing.word_lists import word_set

# Words whose dot ends no sentence: a name, a number or a further abbreviation follows.
_ABBREVIATIONS = word_set(
    "e.g i.e cf vs al approx resp incl viz Fig Figs Eq Eqs Sec Ch Tab Dr Mr Mrs Ms Prof St Sr Jr Gen Col "
    "Sgt Capt Lt Rev Hon Mt Dept Univ Jan Feb Mar Apr Jun Jul Aug Sep Sept Oct Nov Dec pp Vol ed eds z.B "
    "d.h u.a o.ä bzw ca evtl ggf inkl vgl Abb Abs Art Bd Hrsg Str Sra Srta Ud Uds p.ej Mme Mlle env "
    "c.-à-d т.е т.к ім вул див напр см стр рис табл гл проф акад ст ул р м г в т с"
)
_BEFORE_NUMBER = word_set("No Nr Nos no nr nos p vol art")
_OPENERS = "\"'“‘«„([{/-"
_LONGEST_ABBREVIATION = 8
_SHORT_WORD = 5
_DEEPEST_INDENT = 40

_CLOSERS = "\"'”’»)\\]}*_`"
# Danda, Arabic, Armenian, Ethiopic, Burmese, Khmer and Tibetan sentence marks.
_OTHER_ENDS = "।॥؟۔։።፧၊။។៕།"
_BORDER = re.compile(
    rf"(?<![.!?…])(?P<mark>[.!?…]++)[{_CLOSERS}]*+(?=\s)"
    rf"|(?<![。！？｡．])[。！？｡．]++[」』”’）】》〉\"')\]]*+"
    rf"|(?<![{_OTHER_ENDS}])[{_OTHER_ENDS}]++[{_CLOSERS}]*+"
    r"|\n[ \t]*+\n\s*+"
    # A list item, a table row, a quotation or a heading begins a line of its own.
    r"|\n(?=[ \t]*(?:[-*•+–][ \t]|\d{1,4}[.)][ \t]|\||\#{1,6}[ \t]))"
    # Thai writes no marks: a space is where a clause or sentence ends.
    r"|(?<=[\u0e00-\u0e7f])[ ](?=[\u0e00-\u0e7f])"
)
_FENCE = re.compile(r"^[ \t]*+(?P<fence>`{3,}+(?=[^\n`]*$)|~{3,}+)[^\n]*+\n?", re.MULTILINE)
_NOT_SPACE = re.compile(r"\S")


class Span(NamedTuple):
    """A piece of a text; `is_code` tells a fenced block from a sentence."""

    start: int
    end: int
    is_code: bool = False


def sentence_spans(text: str) -> Iterator[Span]:
    """Sentences and whole fenced code blocks, in order.

    A span begins and ends with a visible character; between two spans there is only white space.
    """
    position = 0
    for fence in _fenced_blocks(text):
        yield from _prose_spans(text, position, fence.start)
        yield fence
        position = fence.end
    yield from _prose_spans(text, position, len(text))


def _fenced_blocks(text: str) -> Iterator[Span]:
    """Fenced code blocks; an opening fence that nothing closes is taken for text."""
    if "```" not in text and "~~~" not in text:
        return
    opening: re.Match[str] | None = None
    unclosed: set[tuple[str, int]] = set()
    position = 0
    while opening := _FENCE.search(text, position):
        fence = opening["fence"]
        closing = None if (fence[0], len(fence)) in unclosed else _closing_fence(text, fence, opening.end())
        if closing is None:
            unclosed.add((fence[0], len(fence)))
            position = opening.end()
            continue
        yield Span(opening.start("fence"), closing, is_code=True)
        position = closing


def _closing_fence(text: str, fence: str, position: int) -> int | None:
    pattern = re.compile(rf"^[ \t]*+{re.escape(fence[0])}{{{len(fence)},}}+(?=[ \t]*+$)", re.MULTILINE)
    found = pattern.search(text, position)
    return found.end() if found else None


def _prose_spans(text: str, start: int, end: int) -> Iterator[Span]:
    begin = start
    for border in _BORDER.finditer(text, start, end):
        if border["mark"] and not _ends_sentence(text, begin, border, end):
            continue
        span = _trimmed(text, begin, border.end())
        if span:
            yield span
        begin = border.end()
    last = _trimmed(text, begin, end)
    if last:
        yield last


def _ends_sentence(text: str, begin: int, border: re.Match[str], end: int) -> bool:
    mark = border["mark"]
    following = _NOT_SPACE.search(text, border.end(), min(end, border.end() + 80))
    next_character = following.group() if following else ""
    if mark == ".":
        return _dot_ends_sentence(text, begin, border.start(), next_character)
    # 'What?' he asked, and so on ... until: the sentence goes on in small letters.
    goes_on = next_character.islower() and (mark[-1] in ".…" or border.end() > border.end("mark"))
    return not goes_on


def _dot_ends_sentence(text: str, begin: int, dot: int, next_character: str) -> bool:
    word_start = dot
    while word_start > max(begin, dot - _LONGEST_ABBREVIATION) and not text[word_start - 1].isspace():
        word_start -= 1
    word = text[word_start:dot].lstrip(_OPENERS)
    if word in _ABBREVIATIONS or (len(word) == 1 and word.isupper()):
        return False
    if word.isdigit() and word_start - begin <= _DEEPEST_INDENT and not text[begin:word_start].strip():
        return False  # "1. First point"
    if next_character.islower():
        return len(word) > _SHORT_WORD and "." not in word
    return not (next_character.isdigit() and word in _BEFORE_NUMBER)


def _trimmed(text: str, start: int, end: int) -> Span | None:
    while start < end and text[start].isspace():
        start += 1
    while end > start and text[end - 1].isspace():
        end -= 1
    return Span(start, end) if start < end else None
