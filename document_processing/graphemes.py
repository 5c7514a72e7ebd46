"""Where one visible character ends and the next begins: a letter with its marks is several code points.

The rules for extended grapheme clusters (Unicode Standard Annex 29), on the safe side: now and then two
characters are kept together that may be parted, for instance whatever stands behind a joiner.
"""

from __future__ import annotations

import unicodedata

FIRST_JOINING = "\u0300"  # below it nothing joins the character in front, but a line feed a carriage return
_PREPENDED = frozenset(
    "\u0600\u0601\u0602\u0603\u0604\u0605\u06dd\u070f\u0890\u0891\u08e2\u0d4e\U000110bd\U000110cd\U000111c2\U000111c3"
    "\U000113d1\U0001193f\U00011941\U00011a3a\U00011a84\U00011a85\U00011a86\U00011a87\U00011a88\U00011a89\U00011d46\U00011f02"
)
# Indian letters are written as one when this mark stands between them.
_LETTER_LINKERS = "\u094d\u09cd\u0acd\u0b4d\u0c4d\u0d4d\u1039\u17d2"
_JOINER = "\u200d"
_MARKS = ("Mn", "Me", "Mc")
_OTHER_JOINING = frozenset(
    "\u200c\u200d\u0e33\u0eb3\uff9e\uff9f" + "".join(map(chr, [*range(0x1F3FB, 0x1F400), *range(0xE0020, 0xE0080)]))
)


def is_joined(text: str, position: int, start: int = 0) -> bool:
    """Whether a cut at `position` would tear a character apart; a character begins at `start`, before it."""
    character, before = text[position], text[position - 1]
    if before < FIRST_JOINING and character < FIRST_JOINING:
        return character == "\n" and before == "\r"
    if before in "\r\n" or character in "\r\n":
        return False
    if character in _OTHER_JOINING or unicodedata.category(character) in _MARKS:
        return True
    if before == _JOINER or before in _PREPENDED:
        return True
    if before in _LETTER_LINKERS:
        return character.isalpha()
    if "\u1100" <= character <= "\ud7ff":
        return _is_korean_syllable(before, character)
    return _is_regional(character) and _regionals_before(text, position, start) % 2 == 1


def _is_regional(character: str) -> bool:
    return "\U0001f1e6" <= character <= "\U0001f1ff"


def _regionals_before(text: str, position: int, start: int) -> int:
    first = position
    while first > start and _is_regional(text[first - 1]):
        first -= 1
    return position - first


def _is_korean_syllable(before: str, character: str) -> bool:
    """Leading letters join vowels, vowels join trailing letters; a whole syllable counts as what it ends with."""
    is_vowel = "\u1160" <= character <= "\u11a7" or "\ud7b0" <= character <= "\ud7c6"
    is_trailing = "\u11a8" <= character <= "\u11ff" or "\ud7cb" <= character <= "\ud7fb"
    is_syllable = "\uac00" <= character <= "\ud7a3"
    is_leading = "\u1100" <= character <= "\u115f" or "\ua960" <= character <= "\ua97c"
    if "\u1100" <= before <= "\u115f" or "\ua960" <= before <= "\ua97c":
        return is_vowel or is_leading or is_syllable
    ends_open = "\uac00" <= before <= "\ud7a3" and (ord(before) - 0xAC00) % 28 == 0
    if ends_open or "\u1160" <= before <= "\u11a7" or "\ud7b0" <= before <= "\ud7c6":
        return is_vowel or is_trailing
    ends_closed = "\uac00" <= before <= "\ud7a3" or "\u11a8" <= before <= "\u11ff" or "\ud7cb" <= before <= "\ud7fb"
    return ends_closed and is_trailing
