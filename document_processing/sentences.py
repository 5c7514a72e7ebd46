"""Where sentences end, in any script, in time linear in the text.

One pattern finds every place where a sentence may end. It starts with one set of characters, which lets the
regex engine skip the rest, and never gives characters back (possessive quantifiers), so that 300,000 dots
cost no more than 300,000 letters. What a dot means is then told from the words around it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from document_processing.abbreviations import (
    BEFORE_NAME,
    BEFORE_NUMBER,
    GERMAN_BEFORE_ORDINAL,
    GERMAN_BEHIND_ORDINAL,
    MAY_END_SENTENCE,
    SENTENCE_STARTERS,
)
from document_processing.graphemes import FIRST_JOINING, is_joined

_OPENERS = "\"'“‘«„([{/-*_¿¡"
_LONGEST_WORD = 10  # a longer one is no abbreviation
_SHORT_WORD = 5

_CLOSERS = "\"'”’“‘»«›‹)\\]}*_`"
_CJK_CLOSERS = "」』”’）】》〉\"')\\]"
# Danda, Arabic, Armenian, Ethiopic, Burmese, Khmer and Tibetan sentence marks.
_OTHER_ENDS = "।॥؟۔։።፧၊။។៕།"
_THAI = "\u0e00-\u0e7f"
# A list item, a table row, a quotation or a heading begins a line of its own.
_LINE_START = r"(?=[-*•+–][ \t]|\d{1,4}[.)][ \t]|[|>]|\#{1,6}[ \t])"
_NEW_LINE = rf"[ \t\r]*+(?:\n\s*+|{_LINE_START})"
_BORDER = re.compile(
    rf"[.!?…。！？｡．{_OTHER_ENDS}\n{_THAI}]"
    r"(?:"
    # A mark, what closes with it, white space. French closes with a space in front of the quote.
    rf"(?<=[.!?…])(?P<mark>[.!?…]*+[{_CLOSERS}]*+(?:[ \u00a0\u202f]»(?=\s))?(?:\[\d{{1,3}}\])*+)(?=\s)\s*+"
    rf"|(?<=\n){_NEW_LINE}"
    rf"|(?<=[。！？｡．])(?P<cjk>[。！？｡．]*+[{_CJK_CLOSERS}]*+)\s*+"
    rf"|(?<=[{_OTHER_ENDS}])(?P<other>[{_OTHER_ENDS}]*+[{_CLOSERS}]*+)\s*+"
    # A run of marks with no space behind it ends nothing: passed over in one step.
    r"|(?<=[.!?…])(?P<run>[.!?…]++)"
    # Thai writes no marks: a space is where a clause or sentence ends.
    rf"|(?<=[{_THAI}])(?P<thai>)[ ](?=[{_THAI}])"
    r")"
)
_LINE_BREAK = re.compile(r"\n" + _NEW_LINE)
_FENCE = re.compile(r"^[ \t]*+(?P<fence>`{3,}+|~{3,}+)(?P<rest>[^\n]*+)", re.MULTILINE)
_LINES_OF_CODE = re.compile(r"^[^\n]*\S[^\n]*(?:\n[^\n]*\S[^\n]*)*", re.MULTILINE)
_SPEECH_GOES_ON = re.compile(r"と|って|など")
_FIRST_WORD = re.compile(r"[^\W\d_]+")
_WORD_BEFORE = re.compile(r"(\w+)\s\S*$")


class Span(NamedTuple):
    """A piece of a text; `is_code` tells a fenced block from a sentence."""

    start: int
    end: int
    is_code: bool = False


def sentence_spans(text: str) -> Iterator[Span]:
    """Sentences and whole fenced code blocks, in order.

    A span begins and ends with a visible character; between two spans there is only white space.
    """
    for block in text_blocks(text):
        if block.is_code:
            yield block
        else:
            yield from prose_spans(text, block.start, block.end)


def text_blocks(text: str) -> Iterator[Span]:
    """Fenced code blocks, and all that stands between them."""
    position = 0
    for fence in _fenced_blocks(text):
        yield Span(position, fence.start)
        yield fence
        position = fence.end
    yield Span(position, len(text))


def code_spans(text: str) -> Iterator[Span]:
    """The pieces of source code between empty lines, each with the indentation of its first line."""
    for lines in _LINES_OF_CODE.finditer(text):
        yield Span(lines.start(), lines.end(), is_code=True)


def last_paragraph_end(text: str, start: int, end: int) -> int:
    """The last place in `start:end`, behind `start`, where an empty line ends a sentence for sure; else `start`."""
    found = text.rfind("\n\n", start, end)
    return found if found > start and _begins_visibly(text, found) else start


def first_paragraph_end(text: str, start: int, end: int) -> int:
    """The first such place, else `end`."""
    found = text.find("\n\n", start, end)
    return found if found > start and _begins_visibly(text, found) else end


def _begins_visibly(text: str, position: int) -> bool:
    """Whether no mark stands on the white space at `position`."""
    while position < len(text) and text[position].isspace():
        position += 1
    return position == len(text) or text[position] < FIRST_JOINING or not is_joined(text, position)


def _fenced_blocks(text: str) -> Iterator[Span]:
    """Fenced code blocks; an opening fence that nothing closes is taken for text."""
    if "```" not in text and "~~~" not in text:
        return
    lines = list(_FENCE.finditer(text))
    # The longest closing fence of each kind behind a line tells at once when nothing closes it.
    longest_behind: list[int] = []
    longest = {"`": 0, "~": 0}
    for line in reversed(lines):
        fence = line["fence"]
        longest_behind.append(longest[fence[0]])
        if not line["rest"].strip():
            longest[fence[0]] = max(longest[fence[0]], len(fence))
    longest_behind.reverse()
    number = 0
    while number < len(lines):
        opening = lines[number]
        fence = opening["fence"]
        is_opening = fence[0] == "~" or "`" not in opening["rest"]
        if is_opening and longest_behind[number] >= len(fence):
            while not _closes(lines[number := number + 1], fence):
                pass
            yield Span(opening.start("fence"), lines[number].end("fence"), is_code=True)
        number += 1


def _closes(line: re.Match[str], fence: str) -> bool:
    return line["fence"].startswith(fence) and not line["rest"].strip()


def prose_spans(text: str, start: int, end: int) -> Iterator[Span]:
    """The sentences between two places, of which the first begins one and the last ends one."""
    begin = start
    while begin < end and text[begin].isspace():
        begin += 1
    for border in _BORDER.finditer(text, begin, end):
        kind = border.lastgroup
        behind = border.end()
        if behind < end and text[behind] >= FIRST_JOINING and is_joined(text, behind, begin):
            continue
        if kind == "mark":
            last = border.end("mark")
            if not _ends_sentence(text, begin, border.start(), last, behind, end):
                # Not the mark, but the empty line behind it or the list item may end the sentence.
                line_break = _LINE_BREAK.search(text, last, behind + 8) if "\n" in text[last:behind] else None
                if line_break is None or line_break.start() >= behind:
                    continue
        elif kind == "run" or (kind == "cjk" and _goes_on(text, border, end)):
            continue
        else:
            last = border.end(kind) if kind else border.start()
            while last > begin and text[last - 1].isspace():
                last -= 1
        if last > begin:
            yield Span(begin, last)
        begin = behind
    last = end
    while last > begin and text[last - 1].isspace():
        last -= 1
    if last > begin:
        yield Span(begin, last)


def _goes_on(text: str, border: re.Match[str], end: int) -> bool:
    """A wide dot between digits, or Japanese speech that the sentence goes on to report."""
    first, behind = border.start(), border.end()
    if behind >= end:
        return False
    if text[first] == "．":
        return text[behind].isdigit() and text[first - 1 : first].isdigit()
    return text[behind - 1] in "」』" and _SPEECH_GOES_ON.match(text, behind) is not None


def _ends_sentence(text: str, begin: int, first: int, last: int, behind: int, end: int) -> bool:
    """Whether the marks at `first:last`, with the next word at `behind`, end the sentence begun at `begin`."""
    next_character = text[behind] if behind < end else ""
    if text[first] != "." or text[first + 1 : first + 2] in (".", "!", "?", "…"):
        # 'What?' he asked, and so on ... until: the sentence goes on in small letters.
        return not (next_character.islower() and (text[first] in ".…" or text[last - 1] not in "!?"))
    words = text[max(begin, first - _LONGEST_WORD) : first].rsplit(None, 1)
    word = words[-1].lstrip(_OPENERS) if words else ""
    if len(word) == 1 and (word.isupper() or word in BEFORE_NAME):
        return word.isascii() and _next_word(text, behind) in SENTENCE_STARTERS
    if word in BEFORE_NAME or (len(word) == 1 and text[behind + 1 : behind + 2] == "."):  # "z. B."
        return False
    if word in MAY_END_SENTENCE:
        return _next_word(text, behind) in SENTENCE_STARTERS
    if next_character.islower():
        return len(word) > _SHORT_WORD and "." not in word
    if word.isdigit():
        return not _is_ordinal(text, begin, first, word, behind)
    return not (next_character.isdigit() and word in BEFORE_NUMBER)


def _is_ordinal(text: str, begin: int, dot: int, number: str, behind: int) -> bool:
    """The number of a list item ("1. First point") or a German ordinal ("am 3. Oktober")."""
    number_start = dot - len(number)
    if number_start <= begin + 1:
        return True
    if len(number) > 2:
        return False
    before = _WORD_BEFORE.search(text, max(begin, number_start - 12), number_start)
    return (before is not None and before[1] in GERMAN_BEFORE_ORDINAL) or _next_word(
        text, behind
    ) in GERMAN_BEHIND_ORDINAL


def _next_word(text: str, position: int) -> str:
    found = _FIRST_WORD.match(text, position, position + 20)
    return found.group() if found else ""
